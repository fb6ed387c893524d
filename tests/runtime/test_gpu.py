"""On a real NVIDIA GPU with the real pycuda; TensorRT's double computes on the GPU's own memory."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.device import probe_gpu
from app.errors import EngineError
from app.runtime import tensorrt_compat as compat
from app.runtime.cuda import CudaSession, import_pycuda
from app.runtime.onnxruntime import OnnxRuntimeRunner
from app.runtime.tensorrt import TensorRTRunner
from app.types import Backend, TensorSpec
from tests.doubles.tensorrt_double import plan_of, tensorrt_double

pytestmark = pytest.mark.gpu
HEADER = {"task": "detect", "names": {"0": "circle", "1": "square"}, "imgsz": [64, 64]}


class GpuMemory:
    """The double's view of real device memory: it works at once, in the context that is current."""

    def read(self, address: int, size: int) -> bytes:
        data = np.empty(size, np.uint8)
        import_pycuda().memcpy_dtoh(data, address)
        return data.tobytes()

    def write(self, address: int, data: bytes) -> None:
        import_pycuda().memcpy_htod(address, np.frombuffer(data, np.uint8))

    def enqueue(self, stream_handle: int, work: Callable[[], Any]) -> None:
        import_pycuda().Context.synchronize()  # what was queued before it is done
        work()


@pytest.fixture
def tensorrt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compat, "_loggers", {})
    monkeypatch.setitem(sys.modules, "tensorrt", tensorrt_double(GpuMemory()))


def _free_memory() -> int:
    with CudaSession() as session, session.current():
        return int(import_pycuda().mem_get_info()[0])


def test_the_driver_tells_what_gpu_it_is() -> None:
    gpu = probe_gpu()
    assert gpu is not None
    driver = import_pycuda()
    driver.init()
    real = driver.Device(0)
    assert gpu.name == real.name()
    assert gpu.compute_capability == "{}.{}".format(*real.compute_capability())
    assert gpu.sm_count == real.multiprocessor_count
    assert gpu.integrated == bool(real.get_attribute(driver.device_attribute.INTEGRATED))
    assert gpu.memory_bytes == real.total_memory()


def test_values_go_to_the_gpu_and_come_back() -> None:
    spec = TensorSpec("images", (1, 3, 64, 64), np.dtype(np.float32))
    values = np.random.default_rng(0).random(spec.shape, np.float32)
    with CudaSession() as session:
        with session.current():
            buffer = session.buffer(spec)
            session.copy_in(buffer, values)
            session.synchronize()
            buffer.host.fill(0)
            session.copy_out(buffer)
            session.synchronize()
        np.testing.assert_array_equal(buffer.host, values)


def test_the_runner_computes_on_real_device_memory(tensorrt: None, detector: Path, tmp_path: Path) -> None:
    path = tmp_path / "detector.engine"
    path.write_bytes(plan_of(detector))
    images = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)
    before = _free_memory()
    for _ in range(20):
        with TensorRTRunner(path, header=HEADER, offset=0, backend=Backend.TENSORRT) as runner:
            actual = runner.infer({"images": images})["output0"].copy()
    with OnnxRuntimeRunner(detector) as reference:
        np.testing.assert_array_equal(actual, reference.infer({"images": images})["output0"])
    assert before - _free_memory() < 2**20


def test_more_memory_than_there_is_is_an_error() -> None:
    with CudaSession() as session, session.current():
        total = import_pycuda().mem_get_info()[1]
        with pytest.raises(EngineError, match="no memory left"):
            session.buffer(TensorSpec("huge", (2 * total,), np.dtype(np.uint8)))


def test_after_it_other_users_of_the_primary_context_go_on() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.arange(10, device="cuda")
    with CudaSession() as session, session.current():
        session.synchronize()
    assert int(tensor.sum()) == 45
