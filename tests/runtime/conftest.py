import sys

import pytest

from app.runtime import tensorrt_compat as compat
from tests.doubles.pycuda_double import CudaDouble
from tests.doubles.tensorrt_double import tensorrt_double


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> CudaDouble:
    """An imaginary GPU in pycuda's place."""
    double = CudaDouble()
    install_cuda(double, monkeypatch)
    return double


def install_cuda(double: CudaDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, module in double.modules.items():
        monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture
def tensorrt(cuda: CudaDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorRT 10.3 and TensorRT for RTX on that GPU."""
    monkeypatch.setattr(compat, "_loggers", {})
    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, tensorrt_double(cuda, name=name))
