"""The TensorRT builder. NVIDIA's real one for RTX runs without a GPU, so where it is installed it is used for real."""

import os
import subprocess
import sys
from enum import Enum
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from onnx import helper

from app.convert import build_tensorrt
from app.convert.build import BuildOptions, build_engine
from app.convert.build_tensorrt import build
from app.convert.child import Channel
from app.convert.effort import workspace_bytes
from app.convert.precision import set_weak_types
from app.device import Device, Gpu
from app.engines.header import read_header
from app.errors import BuildFailed, PrecisionFailed
from app.metadata import ModelMetadata
from app.progress import SilentReporter
from app.runtime import tensorrt_compat as compat
from app.types import Backend, Precision, Task
from tests import onnx_graphs
from tests.doubles.reporters import ListChannel
from tests.doubles.tensorrt_double import ILogger

GIB = 2**30


def _job(onnx: Path, **changes: Any) -> dict[str, Any]:
    job = {
        "onnx": str(onnx),
        "engine": str(onnx.with_name("engine.rtx")),
        "backend": "tensorrt_rtx",
        "precision": "FP32",
        "workspace_gb": 0.25,
        "capabilities": ["SM86"],
    }
    return {**job, **changes}


@pytest.mark.parametrize("precision", [pytest.param(p, id=p.value) for p in Precision])
def test_a_real_build_writes_the_header_the_plan_and_its_progress(
    precision: Precision, detector: Path, rtx: ModuleType
) -> None:
    channel = ListChannel()
    result = build(_job(detector, precision=precision.value, ranges={"body": 6.0, "mix": 9.0}), channel)
    engine = Path(result["engine"])
    header, offset = read_header(engine)
    metadata = ModelMetadata.from_header(header)
    assert (metadata.task, metadata.imgsz, metadata.names[1]) == (Task.DETECT, (64, 64), "square")
    assert engine.stat().st_size - offset > 100_000
    assert (result["precision"], result["version"]) == (precision.value, rtx.__version__)
    typed = result["typed_graph"]
    assert (typed is not None and Path(typed).is_file()) == (precision is not Precision.FP32)
    assert channel.fractions == sorted(set(channel.fractions))
    assert channel.fractions[-1] == 1.0
    assert len(channel.fractions) > 20


@pytest.mark.slow
def test_ultralytics_own_reader_finds_the_header_and_the_plan(detector: Path, rtx: ModuleType, tmp_path: Path) -> None:
    engine = build(_job(detector), ListChannel())["engine"]
    read = "import sys; from ultralytics.nn.backends.base import BaseBackend as B; print(B.engine_header(sys.argv[1]))"
    answer = subprocess.run(
        [sys.executable, "-c", read, engine],
        env={**os.environ, "YOLO_CONFIG_DIR": str(tmp_path), "YOLO_OFFLINE": "true"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    header, offset = read_header(Path(engine))
    assert answer.splitlines()[-1] == str((offset, header))


def test_fp16_halves_the_plan_for_it_stores_half_weights(detector: Path, rtx: ModuleType) -> None:
    from onnx import load, numpy_helper

    model = load(detector)  # wide enough for its weights to be most of the plan
    for name, shape in (("mix_w", (4096, 16, 1, 1)), ("mix_b", (4096,)), ("box_w", (64, 4096, 1, 1))):
        values = np.random.default_rng(0).normal(0, 0.02, shape).astype(np.float32)
        next(t for t in model.graph.initializer if t.name == name).CopyFrom(numpy_helper.from_array(values, name))
    score = np.zeros((2, 4096, 1, 1), np.float32)
    next(t for t in model.graph.initializer if t.name == "score_w").CopyFrom(numpy_helper.from_array(score, "score_w"))
    onnx_graphs.save(model, detector)
    sizes = []
    for precision in ("FP32", "FP16"):
        result = build(_job(detector, precision=precision), ListChannel())
        sizes.append(Path(result["engine"]).stat().st_size)
    assert sizes[1] < sizes[0] - 4096 * 64 * 1.5


def test_it_builds_in_the_child_that_the_pipeline_starts(detector: Path, rtx: ModuleType, tmp_path: Path) -> None:
    built = build_engine(detector, BuildOptions(Backend.TENSORRT_RTX, Precision.FP16, 0.25), tmp_path, SilentReporter())
    assert built.precision is Precision.FP16
    assert read_header(built.engine)[0]["task"] == "detect"


def test_an_operator_that_tensorrt_lacks_is_named_with_its_node(tmp_path: Path, rtx: ModuleType) -> None:
    model = onnx_graphs.model_of(
        [helper.make_node("Det", ["images"], ["output0"], "volume")], {}, outputs={"output0": [1, 3]}
    )
    with pytest.raises(BuildFailed, match=r"node 'volume' \(Det\): unsupported node") as caught:
        build(_job(onnx_graphs.save(model, tmp_path / "det.onnx")), ListChannel())
    assert "det.onnx" in caught.value.message
    assert "--backend onnxruntime" in caught.value.hint


def test_a_malformed_graph_is_refused_before_tensorrt_sees_it(tmp_path: Path, rtx: ModuleType) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(onnx_graphs.detector().SerializeToString()[:2000])
    with pytest.raises(PrecisionFailed, match=r"bad\.onnx"):
        build(_job(path), ListChannel())


@pytest.mark.parametrize("precision", [precision.value for precision in Precision])
def test_a_node_that_is_malformed_is_named_with_its_operator(precision: str, detector: Path, rtx: ModuleType) -> None:
    model = onnx_graphs.detector()
    node = next(node for node in model.graph.node if node.name == "body")
    next(attribute for attribute in node.attribute if attribute.name == "strides").ints.append(2)
    job = _job(onnx_graphs.save(model, detector), precision=precision, ranges={"body": 6.0})
    with pytest.raises(PrecisionFailed, match=r"Conv.*body") as caught:
        build(job, ListChannel())
    assert "detector.onnx" in caught.value.message
    assert caught.value.hint


def test_int8_without_calibration_is_refused_before_any_library_is_loaded(detector: Path) -> None:
    with pytest.raises(PrecisionFailed, match="calibration"):
        build(_job(detector, precision="INT8", backend="tensorrt"), ListChannel())


def test_all_that_the_builder_says_reaches_the_message(
    tmp_path: Path, rtx: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    dynamic = onnx_graphs.model_of(
        [helper.make_node("Sigmoid", ["images"], ["output0"], "gate")],
        {},
        shape=("n", 3, 8, 8),
        outputs={"output0": [1, 3, 8, 8]},
    )
    path = onnx_graphs.save(dynamic, tmp_path / "dynamic.onnx")
    # The check before the build refuses such a graph; here the builder's own refusal is wanted.
    monkeypatch.setattr(build_tensorrt, "typed_graph", lambda source, *_: source)
    with pytest.raises(BuildFailed, match="no optimization profile has been defined") as caught:
        build(_job(path), ListChannel())
    assert "dynamic.onnx" in caught.value.message
    assert not (tmp_path / "engine.rtx").exists()


def test_a_gpu_that_rtx_does_not_know_is_refused(detector: Path, rtx: ModuleType) -> None:
    with pytest.raises(BuildFailed, match="SM90") as caught:
        build(_job(detector, capabilities=["SM90"]), ListChannel())
    assert "SM86" in caught.value.hint


def _device(gpu: Gpu | None, ram_bytes: int | None = 8 * GIB) -> Device:
    return Device("gpu" if gpu else "cpu", "unknown", "unknown", "unknown", "a CPU", (), ram_bytes, gpu)


def _gpu(capability: str = "8.7", *, integrated: bool = True, memory_bytes: int = 24 * GIB) -> Gpu:
    return Gpu("a GPU", capability, 8, integrated, "12.6", memory_bytes)


def test_rtx_builds_for_the_gpu_of_this_machine_or_says_that_it_cannot(
    detector: Path, rtx: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []
    serialize = build_tensorrt.serialize

    def spy(trt: Any, plan: build_tensorrt.Plan, channel: Channel) -> Any:
        asked.append(plan.capabilities)
        return serialize(trt, plan, channel)

    monkeypatch.setattr(build_tensorrt, "serialize", spy)
    for gpu in (_gpu("12.0"), None):
        monkeypatch.setattr(build_tensorrt, "read_device", lambda gpu=gpu: _device(gpu))
        build(_job(detector, capabilities=None), ListChannel())
    assert asked[0] == ("SM120",)
    assert {"SM75", "SM86", "SM120"} <= set(asked[1])
    monkeypatch.setattr(build_tensorrt, "read_device", lambda: _device(_gpu("9.0")))
    with pytest.raises(BuildFailed, match=r"does not serve a GPU \(SM 9\.0\)"):
        build(_job(detector, capabilities=None), ListChannel())


@pytest.mark.parametrize(
    ("wanted", "device", "expected"),
    [
        pytest.param(3.0, _device(None), 3 * GIB, id="as-asked"),
        pytest.param(0.5, _device(None), GIB // 2, id="as-asked-in-part"),
        pytest.param(None, _device(_gpu(), int(3.6 * GIB)), 1 * GIB, id="orin-nano-4gb"),
        pytest.param(None, _device(_gpu(), int(7.4 * GIB)), 2 * GIB, id="orin-nano-8gb"),
        pytest.param(None, _device(_gpu(), int(15.3 * GIB)), 4 * GIB, id="orin-nx-16gb"),
        pytest.param(None, _device(_gpu(), int(61 * GIB)), 8 * GIB, id="agx-orin-64gb"),
        pytest.param(None, _device(_gpu(integrated=False, memory_bytes=8 * GIB), 64 * GIB), 2 * GIB, id="pc-8gb-gpu"),
        pytest.param(None, _device(_gpu(), None), None, id="unknown"),
    ],
)
def test_workspace_follows_the_memory(wanted: float | None, device: Device, expected: int | None) -> None:
    assert workspace_bytes(wanted, device) == expected


# --- TensorRT 8, which knows no strongly typed networks, is told by flags ---


class _DataType(Enum):
    FLOAT = 0
    INT64 = 1


class _Layer:
    def __init__(self, name: str, *outputs: _DataType) -> None:
        self.name = name
        self.precision: _DataType | None = None
        self.output_types: dict[int, _DataType] = {}
        self._outputs = outputs

    @property
    def num_outputs(self) -> int:
        return len(self._outputs)

    def get_output(self, index: int) -> Any:
        return SimpleNamespace(dtype=self._outputs[index])

    def set_output_type(self, index: int, dtype: _DataType) -> None:
        self.output_types[index] = dtype


def _weak_library(**flags: object) -> Any:
    return SimpleNamespace(BuilderFlag=SimpleNamespace(**flags), DataType=_DataType)


def test_flags_allow_fp16_and_pin_the_layers_that_stay_fp32() -> None:
    layers = [_Layer("body", _DataType.FLOAT), _Layer("tail", _DataType.FLOAT), _Layer("index", _DataType.INT64)]
    network = SimpleNamespace(num_layers=len(layers), get_layer=lambda index: layers[index])
    flags: list[str] = []
    library = _weak_library(FP16="fp16", OBEY_PRECISION_CONSTRAINTS="obey")
    set_weak_types(library, network, SimpleNamespace(set_flag=flags.append), {"tail", "index"})
    assert flags == ["fp16", "obey"]
    assert [layer.precision for layer in layers] == [None, _DataType.FLOAT, None]
    assert layers[1].output_types == {0: _DataType.FLOAT}
    assert layers[2].output_types == {}


class _Builder8:
    """As much of TensorRT 8.6's builder as a build asks for; it notes what it was asked."""

    def __init__(self) -> None:
        self.flags: list[str] = []
        self.creation: int | None = None
        self.parsed: Path | None = None
        self.limits: dict[str, int] = {}
        self.layers = [_Layer("body", _DataType.FLOAT), _Layer("dfl", _DataType.FLOAT)]

    def library(self) -> Any:
        config = SimpleNamespace(
            set_flag=self.flags.append,
            clear_flag=lambda flag: self.flags.append(f"-{flag}"),
            set_memory_pool_limit=self.limits.__setitem__,
        )

        def create_network(flags: int) -> Any:
            self.creation = flags
            return SimpleNamespace(num_layers=len(self.layers), get_layer=self.layers.__getitem__)

        def parse_from_file(path: str) -> bool:
            self.parsed = Path(path)
            return True

        builder = SimpleNamespace(
            create_network=create_network,
            create_builder_config=lambda: config,
            build_serialized_network=lambda network, config: b"a plan",
        )
        return SimpleNamespace(
            __name__="tensorrt",
            __version__="8.6.2",
            ILogger=ILogger,
            Builder=lambda logger: builder,
            OnnxParser=lambda network, logger: SimpleNamespace(parse_from_file=parse_from_file),
            NetworkDefinitionCreationFlag=SimpleNamespace(EXPLICIT_BATCH=0),
            MemoryPoolType=SimpleNamespace(WORKSPACE="workspace"),
            ProfilingVerbosity=SimpleNamespace(DETAILED="detailed"),
            BuilderFlag=SimpleNamespace(TF32="TF32", FP16="FP16", INT8="INT8", OBEY_PRECISION_CONSTRAINTS="OBEY"),
            DataType=_DataType,
        )


@pytest.mark.parametrize(
    ("precision", "flags"),
    [
        pytest.param("FP32", ["-TF32"], id="fp32"),
        pytest.param("FP16", ["-TF32", "FP16", "OBEY"], id="fp16"),
        pytest.param("INT8", ["-TF32", "FP16", "OBEY", "INT8"], id="int8"),
    ],
)
def test_tensorrt_8_gets_a_graph_of_fp32_and_flags(
    precision: str, flags: list[str], detector: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _Builder8()
    monkeypatch.setattr(compat, "load", lambda backend: asked.library())
    monkeypatch.setattr(compat, "_loggers", {})
    ranges = {"body": 6.0, "mix": 9.0}
    result = build(_job(detector, backend="tensorrt", precision=precision, ranges=ranges), ListChannel())
    parsed = detector.with_name("engine.typed.onnx") if precision == "INT8" else detector
    assert (asked.creation, asked.parsed, asked.flags) == (1, parsed, flags)
    assert asked.limits == {"workspace": GIB // 4}
    pinned = [layer.precision for layer in asked.layers]
    assert pinned == ([None, None] if precision == "FP32" else [None, _DataType.FLOAT])
    engine = Path(result["engine"])
    assert engine.read_bytes()[read_header(engine)[1] :] == b"a plan"


def test_a_full_disk_is_an_error_that_says_so(detector: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compat, "load", lambda backend: _Builder8().library())
    monkeypatch.setattr(compat, "_loggers", {})
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    engine = detector.with_name("full.engine")
    engine.symlink_to("/dev/full")
    with pytest.raises(BuildFailed, match="No space left") as caught:
        build(_job(detector, backend="tensorrt", engine=str(engine)), ListChannel())
    assert "Make room" in caught.value.hint


def test_a_library_with_neither_way_is_refused() -> None:
    with pytest.raises(PrecisionFailed, match="neither"):
        set_weak_types(_weak_library(), SimpleNamespace(num_layers=0), SimpleNamespace(), ())


def test_the_process_has_one_logger(rtx: ModuleType) -> None:
    assert compat.logger(rtx) is compat.logger(rtx)
