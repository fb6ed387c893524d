"""After an upgrade of JetPack the next `convert` says what changed and builds anew."""

from pathlib import Path
from typing import Any

import pytest

from app.board import board_facts
from app.convert import export, pipeline
from app.convert.build import Built
from app.convert.options import ConvertOptions
from app.convert.pipeline import Conversion
from app.convert.weights import WeightsRequest
from app.device import Gpu, read_device
from app.types import Backend, Precision
from tests.command import PROJECT_ROOT
from tests.doubles.reporters import ListReporter

BOARDS = Path(__file__).parents[1] / "data" / "boards"


class Board:
    """An Orin Nano, its upgrades, and a builder that takes no time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path, models: Path) -> None:
        self.root, self.models, self.builds = root, models, 0
        self.install("36.4.3", "10.3.0", "12.6")
        monkeypatch.setattr(pipeline, "read_device", lambda: read_device(root, gpu_probe=lambda: self.gpu))
        monkeypatch.setattr(pipeline, "board_facts", lambda device: board_facts(device, root))
        monkeypatch.setattr(pipeline, "choose_backend", lambda wanted, **_: (Backend.TENSORRT, "backend: tensorrt"))
        monkeypatch.setattr(pipeline, "try_library", lambda *_, **__: None)
        monkeypatch.setattr(pipeline, "backend_versions", lambda backend: {"tensorrt": self.tensorrt})
        traits = {"task": "detect", "family": "yolov8n", "parameters": 3_000_000}
        exported = {"onnx": "model.onnx", "traits": traits}
        monkeypatch.setattr(export, "run_child", lambda *_, **__: exported)
        monkeypatch.setattr(pipeline, "build_engine", self.build)

    def install(self, l4t: str, tensorrt: str, cuda: str) -> None:
        self.tensorrt, self.gpu = tensorrt, Gpu("Orin", "8.7", 8, True, cuda, 7 * 2**30)
        major, _, revision = l4t.partition(".")
        release = self.root / "etc/nv_tegra_release"
        release.write_text(f"# R{major} (release), REVISION: {revision}, GCID: 0\n")

    def build(self, onnx: Path, options: object, work: Path, *others: Any, **named: Any) -> Built:
        self.builds += 1
        engine = work / "built.engine"
        engine.write_bytes(b"a plan of TensorRT " + self.tensorrt.encode())
        header = {"task": "detect", "imgsz": [64, 64], "batch": 1, "names": {"0": "disc"}, "stride": 32}
        return Built(engine, Precision.FP16, header)

    def convert(self) -> tuple[Conversion, list[str]]:
        notes = ListReporter()
        weights = PROJECT_ROOT / "models" / "demo" / "demo-detect.pt"
        request = WeightsRequest(weights, None, "https://example.invalid", self.models / "weights.json")
        alias = self.models / "demo-detect.engine"
        options = ConvertOptions(request, None, alias, self.models / "engines", (64, 64), skip_verify=True)
        return pipeline.convert(options, notes), notes.notes


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Board:
    root = tmp_path / "board"
    for path in (BOARDS / "orin-nano-jp62").rglob("*"):
        if path.is_file():
            copy = root / path.relative_to(BOARDS / "orin-nano-jp62")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    return Board(monkeypatch, root, tmp_path / "models")


def test_an_upgrade_is_named_and_the_engine_built_anew_once(board: Board) -> None:
    first, _ = board.convert()
    again, _ = board.convert()
    assert (first.built, again.built, board.builds) == (True, False, 1)
    board.install("39.2.0", "10.16.2", "13.2")
    upgraded, told = board.convert()
    assert upgraded.built
    (changed,) = (note for note in told if note.startswith("Changed since the last build"))
    for words in ("TensorRT 10.3.0 → 10.16.2", "CUDA 12.6 → 13.2", "L4T 36.4.3 → 39.2.0"):
        assert words in changed
    assert board.convert()[0].built is False
    assert board.builds == 2


def test_the_manifest_keeps_the_power_mode_and_clocks_of_the_build(board: Board) -> None:
    engine = board.convert()[0].engine
    assert engine is not None
    assert engine.manifest.board["power_mode"] == "15W"
    assert engine.manifest.board["gpu_limit_mhz"] == "612"


def test_another_power_mode_rebuilds_nothing(board: Board) -> None:
    board.convert()
    (board.root / "var/lib/nvpmodel/status").write_text("pmode:0002\n")
    assert board.convert()[0].built is False
