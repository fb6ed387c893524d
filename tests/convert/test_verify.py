"""The gate: an engine that lies is not published."""

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from app.convert.verify import VerifyOptions, verify_engine
from app.errors import VerificationFailed
from app.progress import SilentReporter
from app.types import Backend, Precision
from tests.command import SCENES
from tests.convert.lies import LIES, Lie


@pytest.fixture(scope="module")
def reference(exported: Callable[[str], Path]) -> Path:
    return exported("demo-detect")


def _verify(engine: Path, reference: Path, work: Path) -> dict[str, object]:
    pictures = tuple(sorted((SCENES / "detect").glob("*.jpg"))[:2])
    options = VerifyOptions(Backend.ONNXRUNTIME, Precision.FP16, pictures)
    return verify_engine(engine, reference, options, work, SilentReporter())


def test_an_honest_engine_passes_with_its_figures(reference: Path, tmp_path: Path) -> None:
    figures = _verify(reference, reference, tmp_path)
    assert figures["pictures"] == 2
    assert isinstance(figures["objects"], int)
    assert figures["objects"] > 0
    assert figures["box_px_p95"] == figures["objects_lost"] == 0


@pytest.mark.parametrize("lie", LIES)
def test_an_engine_that_lies_does_not(reference: Path, tmp_path: Path, lie: Lie) -> None:
    model = onnx.load(reference)
    lie(model)
    engine = tmp_path / "engine.ort.onnx"
    onnx.save(model, engine)
    with pytest.raises(VerificationFailed, match="was not published"):
        _verify(engine, reference, tmp_path)


def test_an_engine_that_does_not_load_does_not(reference: Path, tmp_path: Path) -> None:
    engine = tmp_path / "engine.ort.onnx"
    engine.write_bytes(reference.read_bytes()[:5000])
    from app.errors import EngineDamaged

    with pytest.raises(EngineDamaged):
        _verify(engine, reference, tmp_path)


def test_without_a_picture_nothing_is_proved(reference: Path, tmp_path: Path) -> None:
    with pytest.raises(VerificationFailed, match="no picture"):
        verify_engine(
            reference, reference, VerifyOptions(Backend.ONNXRUNTIME, Precision.FP32, ()), tmp_path, SilentReporter()
        )


def test_pictures_that_cannot_be_read_prove_nothing(reference: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"x")
    options = VerifyOptions(Backend.ONNXRUNTIME, Precision.FP32, (tmp_path / "bad.jpg",))
    with pytest.raises(VerificationFailed, match="None of the 1 pictures"):
        verify_engine(reference, reference, options, tmp_path, SilentReporter())
