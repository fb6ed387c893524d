"""How the work gets to the GPU: one graph, or piece by piece with a word why."""

import gc
import shutil
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.engines.header import read_header, write_header
from app.errors import EngineError
from app.infer.frame import Nv12
from app.infer.gpu import kernels, model_for
from app.infer.gpu.model import GpuModel
from app.progress import SilentReporter
from app.runtime import tensorrt_compat as compat
from app.runtime.tensorrt import TensorRTRunner
from app.types import GpuMemory, Task
from app.vision.decode import Thresholds
from app.vision.model import Model
from tests import onnx_graphs
from tests.doubles.cuda_bindings_double import CudaBindingsDouble
from tests.doubles.pycuda_double import CudaDouble, Module
from tests.doubles.tensorrt_double import plan_of, tensorrt_double
from tests.infer.gpu.conftest import install_bindings
from tests.infer.gpu.heads import head_of
from tests.infer.gpu.taped import TapedRunner

PICTURE = np.random.default_rng(3).integers(0, 256, (48, 64, 3), dtype=np.uint8)


class Told(SilentReporter):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def _objects(model: Any, frame: Any = PICTURE) -> int:
    return len(model.predict(frame).detections)


def _boxes(model: Any) -> Any:
    return model.predict(PICTURE).detections.xyxy


def test_new_sizes_need_no_new_capture(bindings: CudaBindingsDouble, tmp_path: Path) -> None:
    told = Told()
    metadata, tape = head_of(Task.DETECT, batch=1)
    with TapedRunner(metadata, tape) as runner:
        model = GpuModel(runner, Thresholds(), tmp_path, told)
        at_start = runner.enqueued
        for size in ((48, 64), (480, 640), (10, 300)):
            model.predict(np.zeros((*size, 3), np.uint8))
        model.predict(Nv12(np.zeros((64, 96), np.uint8), np.zeros((32, 48, 2), np.uint8)))
        assert (model.captured, runner.enqueued, len(bindings.graphs)) == (True, at_start, 1)
        assert min(vars(model.predict(PICTURE).speed_ms).values()) > 0
    assert told.warnings == []


@pytest.mark.parametrize("why", ["refused", "dla", "no-bindings", "old-driver"])
def test_without_a_graph_it_computes_the_same_and_says_why_once(
    why: str, cuda: CudaDouble, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if why == "no-bindings":
        monkeypatch.setitem(sys.modules, "cuda.bindings.driver", None)
    else:
        double = install_bindings(CudaBindingsDouble(cuda, refuses=why == "refused"), monkeypatch)
        if why == "old-driver":
            monkeypatch.setattr(double.modules["cuda.bindings.driver"], "cuEventElapsedTime", _not_found)
    told = Told()
    metadata, tape = head_of(Task.DETECT, batch=1)
    with TapedRunner(metadata, tape, capturable=why != "dla") as runner:
        model = GpuModel(runner, Thresholds(), tmp_path, told)
        found = [_objects(model) for _ in range(3)]
        assert found == [_objects(Model(runner))] * 3
        assert not model.captured
    (warning,) = told.warnings
    words = {"refused": "INVALIDATED", "dla": "DLA", "no-bindings": "cuda-bindings", "old-driver": "fit this driver"}
    assert words[why] in warning


def _not_found(*arguments: Any) -> None:
    """What cuda-bindings says of a function that came with a later driver."""
    raise RuntimeError('Function "cuEventElapsedTime_v2" not found')


def test_nothing_stays_behind(cuda: CudaDouble, bindings: CudaBindingsDouble, tmp_path: Path) -> None:
    metadata, tape = head_of(Task.SEGMENT, batch=1)
    with TapedRunner(metadata, tape) as runner:
        model = GpuModel(runner, Thresholds(), tmp_path, SilentReporter())
        assert _objects(model) > 0
    del model
    gc.collect()
    assert (cuda.retained, cuda.live, cuda.stack(), bindings.events) == (0, {}, [], [])
    assert not any(graph.live for graph in bindings.graphs)


def test_masks_outlive_the_model(bindings: CudaBindingsDouble, tmp_path: Path) -> None:
    metadata, tape = head_of(Task.SEGMENT, batch=1)
    with TapedRunner(metadata, tape) as runner:
        model = GpuModel(runner, Thresholds(), tmp_path, SilentReporter())
        first = model.predict(PICTURE).detections
        assert first is not None
        before = [mask.bitmap.copy() for mask in first.masks or ()]
        model.predict(255 - PICTURE)
    for mask, wanted in zip(first.masks or (), before, strict=True):
        np.testing.assert_array_equal(mask.bitmap, wanted)


@pytest.mark.parametrize("memory", list(GpuMemory))
@pytest.mark.parametrize("integrated", [False, True])
def test_frames_are_copied_unless_the_gpu_shares_the_hosts_memory(
    memory: GpuMemory, integrated: bool, cuda: CudaDouble, bindings: CudaBindingsDouble, tmp_path: Path
) -> None:
    cuda.integrated = integrated
    metadata, tape = head_of(Task.DETECT, batch=1)
    with TapedRunner(metadata, tape, memory=memory) as runner:
        model = GpuModel(runner, Thresholds(), tmp_path, SilentReporter())
        _objects(model)
        mapped = memory is GpuMemory.MAPPED or (memory is GpuMemory.AUTO and integrated)
        assert runner.session.mapped == mapped
        assert ("upload" in cuda.launched) != mapped


def test_a_frame_in_the_pool_is_not_copied_and_any_other_is(bindings: CudaBindingsDouble, tmp_path: Path) -> None:
    metadata, tape = head_of(Task.DETECT, batch=1)
    with TapedRunner(metadata, tape) as runner:
        model = GpuModel(runner, Thresholds(), tmp_path, SilentReporter())
        pinned = model.frame_buffers.take((100, 128, 3))
        pinned[:] = np.random.default_rng(4).integers(0, 256, pinned.shape, dtype=np.uint8)
        part = pinned[7:71, 5:101]  # begins in the middle of a word, and its rows lie apart
        flipped = pinned[::-1, ::-1]
        for frame in (pinned, part, flipped, np.asfortranarray(pinned)):
            model.predict(frame)
            Model(runner).predict(frame)
            np.testing.assert_array_equal(runner.input_on_gpu(), runner.fed)
        assert model.prepare(part) is part
        assert model.prepare(flipped) is not flipped


def test_a_batch_may_be_smaller_than_the_engines(bindings: CudaBindingsDouble, tmp_path: Path) -> None:
    metadata, tape = head_of(Task.DETECT, batch=3)
    with TapedRunner(metadata, tape) as runner:
        model = GpuModel(runner, Thresholds(), tmp_path, SilentReporter())
        assert [len(model.predict_batch([PICTURE] * count)) for count in (0, 1, 3, 4)] == [0, 1, 3, 4]
        found = model.predict_batch([PICTURE] * 4)
        expected = Model(runner).predict_batch([PICTURE] * 4)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.detections is not None
        assert theirs.detections is not None
        np.testing.assert_array_equal(ours.detections.xyxy, theirs.detections.xyxy)


def test_a_runner_of_the_cpu_keeps_the_cpu_path(tmp_path: Path) -> None:
    metadata, tape = head_of(Task.DETECT, batch=1)
    told = Told()
    model = model_for(TapedRunner(metadata, tape), Thresholds(), tmp_path, told)
    assert isinstance(model, Model)
    assert told.warnings == []


def test_any_thread_may_run_it(bindings: CudaBindingsDouble, tmp_path: Path) -> None:
    metadata, tape = head_of(Task.DETECT, batch=1)
    found: list[int] = []
    with TapedRunner(metadata, tape) as runner:
        model = GpuModel(runner, Thresholds(), tmp_path, SilentReporter())
        thread = threading.Thread(target=lambda: found.append(_objects(model)))
        thread.start()
        thread.join()
        assert found == [_objects(model)]


def test_a_runner_on_a_gpu_takes_the_gpus_path(
    cuda: CudaDouble, bindings: CudaBindingsDouble, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(compat, "_loggers", {})
    monkeypatch.setitem(sys.modules, "tensorrt", tensorrt_double(cuda))
    path = onnx_graphs.save(onnx_graphs.detector(), tmp_path / "detector.onnx")
    engine = tmp_path / "detector.engine"
    header = {"task": "detect", "names": {"0": "circle", "1": "square"}, "imgsz": [64, 64], "stride": 4}
    engine.write_bytes(write_header(header) + plan_of(path))
    read, offset = read_header(engine)
    thresholds, told = Thresholds(0.01), Told()
    with TensorRTRunner(engine, header=read, offset=offset) as runner:
        model = model_for(runner, thresholds, tmp_path, told)
        assert isinstance(model, GpuModel)
        expected = _boxes(Model(runner, thresholds))
        np.testing.assert_allclose(_boxes(model), expected, atol=1e-3)
        monkeypatch.setattr(kernels, "_FAT_BINARY", tmp_path / "none")
        monkeypatch.setitem(sys.modules, "cuda.bindings.nvrtc", None)
        monkeypatch.setattr(shutil, "which", lambda name: None)
        slower = model_for(runner, thresholds, tmp_path, told)
        assert isinstance(slower, Model)
        np.testing.assert_array_equal(_boxes(slower), expected)
    assert len(expected) > 0
    (warning,) = told.warnings
    assert "slower" in warning
    assert "scripts/build_kernels" in warning


def test_what_was_made_before_the_memory_ran_out_is_given_back(
    cuda: CudaDouble, bindings: CudaBindingsDouble, tmp_path: Path
) -> None:
    metadata, tape = head_of(Task.SEGMENT, batch=1)
    with TapedRunner(metadata, tape) as runner:
        tensors = len(runner.inputs) + len(runner.outputs)
        sizes = [int(np.prod(spec.shape)) * spec.dtype.itemsize for spec in (*runner.inputs, *runner.outputs)]
        cuda.memory_bytes = sum(sizes) + 20_000
        with pytest.raises(EngineError, match="no memory left") as caught:
            GpuModel(runner, Thresholds(), tmp_path, SilentReporter())
        assert len(cuda.live) == tensors
        assert caught.value is not None  # which still holds what the constructor knew
        # Not isinstance: it asks a thing for its class, and one of torch's warns that it is deprecated.
        assert not [thing for thing in gc.get_objects() if issubclass(type(thing), Module)]
