"""The measured programs: which of them run here, and what becomes of those that die."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.bench import compared
from app.bench.compared import lacks_memory, our_spec, plan_compared
from app.bench.frames import MOST_BYTES, Frames, read_frames
from app.bench.options import BenchOptions
from app.bench.worker import Spec, Worker
from app.errors import BenchmarkFailed, SourceError
from app.memory import FreeMemory
from app.progress import SilentReporter
from app.types import Backend
from tests.command import PROJECT_ROOT, SCENES

GB = 1_000_000_000


# --- frames ---


def test_a_folder_gives_its_pictures_and_what_cannot_be_read(tmp_path: Path, photograph: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(photograph.read_bytes())
    (tmp_path / "b.jpg").write_bytes(b"no picture")
    found = read_frames(str(tmp_path), SCENES)
    assert found.sizes == ((480, 640),)
    assert [Path(failure.source).name for failure in found.failures] == ["b.jpg"]


def test_without_a_source_the_pictures_of_the_verification_are_taken() -> None:
    found = read_frames(None, SCENES)
    assert 2 <= len(found.images) <= 16
    assert found.nbytes <= MOST_BYTES


@pytest.mark.parametrize(
    ("source", "message"),
    [
        pytest.param("nowhere.jpg", "nowhere.jpg", id="not there"),
        pytest.param("camera:0", "camera:0 is live", id="a camera"),
        pytest.param("rtsp://me:s3cret@127.0.0.1/a", "rtsp://127.0.0.1/a is live", id="a stream, without its password"),
        pytest.param("-", "- is live", id="paths on stdin"),
        pytest.param("ftp://a/b", "ftp:// is no source", id="no source at all"),
    ],
)
def test_sources_that_nothing_can_be_measured_on(source: str, message: str) -> None:
    with pytest.raises(SourceError) as caught:
        read_frames(source, SCENES)
    assert message in caught.value.message
    assert caught.value.hint
    assert "s3cret" not in caught.value.message


# --- who is compared ---


def plan(options: BenchOptions, work: Path) -> tuple[list[str], dict[str, str]]:
    found = plan_compared(options, work, SilentReporter())
    return [spec.name for spec in found.specs], dict(found.absent)


def test_all_can_be_compared_where_all_is_installed(options: BenchOptions, tmp_path: Path) -> None:
    wanted = ("pytorch", "onnxruntime", "ultralytics")
    found = plan_compared(replace(options, compare=wanted), tmp_path, SilentReporter())
    assert [spec.name for spec in found.specs] == list(wanted)
    models = [Path(spec.job["model"]).name for spec in found.specs]
    assert models == ["demo-detect.pt", options.engine.path.name, options.engine.path.name]
    assert all(spec.env["YOLO_AUTOINSTALL"] == "false" for spec in found.specs)
    assert all("CUDA_VISIBLE_DEVICES" not in spec.env for spec in found.specs)


def test_what_is_not_installed_is_said(options: BenchOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compared, "_installed", lambda module: module == "onnxruntime")
    names, absent = plan(replace(options, compare=("pytorch", "onnxruntime", "ultralytics")), tmp_path)
    assert names == ["onnxruntime"]
    assert absent == dict.fromkeys(("pytorch", "ultralytics"), "PyTorch and Ultralytics are not installed here")


def test_other_weights_than_the_engines_are_not_loaded(options: BenchOptions, tmp_path: Path) -> None:
    other = tmp_path / "other.pt"
    other.write_bytes(b"whatever this would run")
    for weights, reason in ((other, "are not the weights"), (tmp_path / "none.pt", "are not there")):
        names, absent = plan(replace(options, compare=("pytorch",), weights=weights), tmp_path)
        assert names == []
        assert reason in absent["pytorch"]


def test_for_another_backend_the_graph_is_exported_from_the_engines_weights_alone(
    options: BenchOptions, tmp_path: Path
) -> None:
    identity = options.engine.identity
    platform = {**identity.platform, "backend": Backend.TENSORRT.value}
    foreign = replace(
        options.engine, manifest=replace(options.engine.manifest, identity=replace(identity, platform=platform))
    )
    wanted = replace(options, engine=foreign, compare=("onnxruntime",), weights=tmp_path / "none.pt")
    names, absent = plan(wanted, tmp_path)
    assert names == []
    assert "cannot be exported: its weights are not there" in absent["onnxruntime"]


@pytest.mark.parametrize(
    ("name", "free", "starts"),
    [
        pytest.param("pytorch", FreeMemory(8 * GB, 0, None), True, id="room"),
        pytest.param("pytorch", FreeMemory(1 * GB, 8 * GB, None), False, id="only swap"),
        pytest.param("ultralytics", FreeMemory(8 * GB, 0, 1 * GB), False, id="a container's limit"),
        pytest.param("onnxruntime", FreeMemory(1 * GB, 0, None), True, id="a small one"),
        pytest.param("pytorch", FreeMemory(None, None, None), True, id="unknown"),
    ],
)
def test_what_would_not_fit_beside_the_others_is_left_out(name: str, free: FreeMemory, starts: bool) -> None:
    reason = lacks_memory(name, free)
    assert (reason is None) is starts
    assert starts or f"compare it alone: --compare {name}" in str(reason)


# --- a program in its process ---


@pytest.fixture
def frames(tmp_path: Path, photograph: Path) -> list[str]:
    return read_frames(str(photograph), SCENES).save(tmp_path / "frames")


@pytest.fixture
def worker(options: BenchOptions, frames: list[str], tmp_path: Path) -> Iterator[Worker]:
    with Worker(our_spec(options), frames, 1, tmp_path) as started:
        yield started


def test_a_program_works_in_its_rounds_alone(worker: Worker) -> None:
    worker.warm_up()
    done = worker.round(0.1, 0.0)
    assert worker.start_s > 0
    assert worker.objects
    assert done.frames == len(done.rows) > 0
    assert done.ended_s - done.began_s >= done.busy_s > 0
    for row in done.rows:
        assert done.began_s <= row.at_s <= done.ended_s
        assert row.end_to_end >= row.preprocess + row.inference + row.postprocess > 0
    assert 10e6 < worker.peak_rss < 1e9
    again = worker.round(0.1, 0.0)
    assert again.began_s >= done.ended_s


def test_a_program_that_is_killed_is_said_to_be(worker: Worker) -> None:
    worker.warm_up()
    os.kill(worker._child.pid, signal.SIGKILL)
    with pytest.raises(BenchmarkFailed, match="ended by signal 9"):
        worker.round(5.0, 0.0)


def test_a_program_that_never_comes_up_says_why(options: BenchOptions, frames: list[str], tmp_path: Path) -> None:
    broken = Spec("pytorch", "PyTorch FP32", {"program": "no such program"})
    with pytest.raises(BenchmarkFailed, match="PyTorch FP32 ended with exit code 1: KeyError") as caught:
        Worker(broken, frames, 1, tmp_path).__enter__()
    assert "programs.py" in caught.value.hint
    missing = replace(our_spec(options), job={**our_spec(options).job, "engine": str(tmp_path / "none.ort.onnx")})
    with pytest.raises(BenchmarkFailed, match=r"none\.ort\.onnx is not there"), Worker(missing, frames, 1, tmp_path):
        pass


def test_left_programs_are_gone(options: BenchOptions, frames: list[str], tmp_path: Path) -> None:
    with Worker(our_spec(options), frames, 1, tmp_path) as worker:
        child = worker._child
    assert child.poll() is not None


def test_where_only_inference_is_installed_it_runs_all_the_same() -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'ultralytics', 'onnx', 'onnxslim', 'httpx', 'matplotlib', 'pynvml', 'supervision'):\n"
        "    sys.modules[name] = None\n"
        "import app.cli.benchmark, app.bench.benchmark, app.bench.tables, app.bench.report, app.bench.child\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_frames_travel_unchanged(tmp_path: Path, photograph: Path) -> None:
    import numpy as np

    found: Frames = read_frames(str(photograph), SCENES)
    (path,) = found.save(tmp_path / "kept")
    assert np.array_equal(np.load(path), found.images[0])
