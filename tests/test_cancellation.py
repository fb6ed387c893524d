"""Ctrl-C and SIGTERM at each phase of a conversion: over within five seconds, and nothing is left."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from app.status import State, Status, read_status, status_path
from tests import onnx_graphs
from tests.command import PROJECT_ROOT, Jetsmith
from tests.convert.file_server import Answer, serving

MODEL = ("--model", "demo-cls", "--imgsz", "64", "64")
LIMIT_S = 5


def _status(jetsmith: Jetsmith) -> Status | None:
    return read_status(status_path(jetsmith.models, "demo-cls"))


def _await_phase(jetsmith: Jetsmith, process: "subprocess.Popen[str]", phase: str) -> None:
    deadline = time.monotonic() + 60
    while not ((status := _status(jetsmith)) and status.phase.startswith(phase)):
        assert process.poll() is None, f"it ended before «{phase}»"
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("phase", "signals", "code"),
    [
        pytest.param("export", [signal.SIGINT], 130, id="ctrl-c-while-exporting"),
        pytest.param("build", [signal.SIGTERM], 143, id="sigterm-while-building"),
        pytest.param("verify", [signal.SIGINT, signal.SIGINT, signal.SIGTERM], 130, id="impatience-while-verifying"),
        pytest.param("export", [signal.SIGHUP], 129, id="a-lost-connection-while-exporting"),
        pytest.param("export", [signal.SIGTERM], 143, id="sigterm-while-exporting", marks=pytest.mark.slow),
        pytest.param("verify", [signal.SIGTERM], 143, id="sigterm-while-verifying", marks=pytest.mark.slow),
    ],
)
def test_a_conversion_stops_and_leaves_nothing(
    phase: str, signals: list[signal.Signals], code: int, jetsmith: Jetsmith, ready_exports: Callable[..., Path]
) -> None:
    quick = jetsmith if phase == "export" else replace(jetsmith, exports=ready_exports(64, "demo-cls"))
    process = quick.start("convert", *MODEL)
    _await_phase(jetsmith, process, phase)
    children = psutil.Process(process.pid).children(recursive=True)
    started = time.monotonic()
    for number in signals:
        process.send_signal(number)
        time.sleep(0.01)
    output, _ = process.communicate(timeout=60)
    assert time.monotonic() - started < LIMIT_S
    assert process.returncode == code, output
    assert "Traceback" not in output
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    assert jetsmith.litter() == []
    assert jetsmith.engines() == []
    assert list((jetsmith.models / "engines" / ".work").iterdir()) == []
    status = _status(jetsmith)
    assert status is not None
    assert (status.state, status.message) == (State.FAILED, "it was stopped before it was done")


def test_a_download_stops_and_is_gone_on_with(jetsmith: Jetsmith) -> None:
    with serving(b"PK\x03\x04" + bytes(400_000)) as server:  # as a checkpoint begins
        server.plan = [Answer(stall_at=200_000)]
        process = jetsmith.start(
            "convert", "--model", "yolo11m", variables={"JETSMITH_VISION__YOLO__MODEL_SOURCE__WEIGHTS_URL": server.url}
        )
        part = jetsmith.models / "yolo11m.pt.part"
        deadline = time.monotonic() + 60
        while not (part.exists() and part.stat().st_size):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
    assert time.monotonic() - started < LIMIT_S
    assert (process.returncode, "Traceback" in output) == (143, False), output
    status = read_status(status_path(jetsmith.models, "yolo11m"))
    assert status is not None
    assert (status.state, status.phase) == (State.FAILED, "download yolo11m.pt")
    assert part.is_file(), "the next start goes on from here"


BUILD = """
import sys
from pathlib import Path
from app import cli
from app.convert.build import BuildOptions, build_engine
from app.progress import SilentReporter
from app.status_reporter import StatusReporter
from app.types import Backend, Precision

work = Path(sys.argv[1])
options = BuildOptions(Backend.TENSORRT_RTX, Precision.FP16, 0.25)

def run(args):
    with StatusReporter(SilentReporter(), work / "status.json") as reporter:
        for _ in range(100):
            build_engine(work / "detector.onnx", options, work, reporter)

cli._run(lambda: type("Arguments", (), {"run": staticmethod(run)}))
"""


@pytest.mark.parametrize("moment_s", [0.2, 0.9])
def test_nvidias_builder_is_stopped_in_the_midst_of_it(moment_s: float, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="pip install tensorrt-rtx to build for real")
    onnx_graphs.save(onnx_graphs.detector(), tmp_path / "detector.onnx")
    process = subprocess.Popen([sys.executable, "-c", BUILD, str(tmp_path)], cwd=PROJECT_ROOT)
    deadline = time.monotonic() + 30
    while not (tmp_path / "status.json").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(moment_s)
    (child,) = psutil.Process(process.pid).children()
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    assert time.monotonic() - started < LIMIT_S
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    status = read_status(tmp_path / "status.json")
    assert status is not None
    assert status.state is State.FAILED
