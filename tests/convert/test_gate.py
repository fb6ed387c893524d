"""A wrong gate is caught: through the whole of `convert`, an engine that computes something else is not published."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from app.convert import pipeline
from app.convert.build import Built, build_engine
from app.convert.export import Exported
from app.convert.options import ConvertOptions
from app.convert.traits import Traits
from app.convert.weights import WeightsRequest
from app.errors import AccuracyLost
from app.progress import SilentReporter
from app.status import State, read_status, status_path
from app.types import Backend, Precision, Task
from tests.command import PROJECT_ROOT, SCENES
from tests.convert.lies import LIES, Lie

WEIGHTS = PROJECT_ROOT / "models" / "demo" / "demo-detect.pt"


@pytest.fixture
def options(tmp_path: Path, exported: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> ConvertOptions:
    """All is real but the export, which was done once for all tests."""
    graph = exported("demo-detect")

    def export(weights: Path, options: object, work: Path, reporter: object) -> Exported:
        copy = work / "model.onnx"
        copy.write_bytes(graph.read_bytes())
        return Exported(copy, Traits(Task.DETECT, "Detect", 1))

    monkeypatch.setattr(pipeline, "export", export)
    models = tmp_path / "models"
    request = WeightsRequest(WEIGHTS, None, "", models / "weights.json")
    return ConvertOptions(
        request,
        None,
        models / "mine.engine",
        models / "engines",
        (320, 320),
        Backend.ONNXRUNTIME,
        Precision.FP32,
        demo_scenes=SCENES / "detect",
    )


def _builder_that(lie: Lie) -> Callable[..., Built]:
    def build(*args: Any, **kwargs: Any) -> Built:
        built = build_engine(*args, **kwargs)
        model = onnx.load(built.engine)
        lie(model)
        onnx.save(model, built.engine)
        return built

    return build


def _published(options: ConvertOptions) -> list[Path]:
    aliases = [path for path in options.store.parent.iterdir() if path.is_symlink()]
    return [*aliases, *(path for path in options.store.rglob("*") if path.is_file())]


def test_an_honest_builder_is_published(options: ConvertOptions) -> None:
    conversion = pipeline.convert(options, SilentReporter())
    assert conversion.built
    assert len(_published(options)) == 3  # alias, engine, manifest


# test_verify.py tries all of them on the step that catches them.
THE_WHOLE_WAY = [
    pytest.param(*lie.values, id=lie.id, marks=() if lie.id in ("zeros", "three-pixels-off") else pytest.mark.slow)
    for lie in LIES
]


@pytest.mark.parametrize("lie", THE_WHOLE_WAY)
def test_an_engine_that_computes_something_else_is_not(
    options: ConvertOptions, lie: Lie, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "build_engine", _builder_that(lie))
    with pytest.raises(AccuracyLost, match="was not published"):
        pipeline.convert(options, SilentReporter())
    assert _published(options) == []
    status = read_status(status_path(options.store.parent, "mine"))
    assert status is not None
    assert status.state is State.FAILED
    assert "was not published" in status.message
