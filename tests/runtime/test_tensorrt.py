"""The TensorRT runner on doubles of TensorRT and pycuda that compute through ONNX Runtime on the given addresses."""

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper

from app.convert.layers import count_layers
from app.engines.header import read_header, write_header
from app.errors import (
    BackendUnavailable,
    EngineDamaged,
    EngineError,
    EngineStale,
    JetsmithError,
    ModelError,
)
from app.metadata import ModelMetadata
from app.runtime.onnxruntime import OnnxRuntimeRunner
from app.runtime.tensorrt import TensorRTRunner
from app.types import Backend, GpuMemory
from tests import onnx_graphs
from tests.doubles.pycuda_double import CudaDouble
from tests.doubles.tensorrt_double import IExecutionContext, plan_of, tensorrt_double
from tests.runtime.conftest import install_cuda

pytestmark = pytest.mark.usefixtures("tensorrt")
HEADER = {"task": "detect", "names": {"0": "circle", "1": "square"}, "imgsz": [64, 64], "stride": 4}


def _engine(graph: Path, plan: bytes | None = None, header: bytes | None = None) -> Path:
    path = graph.with_suffix(".engine")
    path.write_bytes((write_header(HEADER) if header is None else header) + (plan or plan_of(graph)))
    return path


def _runner(path: Path, backend: Backend = Backend.TENSORRT) -> TensorRTRunner:
    header, offset = read_header(path)
    return TensorRTRunner(path, header=header or HEADER, offset=offset, backend=backend)


def _images(seed: int = 0, size: int = 64) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).random((1, 3, size, size), dtype=np.float32)


def _expected(graph: Path, images: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[Any]]:
    with OnnxRuntimeRunner(graph) as reference:
        return dict(reference.infer({"images": images}))


def test_the_inspector_tells_of_the_layers(detector: Path) -> None:
    runner = _runner(_engine(detector))
    with pytest.raises(RuntimeError, match="entered"):
        runner.layer_information()
    with runner:
        assert count_layers(runner.layer_information()) == {"FP32": 1}


@pytest.mark.parametrize("backend", [Backend.TENSORRT, Backend.TENSORRT_RTX])
def test_it_computes_what_onnx_runtime_computes(backend: Backend, detector: Path) -> None:
    with _runner(_engine(detector), backend) as runner:
        assert [(spec.name, spec.shape) for spec in runner.inputs] == [("images", (1, 3, 64, 64))]
        assert [(spec.name, spec.shape, spec.dtype) for spec in runner.outputs] == [
            ("output0", (1, 6, 256), np.dtype(np.float32))
        ]
        assert runner.metadata == ModelMetadata.from_header(HEADER)
        for seed in range(3):  # the second picture is not answered with the first one's buffers
            images = _images(seed)
            np.testing.assert_array_equal(
                runner.infer({"images": images})["output0"], _expected(detector, images)["output0"]
            )


def test_it_runs_real_weights(exported: Callable[[str], Path], tmp_path: Path) -> None:
    graph = exported("yolov8n")
    path = tmp_path / "yolov8n.engine"
    path.write_bytes(write_header(HEADER) + plan_of(graph))
    images = _images(size=320)
    with _runner(path) as runner:
        np.testing.assert_array_equal(runner.infer({"images": images})["output0"], _expected(graph, images)["output0"])


def test_an_engine_without_a_header_runs(detector: Path) -> None:
    with _runner(_engine(detector, header=b"")) as runner:
        assert runner.infer({"images": _images()})["output0"].shape == (1, 6, 256)


def _with_dla_cores(count: int, cuda: CudaDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", tensorrt_double(cuda, dla_cores=count))


@pytest.mark.parametrize("core", [0, 1])
def test_the_core_of_the_header_is_chosen_before_the_plan_is_read(
    core: int, detector: Path, cuda: CudaDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    _with_dla_cores(2, cuda, monkeypatch)
    header = write_header({**HEADER, "dla": str(core)})
    with _runner(_engine(detector, plan_of(detector, dla=core), header)) as runner:
        images = _images()
        expected = _expected(detector, images)["output0"]
        np.testing.assert_array_equal(runner.infer({"images": images})["output0"], expected)


def test_the_double_refuses_a_plan_for_a_core_that_was_not_chosen(
    detector: Path, cuda: CudaDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    _with_dla_cores(2, cuda, monkeypatch)
    with pytest.raises(EngineDamaged, match="DLA_core is -1"), _runner(_engine(detector, plan_of(detector, dla=1))):
        pass


@pytest.mark.parametrize(
    ("named", "there", "kind", "says"),
    [
        pytest.param("0", 0, EngineStale, "DLA core 0, and TensorRT finds none here", id="no-dla"),
        pytest.param("1", 1, EngineStale, "DLA core 1, and TensorRT finds 1 here", id="one-core"),
        pytest.param("x" * 99, 2, EngineDamaged, "which is no number", id="garbage"),
        pytest.param(True, 2, EngineDamaged, "which is no number", id="of-another-type"),
    ],
)
def test_a_core_that_is_not_there_is_an_error_that_says_how_to_go_on(
    named: object,
    there: int,
    kind: type[JetsmithError],
    says: str,
    detector: Path,
    cuda: CudaDouble,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _with_dla_cores(there, cuda, monkeypatch)
    engine = _engine(detector, plan_of(detector, dla=0), write_header({**HEADER, "dla": named}))
    with pytest.raises(kind, match=says) as caught, _runner(engine):
        pass
    assert "jetsmith convert" in caught.value.hint
    assert (cuda.retained, cuda.live, cuda.stack()) == (0, {}, [])


def test_it_touches_no_gpu_before_it_is_entered_and_leaves_nothing_behind(detector: Path, cuda: CudaDouble) -> None:
    runner = _runner(_engine(detector))
    assert (cuda.retained, cuda.live, dict(cuda.streams)) == (0, {}, {})
    with runner:
        assert (cuda.retained, len(cuda.live)) == (1, 2)
        runner.infer({"images": _images()})
    assert (cuda.retained, cuda.live, cuda.stack()) == (0, {}, [])


@pytest.mark.parametrize("memory", list(GpuMemory))
def test_a_gpu_that_shares_the_hosts_memory_needs_no_copies(
    memory: GpuMemory, detector: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jetson = CudaDouble(integrated=True)
    install_cuda(jetson, monkeypatch)
    monkeypatch.setitem(sys.modules, "tensorrt", tensorrt_double(jetson))
    path = _engine(detector)
    header, offset = read_header(path)
    with TensorRTRunner(path, header=header, offset=offset, memory=memory) as runner:
        actual = runner.infer({"images": _images()})["output0"].copy()
        copied = memory is GpuMemory.COPIED
        assert len(jetson.live) == (2 if copied else 0)  # the GPU's own memory: input and output
        runner.keep_on_gpu()
        assert len(jetson.live) == 2
        np.testing.assert_array_equal(runner.infer({"images": _images()})["output0"], actual)
    np.testing.assert_array_equal(actual, _expected(detector, _images())["output0"])
    assert (jetson.retained, jetson.live) == (0, {})


def test_it_can_be_entered_again(detector: Path) -> None:
    runner = _runner(_engine(detector))
    for _ in range(2):
        with runner:
            assert runner.infer({"images": _images()})["output0"].shape == (1, 6, 256)


def test_any_thread_may_run_it(detector: Path) -> None:
    results: list[npt.NDArray[Any]] = []
    with _runner(_engine(detector)) as runner:
        thread = threading.Thread(target=lambda: results.append(runner.infer({"images": _images()})["output0"].copy()))
        thread.start()
        thread.join()
    np.testing.assert_array_equal(results[0], _expected(detector, _images())["output0"])


@pytest.mark.parametrize(
    ("feeds", "says"),
    [
        pytest.param({}, "got nothing", id="missing"),
        pytest.param({"images": np.zeros((1, 3, 32, 32), np.float32)}, r"\(1, 3, 32, 32\)", id="shape"),
        pytest.param({"images": np.zeros((1, 3, 64, 64), np.float64)}, "got float64", id="type"),
    ],
)
def test_a_wrong_input_is_refused_with_what_it_takes(
    feeds: dict[str, npt.NDArray[Any]], says: str, detector: Path
) -> None:
    with _runner(_engine(detector)) as runner, pytest.raises(ModelError, match=says) as caught:
        runner.infer(feeds)
    assert "float32 (1, 3, 64, 64)" in caught.value.message


DAMAGED = [
    pytest.param(lambda graph: b"\0" * 100, EngineDamaged, "Magic tag", id="garbage"),
    pytest.param(lambda graph: plan_of(graph, version="8.6.2"), EngineStale, r"got 8\.6\.2", id="other-tensorrt"),
    pytest.param(lambda graph: plan_of(graph, gpu="8.6"), EngineStale, r"got compute 8\.6", id="other-gpu"),
]


@pytest.mark.parametrize(("plan", "kind", "says"), DAMAGED)
def test_a_plan_that_cannot_be_loaded_is_an_error_in_tensorrts_words(
    plan: Callable[[Path], bytes], kind: type[JetsmithError], says: str, detector: Path, cuda: CudaDouble
) -> None:
    with pytest.raises(kind, match=says) as caught, _runner(_engine(detector, plan(detector))):
        pass
    assert "jetsmith convert" in caught.value.hint
    assert (cuda.retained, cuda.live, cuda.stack()) == (0, {}, [])


def test_an_empty_or_missing_file_is_damaged(detector: Path, tmp_path: Path) -> None:
    path = tmp_path / "empty.engine"
    path.write_bytes(write_header(HEADER))
    for case in (path, tmp_path / "absent.engine"):
        runner = TensorRTRunner(case, header=HEADER, offset=path.stat().st_size)
        with pytest.raises(EngineDamaged, match=case.name), runner:
            pass


def _metadata_free(input_type: int, shape: list[int | str]) -> onnx.ModelProto:
    return helper.make_model(
        helper.make_graph(
            [helper.make_node("Identity", ["images"], ["output0"])],
            "identity",
            [helper.make_tensor_value_info("images", input_type, shape)],
            [helper.make_tensor_value_info("output0", input_type, shape)],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=8,
    )


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(_metadata_free(TensorProto.BFLOAT16, [1, 3, 8, 8]), id="type-unknown-to-numpy"),
        pytest.param(_metadata_free(TensorProto.FLOAT, ["n", 3, 8, 8]), id="dynamic-shape"),
    ],
)
def test_an_engine_of_another_kind_is_refused(model: onnx.ModelProto, tmp_path: Path) -> None:
    graph = onnx_graphs.save(model, tmp_path / "odd.onnx")
    with pytest.raises(ModelError, match="not a static numeric one"), _runner(_engine(graph)):
        pass


def test_half_tensors_keep_their_type(tmp_path: Path) -> None:
    graph = onnx_graphs.save(_metadata_free(TensorProto.FLOAT16, [1, 3, 8, 8]), tmp_path / "half.onnx")
    with _runner(_engine(graph)) as runner:
        values = np.arange(192, dtype=np.float16).reshape(1, 3, 8, 8)
        np.testing.assert_array_equal(runner.infer({"images": values})["output0"], values)


def test_too_little_memory_is_an_error_that_says_for_what(detector: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = CudaDouble(memory_bytes=50_000)  # the input fits, the output does not
    install_cuda(small, monkeypatch)
    with pytest.raises(EngineError, match="'output0'") as caught, _runner(_engine(detector)):
        pass
    assert "Close other programs" in caught.value.hint
    assert (small.retained, small.live) == (0, {})


def test_no_gpu_is_an_error_of_the_backend(detector: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = CudaDouble(devices=0)
    install_cuda(bare, monkeypatch)
    with pytest.raises(BackendUnavailable, match="no GPU"), _runner(_engine(detector)):
        pass


def test_without_pycuda_it_says_how_to_install_it(detector: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pycuda", "pycuda.driver"):
        monkeypatch.setitem(sys.modules, name, None)  # an import of it then fails
    with pytest.raises(BackendUnavailable, match="pycuda") as caught, _runner(_engine(detector)):
        pass
    assert "pip install pycuda" in caught.value.hint


def test_a_run_that_tensorrt_refuses_is_an_error_with_its_words(
    detector: Path, monkeypatch: pytest.MonkeyPatch, cuda: CudaDouble
) -> None:
    with _runner(_engine(detector)) as runner:
        monkeypatch.setattr(IExecutionContext, "set_tensor_address", lambda self, name, memory: self._addresses.clear())
        loaded: Any = runner._loaded
        loaded.context._addresses.clear()
        with pytest.raises(EngineError, match="no address or no shape"):
            runner.infer({"images": _images()})
    assert cuda.retained == 0


def test_a_refused_address_is_an_error(detector: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(IExecutionContext, "set_tensor_address", lambda self, name, memory: False)
    with pytest.raises(EngineError, match="refused tensor 'images'"), _runner(_engine(detector)):
        pass


def test_an_error_of_cuda_while_running_is_translated(detector: Path, cuda: CudaDouble) -> None:
    driver: Any = cuda.modules["pycuda.driver"]

    def fail(*arguments: object) -> None:
        raise driver.LogicError("cuMemcpyHtoDAsync failed: an illegal memory access was encountered")

    with _runner(_engine(detector)) as runner:
        driver.memcpy_htod_async = fail
        with pytest.raises(EngineError, match=r"running detector\.engine: cuMemcpyHtoDAsync failed"):
            runner.infer({"images": _images()})
    assert (cuda.retained, cuda.live, cuda.stack()) == (0, {}, [])
