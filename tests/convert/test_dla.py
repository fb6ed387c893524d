"""Engines for the DLA, on doubles of TensorRT: what is asked of it, what is refused, and what the files then say."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.cli import main
from app.cli.infer import _unlike_settings
from app.cli.show import engine_lines
from app.convert import build as build_module
from app.convert import export as export_module
from app.convert import layers, library_child, pipeline
from app.convert.build import BuildOptions, Built
from app.convert.build_tensorrt import build
from app.convert.dla import require_cores, require_dla
from app.convert.effort import Effort
from app.convert.layers_child import _inspect
from app.convert.options import ConvertOptions
from app.convert.weights import WeightsRequest
from app.device import Device, Gpu, read_device
from app.engines.header import read_header
from app.errors import BuildFailed, OutOfMemory, PrecisionFailed
from app.runtime import tensorrt_compat as compat
from app.runtime.onnxruntime import OnnxRuntimeRunner
from app.runtime.tensorrt import TensorRTRunner
from app.types import Backend, Head, Precision
from config.settings import load_settings
from tests import onnx_graphs
from tests.command import PROJECT_ROOT
from tests.doubles.pycuda_double import CudaDouble
from tests.doubles.reporters import ListChannel
from tests.doubles.tensorrt_dla_double import Asked, DeviceType, tensorrt_with_builder

BOARDS = PROJECT_ROOT / "tests" / "data" / "boards"
ORIN = Gpu("Orin", "8.7", 16, True, "12.6", 16 * 2**30)
RANGES = {"body": 6.0, "mix": 9.0}
Install = Callable[..., Asked]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a TensorRT of a release, with DLA cores, and a GPU into this process."""
    cuda = CudaDouble()
    for name, module in cuda.modules.items():
        monkeypatch.setitem(sys.modules, name, module)

    def add(**release: Any) -> Asked:
        monkeypatch.setattr(compat, "_loggers", {})
        module, asked = tensorrt_with_builder(cuda, **release)
        monkeypatch.setitem(sys.modules, "tensorrt", module)
        return asked

    return add


def _job(onnx: Path, **changes: Any) -> dict[str, Any]:
    job = {
        "onnx": str(onnx),
        "engine": str(onnx.with_name("detector.engine")),
        "backend": "tensorrt",
        "precision": "FP16",
        "workspace_gb": 1,
        "dla_core": 1,
    }
    return {**job, **changes}


def _types(asked: Asked) -> tuple[int, set[str]]:
    return asked.networks[-1]._flags, asked.configs[-1]._flags


@pytest.mark.parametrize(
    ("api", "release"),
    [
        ("8.6", {"version": "8.6.2", "strongly_typed": False}),
        ("10.3", {"version": "10.3.0"}),
        ("11.4", {"version": "11.4.1", "by_flags": False}),
    ],
)
def test_the_double_shows_only_names_of_its_release(
    api: str, release: dict[str, Any], shared_data: Callable[[str], Path]
) -> None:
    real = json.loads(shared_data("facts/tensorrt_api.json").read_text())[api]
    module, _ = tensorrt_with_builder(CudaDouble(), **release)
    names = ("Builder", "IBuilderConfig", "OnnxParser", "DeviceType", "BuilderFlag", "NetworkDefinitionCreationFlag")
    for name in (*names, "MemoryPoolType", "ProfilingVerbosity"):
        ours = {member for member in vars(vars(module)[name]) if not member.startswith("_")}
        assert ours <= set(real[name]), name
    settable = {name for name in vars(vars(module)["IBuilderConfig"]()) if not name.startswith("_")}
    assert settable <= set(real["IBuilderConfig"])


# --- the build ---


def test_the_builder_prefers_the_core_and_the_gpu_runs_the_rest(detector: Path, install: Install) -> None:
    asked, listener = install(dla_cores=2), ListChannel()
    result = build(_job(detector), listener)
    config = asked.configs[-1]
    assert (config.default_device_type, config.DLA_core) == (DeviceType.DLA, 1)
    assert "GPU_FALLBACK" in config._flags
    able = sum(config.can_run_on_DLA(layer) for layer in asked.networks[-1]._layers)
    total = len(asked.networks[-1]._layers)
    assert 0 < able < total
    assert result["facts"]["dla"] == {"core": 1, "layers_it_can_run": able, "layers": total}
    assert listener.notes == [f"DLA core 1: it can run {able} of {total} layers, the GPU runs the others"]


def test_an_engine_for_the_gpu_asks_for_no_core(detector: Path, install: Install) -> None:
    asked = install(dla_cores=2)
    result = build(_job(detector, dla_core=None), ListChannel())
    assert (asked.configs[-1].default_device_type, asked.configs[-1].DLA_core) == (DeviceType.GPU, -1)
    assert "GPU_FALLBACK" not in asked.configs[-1]._flags
    assert "dla" not in read_header(Path(result["engine"]))[0]
    assert result["facts"] == {}


@pytest.mark.parametrize("core", [0, 1])
def test_the_header_names_the_core_as_ultralytics_does_and_the_runner_chooses_it(
    core: int, detector: Path, install: Install
) -> None:
    install(dla_cores=2)
    result = build(_job(detector, dla_core=core), ListChannel())
    engine = Path(result["engine"])
    header, offset = read_header(engine)
    assert header["dla"] == str(core)  # text, as Ultralytics writes it
    assert result["header"]["dla"] == header["dla"]  # which goes into the manifest
    images = np.random.default_rng(0).random((1, 3, 64, 64), dtype=np.float32)
    with TensorRTRunner(engine, header=header, offset=offset) as runner, OnnxRuntimeRunner(detector) as exact:
        found, expected = runner.infer({"images": images})["output0"], exact.infer({"images": images})["output0"]
        np.testing.assert_allclose(found, expected, atol=0.5)


@pytest.mark.parametrize(
    ("release", "creation", "flags"),
    [
        pytest.param({"version": "8.6.2", "strongly_typed": False}, 1, True, id="8.6"),
        pytest.param({"version": "10.3.0"}, 1, True, id="10.3"),
        pytest.param({"version": "11.4.1", "by_flags": False}, 1, False, id="11.4.1"),
    ],
)
def test_each_release_is_told_the_precision_in_its_own_way(
    release: dict[str, Any], creation: int, flags: bool, detector: Path, install: Install
) -> None:
    asked = install(dla_cores=2, **release)
    build(_job(detector), ListChannel())
    assert asked.networks[-1]._flags == creation  # EXPLICIT_BATCH up to 10, STRONGLY_TYPED from 11 on: both bit 0
    assert ("FP16" in asked.configs[-1]._flags) is flags
    assert asked.networks[-1]._graph.name == ("detector.onnx" if flags else "detector.typed.onnx")


def test_for_the_gpu_ten_stays_strongly_typed(detector: Path, install: Install) -> None:
    asked = install(dla_cores=2)
    build(_job(detector, dla_core=None), ListChannel())
    assert asked.networks[-1]._flags == 2
    assert "FP16" not in asked.configs[-1]._flags
    assert asked.networks[-1]._graph.name == "detector.typed.onnx"


def test_int8_for_the_dla_where_networks_are_strongly_typed(detector: Path, install: Install) -> None:
    asked = install(dla_cores=2, version="11.4.1", by_flags=False)
    build(_job(detector, precision="INT8", ranges=RANGES), ListChannel())
    assert asked.networks[-1]._graph.name == "detector.typed.onnx"
    assert asked.configs[-1].DLA_core == 1


@pytest.mark.parametrize("end2end", ["False", "True"])
def test_int8_for_the_dla_is_refused_where_precision_is_told_by_flags(
    end2end: str, tmp_path: Path, install: Install
) -> None:
    install(dla_cores=2, version="10.3.0")
    model = onnx_graphs.detector()
    next(entry for entry in model.metadata_props if entry.key == "end2end").value = end2end
    graph = onnx_graphs.save(model, tmp_path / "detector.onnx")
    with pytest.raises(BuildFailed, match=r"TensorRT 10\.3\.0 cannot build INT8 for the DLA") as caught:
        build(_job(graph, precision="INT8", ranges=RANGES), ListChannel())
    assert "--precision FP16" in caught.value.hint


def test_a_dynamic_graph_is_refused(tmp_path: Path, install: Install) -> None:
    from onnx import helper

    node = helper.make_node("Sigmoid", ["images"], ["output0"], "gate")
    model = onnx_graphs.model_of([node], {}, shape=("n", 3, 8, 8), outputs={"output0": [1, 3, 8, 8]})
    install(dla_cores=2)
    with pytest.raises(PrecisionFailed, match="static"):
        build(_job(onnx_graphs.save(model, tmp_path / "dynamic.onnx")), ListChannel())


def test_a_network_of_which_the_core_can_run_nothing_is_refused(tmp_path: Path, install: Install) -> None:
    from onnx import helper

    node = helper.make_node("Sigmoid", ["images"], ["output0"], "gate")
    model = onnx_graphs.model_of([node], {}, outputs={"output0": [1, 3, 64, 64]})
    install(dla_cores=2)
    with pytest.raises(BuildFailed, match="none of the 1 layers") as caught:
        build(_job(onnx_graphs.save(model, tmp_path / "gate.onnx")), ListChannel())
    assert "dla_core to null" in caught.value.hint


def test_out_of_memory_is_told_as_such(detector: Path, install: Install) -> None:
    install(dla_cores=2).failure = "Error Code 2: OutOfMemory (Requested size was 9 bytes.)"
    with pytest.raises(OutOfMemory, match="OutOfMemory"):
        build(_job(detector), ListChannel())


@pytest.mark.parametrize(
    ("precision", "says"), [("INT8", "Take head: raw, or --precision FP16"), ("FP16", "--verbose")]
)
def test_what_the_builder_cannot_do_comes_with_what_to_try(
    precision: str, says: str, detector: Path, install: Install
) -> None:
    install().failure = "Error Code 2: Internal Error (Assertion item.second != nullptr failed.)"
    with pytest.raises(BuildFailed, match=r"item\.second") as caught:
        build(_job(detector, dla_core=None, precision=precision, ranges=RANGES), ListChannel())
    assert caught.value.hint.startswith((says, "Run it again with"))
    assert ("head: raw" in caught.value.hint) is (precision == "INT8")


# --- what is refused before ---


REFUSED = [
    pytest.param(0, Precision.FP16, Backend.ONNXRUNTIME, None, "onnxruntime cannot use one", id="onnxruntime"),
    pytest.param(0, Precision.FP16, Backend.TENSORRT_RTX, None, "tensorrt_rtx cannot use one", id="rtx"),
    pytest.param(0, Precision.FP32, Backend.TENSORRT, 2, "not in FP32", id="fp32"),
    pytest.param(0, Precision.FP16, Backend.TENSORRT, 0, "a board has no DLA", id="none"),
    pytest.param(1, Precision.FP16, Backend.TENSORRT, 1, "a board has 1 DLA core, number 0", id="one"),
    pytest.param(2, Precision.INT8, Backend.TENSORRT, 2, "a board has 2 DLA cores, 0 to 1", id="two"),
]


@pytest.mark.parametrize(("core", "precision", "backend", "cores", "says"), REFUSED)
def test_what_cannot_be_is_refused_with_the_reason(
    core: int, precision: Precision, backend: Backend, cores: int | None, says: str
) -> None:
    with pytest.raises(BuildFailed, match=says) as caught:
        require_dla(core, precision, backend, "a board", cores)
    assert "tensorrt_engine_settings.dla_core" in caught.value.message
    assert "dla_core to null" in caught.value.hint


@pytest.mark.parametrize("cores", [2, None])
def test_what_may_be_passes(cores: int | None) -> None:
    require_dla(1, Precision.FP16, Backend.TENSORRT, "a board", cores)


@pytest.mark.parametrize(
    ("version", "cores", "says"),
    [
        pytest.param("10.7.0", 0, r"TensorRT 10\.7\.0 finds no DLA here$", id="10.7-has-it-elsewhere"),
        pytest.param("10.8.0", 0, r"no DLA here: TensorRT 10\.7 was the last to support it, until 11\.4\.1", id="10.8"),
        pytest.param("10.16.2.10", 0, r"10\.7 was the last", id="10.16"),
        pytest.param("11.4.0", 0, r"10\.7 was the last", id="11.4.0"),
        pytest.param("11.4.1", 0, r"TensorRT 11\.4\.1 finds no DLA here$", id="11.4.1"),
        pytest.param("10.3.0", 1, r"finds 1 DLA core, number 0 here$", id="one-core"),
    ],
)
def test_the_library_is_asked_and_nvidias_words_explain(version: str, cores: int, says: str, install: Install) -> None:
    install(version=version, dla_cores=cores)
    trt = compat.load(Backend.TENSORRT)
    with pytest.raises(BuildFailed, match=says) as caught:
        require_cores(trt, trt.Builder(compat.logger(trt)), 1, Precision.FP16)
    assert "dla_core to null" in caught.value.hint


# --- the whole conversion ---


class Bench:
    """An AGX Orin or another board; steps that need PyTorch or a process of their own are done here and now."""

    def __init__(self, board: str, models: Path, detector: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.models, self.exports, self.listener = models, 0, ListChannel()

        def export(module: str, job: object, *, work: Path, **_: object) -> dict[str, Any]:
            self.exports += 1
            (work / "model.onnx").write_bytes(detector.read_bytes())
            return {"onnx": "model.onnx", "traits": {"task": "detect", "family": "yolov8", "parameters": 1}}

        def device() -> Device:
            return read_device(BOARDS / board, gpu_probe=lambda: ORIN)

        for module in (pipeline, library_child):
            monkeypatch.setattr(module, "read_device", device)
        monkeypatch.setattr(pipeline, "dla_cores", lambda found: _cores(found, BOARDS / board))
        monkeypatch.setattr(export_module, "run_child", export)
        monkeypatch.setattr(pipeline, "try_library", _try_library_here)
        monkeypatch.setattr(pipeline, "build_engine", _build_here)
        monkeypatch.setattr(pipeline, "choose_backend", lambda wanted, **_: (wanted, "backend: as asked"))
        monkeypatch.setattr(layers, "run_child", lambda module, job, **_: _inspect(job, ListChannel()))

    def convert(self, **changes: Any) -> pipeline.Conversion:
        weights = PROJECT_ROOT / "models" / "demo" / "demo-detect.pt"
        request = WeightsRequest(weights, None, "https://example.invalid", self.models / "weights.json")
        values: dict[str, Any] = {"backend": Backend.TENSORRT, "skip_verify": True, "dla_core": 0, **changes}
        alias = self.models / "demo.engine"
        options = ConvertOptions(request, None, alias, self.models / "engines", (64, 64), **values)
        return pipeline.convert(options, self.listener)


def _cores(device: Device, root: Path) -> int | None:
    from app.board import dla_cores

    return dla_cores(device, root)


def _try_library_here(backend: Backend, version: str, reporter: object, **wanted: Any) -> None:
    if backend is not Backend.ONNXRUNTIME:
        library_child.try_to_load(_library_job(backend, version, **wanted), ListChannel())


def _library_job(backend: Backend, version: str, **wanted: Any) -> dict[str, Any]:
    values = {"precision": Precision.FP16, "head": Head.RAW, "dla_core": None, **wanted}
    return {"backend": backend.value, "version": version, **values}


def _build_here(onnx: Path, options: BuildOptions, work: Path, reporter: object) -> Built:
    effort = Effort(2**30)
    return build_module._built(build(build_module._job(onnx, options, effort, work), ListChannel()), effort, [])


@pytest.fixture
def bench(tmp_path: Path, detector: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Bench]:
    return lambda board: Bench(board, tmp_path / "models", detector, monkeypatch)


def test_from_the_setting_to_the_manifest(bench: Callable[[str], Bench], install: Install) -> None:
    install(dla_cores=2)
    engine = bench("orin-nx-without-model").convert().engine
    assert engine is not None
    manifest = engine.manifest
    assert manifest.identity.recipe["dla_core"] == "0"
    assert manifest.model["dla"] == "0"
    assert manifest.build["dla"]["core"] == 0
    assert manifest.build["dla"]["layers_it_can_run"] > 0
    assert manifest.build["layers"] == {"FP32": 1}  # the inspector's double tells of one layer
    assert read_header(engine.path)[0]["dla"] == "0"


@pytest.mark.parametrize(
    ("built_for", "set_to", "said"),
    [(0, 0, []), (None, None, []), (0, None, ["DLA core 0 → none"]), (None, 1, ["DLA core none → 1"])],
)
def test_people_are_told_of_the_core(
    built_for: int | None, set_to: int | None, said: list[str], bench: Callable[[str], Bench], install: Install
) -> None:
    install(dla_cores=2)
    conversion = bench("orin-nx-without-model").convert(dla_core=built_for)
    assert conversion.engine is not None
    assert conversion.alias is not None
    shown = "\n".join(engine_lines(conversion.engine, conversion.alias, "built"))
    assert ("DLA core 0" in shown) is (built_for == 0)
    settings = load_settings(overrides={"vision.yolo.tensorrt_engine_settings.dla_core": set_to})
    told = _unlike_settings(settings, conversion.engine)
    assert [change for change in told if "DLA" in change] == said


def test_another_core_or_none_builds_anew_and_says_so(bench: Callable[[str], Bench], install: Install) -> None:
    install(dla_cores=2)
    board = bench("orin-nx-without-model")
    assert [board.convert(dla_core=core).built for core in (None, 0, 0, 1, 1, None)] == [
        True, True, False, True, False, False,
    ]  # fmt: skip
    said = [note for note in board.listener.notes if note.startswith("Changed")]
    assert said == ["Changed since the last build: DLA core none → 0.", "Changed since the last build: DLA core 0 → 1."]


@pytest.mark.parametrize(
    ("board", "release", "changes", "says"),
    [
        pytest.param("orin-nano-jp62", {}, {}, "Jetson Orin Nano 8GB has no DLA", id="orin-nano"),
        pytest.param("agx-thor-jp70", {"version": "10.13.3"}, {}, "Thor T5000 has no DLA", id="thor"),
        pytest.param("x86-xeon", {}, {"backend": Backend.ONNXRUNTIME}, "onnxruntime cannot", id="onnxruntime"),
        pytest.param("agx-orin-jp72", {"version": "10.16.2"}, {}, r"10\.16\.2 finds no DLA here: ", id="jetpack-7.2"),
        pytest.param("orin-nx-without-model", {"dla_cores": 2}, {"precision": Precision.FP32}, "FP32", id="fp32"),
        pytest.param(
            "orin-nx-without-model", {"dla_cores": 2}, {"precision": Precision.INT8, "pictures": "PICTURES"},
            "cannot build INT8", id="int8",
        ),
        pytest.param("agx-thor-container", {}, {"dla_core": 3}, "finds no DLA here", id="unknown-board"),
    ],
)  # fmt: skip
def test_refusals_come_before_the_export_and_leave_nothing(
    board: str, release: dict[str, Any], changes: dict[str, Any], says: str, bench: Callable[[str], Bench],
    install: Install,
) -> None:  # fmt: skip
    install(**release)
    where = bench(board)
    if "pictures" in changes:
        changes = {**changes, "pictures": str(PROJECT_ROOT / "models" / "demo" / "scenes" / "detect" / "*.jpg")}
    with pytest.raises(BuildFailed, match=says):
        where.convert(**changes)
    assert where.exports == 0
    assert not list(where.models.glob("engines/*/*.engine"))


def test_accuracy_that_is_lost_falls_back_to_fp16_at_most(
    bench: Callable[[str], Bench], install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.errors import AccuracyLost

    def lose(*_: object) -> dict[str, Any]:
        raise AccuracyLost("off by 9 px")

    asked = install(dla_cores=2)
    monkeypatch.setattr(pipeline, "_verify", lose)
    with pytest.raises(AccuracyLost):
        bench("orin-nx-without-model").convert(fall_back=True, skip_verify=False)
    assert len(asked.configs) == 1


# --- from the command line ---


def test_trtexec_gets_the_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], install: Install
) -> None:
    install(dla_cores=2)
    monkeypatch.setenv("JETSMITH_MODELS_DIR", str(tmp_path))
    monkeypatch.setenv("JETSMITH_VISION__YOLO__TENSORRT_ENGINE_SETTINGS__DLA_CORE", "1")
    assert main(["convert", "--model", "yolo11n", "--print-trtexec"]) == 0
    line = capsys.readouterr().out
    assert f"--onnx={tmp_path}/yolo11n.onnx " in line
    assert "--noTF32 --fp16 --useDLACore=1 --allowGPUFallback" in line


@pytest.mark.parametrize("value", ["2.5", "-1", "16", "true", "all"])
def test_a_core_is_a_small_number_or_null(
    value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JETSMITH_VISION__YOLO__TENSORRT_ENGINE_SETTINGS__DLA_CORE", value)
    assert main(["config"]) != 0
    assert "from 0 to 15, or null" in capsys.readouterr().err
