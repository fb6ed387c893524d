"""A Jetson that jetsmith cannot serve is told so before anything is fetched."""

from pathlib import Path

import pytest

from app.convert import pipeline
from app.convert.options import ConvertOptions
from app.convert.weights import WeightsRequest
from app.device import Device, read_device
from app.errors import BackendUnavailable, WeightsError
from app.progress import SilentReporter
from app.types import Backend

XAVIER = Path(__file__).parents[1] / "data" / "boards" / "xavier-nx-jp5"


def options(tmp_path: Path, backend: Backend | None) -> ConvertOptions:
    request = WeightsRequest(tmp_path / "absent.pt", None, "https://example.invalid", tmp_path / "weights.json")
    return ConvertOptions(request, None, tmp_path / "x.engine", tmp_path / "engines", (64, 64), backend=backend)


@pytest.fixture(autouse=True)
def on_a_xavier(monkeypatch: pytest.MonkeyPatch) -> None:
    def xavier() -> Device:
        return read_device(XAVIER, gpu_probe=lambda: None)

    monkeypatch.setattr(pipeline, "read_device", xavier)


@pytest.mark.parametrize("backend", [None, Backend.TENSORRT])
def test_a_xavier_is_refused_before_the_weights_are_looked_for(tmp_path: Path, backend: Backend | None) -> None:
    with pytest.raises(BackendUnavailable, match=r"Xavier NX.*Python 3\.8; jetsmith needs JetPack 6") as caught:
        pipeline.convert(options(tmp_path, backend), SilentReporter())
    assert "--backend onnxruntime" in caught.value.hint
    assert not list(tmp_path.rglob("weights*")) + list(tmp_path.rglob("*.pt"))


def test_its_processor_may_be_used(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no weights file"):  # the next step
        pipeline.convert(options(tmp_path, Backend.ONNXRUNTIME), SilentReporter())
