"""Every demo model and every real file of weights, built by NVIDIA's own builder; a few of them in every precision."""

from collections.abc import Callable
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import onnx
import pytest

from app.convert.build_tensorrt import build
from app.convert.calibration import calibrate
from app.engines.header import read_header
from app.engines.identity import Identity
from app.engines.manifest import BuildRecord, WeightsFacts
from app.engines.store import EngineStore, Found
from app.metadata import ModelMetadata
from app.runtime.onnxruntime import OnnxRuntimeRunner
from app.types import Precision
from tests.command import SCENES
from tests.doubles.reporters import ListChannel

Exported = Callable[[str], Path]
Ranges = Callable[[str], dict[str, float]]
MODELS = [
    *("demo-detect", "demo-seg", "demo-pose", "demo-obb", "demo-cls"),
    *("yolov8n", "yolov10n", "yolo11n-seg", "yolo11n-pose", "yolo11n-obb", "yolo11n-cls", "yolo26n-seg"),
    "yolo26n_ball_nc1_416",
]
IN_EVERY_PRECISION = ("demo-cls", "yolov8n", "yolo26n-seg")  # the others with -m slow
BUILDS = [
    pytest.param(
        name,
        precision,
        id=f"{name}-{precision.value.lower()}",
        marks=() if precision is Precision.FP16 or name in IN_EVERY_PRECISION else pytest.mark.slow,
    )
    for name in MODELS
    for precision in Precision
]
PICTURES = sorted(SCENES.glob("*/scene-1.jpg"))[:4]  # few: here the steps need not be good


@pytest.fixture(scope="session")
def ranges(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> Ranges:
    @cache
    def calibrated(name: str) -> dict[str, float]:
        return calibrate(exported(name), PICTURES, tmp_path_factory.mktemp(name), lambda _: None, pytest.fail)

    return calibrated


@pytest.mark.parametrize(("name", "precision"), BUILDS)
def test_every_model_is_built(
    name: str, precision: Precision, rtx: ModuleType, exported: Exported, ranges: Ranges, tmp_path: Path
) -> None:
    channel, graph = ListChannel(), exported(name)
    steps = ranges(name) if precision is Precision.INT8 else {}
    result = build(_job(graph, precision, steps, tmp_path), channel)
    assert channel.fractions == sorted(set(channel.fractions))
    assert channel.fractions[-1] == 1.0
    assert len(channel.fractions) > 10
    assert result["precision"] == precision.value
    _require_types(result["typed_graph"], precision, len(steps))

    store = EngineStore(tmp_path / "models" / "engines")
    record = _record(name, precision, result, rtx)
    with store.lock(record.identity), store.workspace(record.identity) as work:
        built = Path(result["engine"]).rename(work / "built.rtx")
        engine = store.publish(built, record, device_slug="rtx", alias=tmp_path / "models" / f"{name}.rtx")
    found = store.find(record.identity)
    assert isinstance(found, Found)
    manifest = found.engine.manifest
    assert (manifest.identity, manifest.sha256) == (record.identity, engine.manifest.sha256)
    assert dict(manifest.build) == dict(record.build)
    assert (manifest.actual, manifest.versions["tensorrt_rtx"]) == (precision, rtx.__version__)
    header, offset = read_header(engine.path)
    assert ModelMetadata.from_header(manifest.model) == ModelMetadata.from_header(header)
    assert manifest.size == engine.path.stat().st_size > offset + 100_000
    with OnnxRuntimeRunner(graph) as runner:
        assert ModelMetadata.from_header(header) == runner.metadata


def _job(graph: Path, precision: Precision, ranges: dict[str, float], folder: Path) -> dict[str, Any]:
    return {
        "onnx": str(graph),
        "engine": str(folder / "engine.rtx"),
        "backend": "tensorrt_rtx",
        "precision": precision.value,
        "workspace_gb": 0.25,
        "capabilities": ["SM86"],
        "ranges": ranges,
    }


def _require_types(typed: str | None, precision: Precision, int8_layers: int) -> None:
    """The builder was given a graph whose types say the precision."""
    if precision is Precision.FP32:
        assert typed is None
        return
    graph = onnx.load(str(typed)).graph
    pairs = sum(node.op_type == "QuantizeLinear" for node in graph.node)
    assert any(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in graph.initializer)
    assert (pairs > int8_layers) == (precision is Precision.INT8)  # each layer's weights, and what it reads


def _record(name: str, precision: Precision, result: dict[str, Any], rtx: ModuleType) -> BuildRecord:
    return BuildRecord(
        identity=Identity({"weights": name, "precision": precision.value}, {"backend": "tensorrt_rtx"}),
        model=result["header"],
        requested=precision,
        actual=Precision(result["precision"]),
        created=datetime.now(timezone.utc).isoformat(timespec="microseconds"),
        versions={"tensorrt_rtx": rtx.__version__},
        seconds={"build": result["seconds"]},
        verification={"skipped": True},  # it takes a GPU
        weights=WeightsFacts(f"{name}.pt", "a" * 64, 1),
        build=result["facts"],
    )
