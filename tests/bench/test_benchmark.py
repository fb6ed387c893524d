"""`jetsmith benchmark` on a demo model."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from app.bench.benchmark import run_benchmark
from app.bench.options import BenchOptions
from app.bench.plot import draw
from app.bench.tables import aligned, as_text
from app.errors import OutputError
from app.progress import SilentReporter
from tests.bench.made import figures
from tests.command import SCENES, Jetsmith

BOARDS = Path(__file__).parents[1] / "data" / "boards"
STAGES = {"preprocess", "inference", "postprocess", "end_to_end"}


def test_the_whole_command(jetsmith: Jetsmith, tmp_path: Path) -> None:
    told, picture = tmp_path / "figures.json", tmp_path / "latencies.png"
    arguments = ("--model", "demo-detect", "--compare", "onnxruntime", "--duration", "0.6")
    done = jetsmith("benchmark", *arguments, "--source", SCENES / "detect", "--json", told, "--plot", picture)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("demo-detect.pt, detect, input 320×320; 5 frames of ")
    for name in ("this engine (FP32)", "ONNX Runtime, bare", "end to end", "device:", "power from:"):
        assert any(name in line for line in lines), done.stdout
    assert len({len(line) for line in lines[2:6]}) == 1  # the columns stand
    _check(json.loads(told.read_text()))
    with Image.open(picture) as image:
        assert image.format == "PNG"
        assert min(image.size) > 700
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figures.json", "latencies.png"]
    assert not [path for path in jetsmith.home.iterdir() if path.name.startswith("jetsmith-bench-")]


def _check(told: dict[str, Any]) -> None:
    keys = "schema jetsmith date machine model source programs absent comparison conditions verdicts"
    assert list(told) == keys.split()
    assert told["schema"] == 1
    assert list(told["programs"]) == ["jetsmith", "onnxruntime"]
    ours = told["programs"]["jetsmith"]
    assert set(ours["ms"]) == STAGES
    assert ours["ms"]["end_to_end"]["p50"] <= ours["ms"]["end_to_end"]["p99"]
    assert ours["frames"] == len(ours["samples"]["rows"])
    assert ours["samples"]["columns"] == ["at_s", "preprocess", "inference", "postprocess", "end_to_end"]
    assert ours["objects"] > 0
    assert told["programs"]["onnxruntime"]["objects"] is None
    assert ours["start_s"] > 0
    assert ours["peak_rss_bytes"] > 1e7
    assert told["model"]["backend"] == "onnxruntime"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(("--source", "nowhere.jpg"), "nowhere.jpg", id="no source"),
        pytest.param(("--source", "camera:0"), "camera:0 is live", id="a camera"),
        pytest.param(("--model", "demo-seg"), "There is no engine", id="no engine"),
        pytest.param(("--json", "no/such/folder/a.json"), "no folder that can be written to", id="no place for JSON"),
        pytest.param(("--plot", "no/such/folder/a.png"), "no folder that can be written to", id="no place for a plot"),
    ],
)
def test_what_cannot_be_done_is_said_before_minutes_of_work(
    jetsmith: Jetsmith, arguments: tuple[str, ...], message: str
) -> None:
    model = () if "--model" in arguments else ("--model", "demo-detect")
    done = jetsmith("benchmark", *model, *arguments, code=1)
    assert message in done.stderr
    assert "hint:" in done.stderr
    assert "start" not in done.stderr.split("error:")[0]


@pytest.mark.parametrize("wanted", ["tensorflow", "none,pytorch", ""])
def test_only_what_is_known_can_be_compared(jetsmith: Jetsmith, wanted: str) -> None:
    done = jetsmith("benchmark", "--compare", wanted, code=2)
    assert "is not of pytorch, onnxruntime, ultralytics, or none" in done.stderr


def test_a_frame_that_cannot_be_read_and_a_program_that_is_not_there_are_exit_3(
    jetsmith: Jetsmith, tmp_path: Path
) -> None:
    (tmp_path / "a.jpg").write_bytes((SCENES / "detect" / "scene-1.jpg").read_bytes())
    (tmp_path / "b.jpg").write_bytes(b"no picture")
    arguments = ("benchmark", "--model", "demo-detect", "--duration", "0.1", "--compare", "none")
    done = jetsmith(*arguments, "--source", tmp_path, code=3)
    assert "b.jpg" in done.stderr
    assert "p50" in done.stdout


def test_ctrl_c_ends_the_programs_too(jetsmith: Jetsmith) -> None:
    running = jetsmith.start("benchmark", "--model", "demo-detect", "--compare", "none", "--duration", "600")
    assert running.stdout is not None
    try:
        while "measure by turns" not in running.stdout.readline():
            pass
        children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        running.send_signal(signal.SIGINT)
        assert running.wait(30) == 130
    finally:
        running.kill()
        running.stdout.close()
    assert children
    assert not [child for child in children if Path(f"/proc/{child}").exists()]
    assert not [path for path in jetsmith.home.iterdir() if path.name.startswith("jetsmith-bench-")]


def test_a_boards_own_files_are_read_and_judged(options: BenchOptions) -> None:
    """This machine's processor, an Orin Nano's files."""
    bench = run_benchmark(options, SilentReporter(), root=BOARDS / "orin-nano-jp62")
    text = as_text(bench)
    assert "Orin Nano" in text.partition("device:")[2].splitlines()[0]
    assert "power mode 15W" in text
    assert "power from: VDD_IN; idle 7.5 W" in text
    assert "heat:       hottest 54 °C" in text
    assert "throttling none seen" in text
    assert "  - the power mode is 15W, and MAXN_SUPER is faster → sudo nvpmodel -m 2" in text
    assert "  - the GPU is held to 612 of 1020 MHz" in text
    assert bench.ours.watts == pytest.approx(7.4592)
    assert bench.ours.joules_a_frame == pytest.approx(7.4592 / bench.ours.per_second)
    assert bench.conditions.others_cpus is None  # that tree has no /proc/stat


def test_columns_stand() -> None:
    assert aligned([["", "a"], ["long name", "10.5"]]) == ["              a", "long name  10.5"]


def test_a_picture_is_drawn_without_a_screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "TkAgg")
    monkeypatch.delenv("DISPLAY", raising=False)
    fast, slow = figures(), figures(10, 700, 10, name="pytorch")
    for number, drawn in enumerate(([fast], [fast, slow])):  # alike, and far apart
        draw(drawn, "yolo11n <b>$\\alpha", tmp_path / f"{number}.png")
        assert (tmp_path / f"{number}.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(OutputError, match="cannot be written"):
        draw([fast], "", tmp_path / "none" / "a.png")


@pytest.mark.slow
def test_pytorch_and_ultralytics_beside_it(jetsmith: Jetsmith, tmp_path: Path) -> None:
    told = tmp_path / "figures.json"
    names = "pytorch,onnxruntime,ultralytics"
    arguments = ("--model", "demo-detect", "--compare", names, "--duration", "3", "--source", SCENES / "detect")
    done = jetsmith("benchmark", *arguments, "--json", told)
    values = json.loads(told.read_text())
    assert list(values["programs"]) == ["jetsmith", *names.split(",")]
    assert values["absent"] == []
    objects = [values["programs"][name]["objects"] for name in ("jetsmith", "pytorch", "ultralytics")]
    assert len(set(objects)) == 1  # they do the same
    memory = {line["metric"]: line["times"] for line in values["comparison"]}["memory, peak"]
    assert memory > 2
    assert "PyTorch FP32" in done.stdout
    assert " less" in done.stdout
