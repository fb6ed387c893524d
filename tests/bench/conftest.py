"""An engine of a demo model, built once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from app.bench.options import BenchOptions
from app.engines.engine import Engine
from app.engines.store import EngineStore
from tests.command import PROJECT_ROOT, SCENES, Jetsmith

WEIGHTS = PROJECT_ROOT / "models" / "demo" / "demo-detect.pt"


@pytest.fixture(scope="session")
def jetsmith(ready_exports: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Jetsmith:
    """With `demo-detect` converted for ONNX Runtime."""
    root = tmp_path_factory.mktemp("bench")
    (root / "home").mkdir()
    command = Jetsmith(root / "models", root / "home", exports=ready_exports(320, "demo-detect"))
    command("convert", "--model", "demo-detect", "--backend", "onnxruntime", "--skip-verify")
    return command


@pytest.fixture(scope="session")
def engine(jetsmith: Jetsmith) -> Engine:
    store = EngineStore(jetsmith.models / "engines")
    return store.resolve_alias(jetsmith.models / "demo-detect.ort.onnx", hint="")


@pytest.fixture
def options(engine: Engine, jetsmith: Jetsmith) -> BenchOptions:
    return BenchOptions(
        engine=engine,
        store=jetsmith.models / "engines",
        weights=WEIGHTS,
        demo_scenes=SCENES,
        source=str(SCENES / "detect"),
        compare=(),
        duration_s=0.3,
    )


@pytest.fixture
def photograph() -> Path:
    return SCENES / "detect" / "scene-1.jpg"
