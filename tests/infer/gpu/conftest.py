import sys
from pathlib import Path

import pytest

from app.infer.gpu import kernels
from tests.doubles.cuda_bindings_double import CudaBindingsDouble
from tests.doubles.kernels_on_cpu import KERNELS, kernels_library
from tests.doubles.pycuda_double import CudaDouble


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CudaDouble:
    """An imaginary GPU that computes the project's kernels, and a fat binary that fits it."""
    return install_cuda(CudaDouble(), monkeypatch, tmp_path)


def install_cuda(double: CudaDouble, monkeypatch: pytest.MonkeyPatch, folder: Path) -> CudaDouble:
    kernels_library()
    for name, module in double.modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    binary = folder / "kernels.fatbin"
    binary.write_bytes(KERNELS)
    monkeypatch.setattr(kernels, "_FAT_BINARY", binary)
    return double


def install_bindings(double: CudaBindingsDouble, monkeypatch: pytest.MonkeyPatch) -> CudaBindingsDouble:
    for name, module in double.modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return double


@pytest.fixture
def bindings(cuda: CudaDouble, monkeypatch: pytest.MonkeyPatch) -> CudaBindingsDouble:
    return install_bindings(CudaBindingsDouble(cuda), monkeypatch)


@pytest.fixture(params=["double", pytest.param("real", marks=pytest.mark.gpu)])
def gpu(request: pytest.FixtureRequest) -> str:
    """Where the kernels run: on the processor in the doubles of CUDA, or on a real GPU."""
    if request.param == "double":
        request.getfixturevalue("bindings")
    return str(request.param)
