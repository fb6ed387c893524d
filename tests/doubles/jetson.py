"""
A Jetson for programs of their own: the doubles as libraries on a path, where `import tensorrt` finds them, and the CUDA
driver as a shared library.
"""

import importlib.util
import shutil
import subprocess
from functools import cache
from pathlib import Path
from types import ModuleType

from tests.doubles.pycuda_double import CudaDouble
from tests.doubles.tensorrt_double import tensorrt_double

_SHIM = """\
import sys

from tests.doubles.jetson import libraries

sys.modules.update(libraries())
"""
_FILES = ("tensorrt.py", "pycuda/__init__.py")


@cache
def libraries() -> dict[str, ModuleType]:
    """`tensorrt`, `pycuda` and `pycuda.driver`, on one imaginary GPU."""
    cuda = CudaDouble()
    tensorrt = tensorrt_double(cuda)
    if importlib.util.find_spec("onnx"):  # as in the image that converts; the one that infers builds nothing
        from tests.doubles.tensorrt_builder_double import builder_classes

        vars(tensorrt).update({cls.__name__: cls for cls in builder_classes("10.3.0", "8.7")})
    return {"tensorrt": tensorrt, **cuda.modules}


def write_site(folder: Path) -> Path:
    """A folder for PYTHONPATH."""
    for name in _FILES:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_SHIM)
    return folder


def compiler() -> str | None:
    return shutil.which("cc") or shutil.which("gcc")


def compile_driver(folder: Path) -> Path:
    """A folder for LD_LIBRARY_PATH; the library needs no other."""
    folder.mkdir(parents=True, exist_ok=True)
    source, library = Path(__file__).with_name("cuda_driver.c"), folder / "libcuda.so.1"
    command = [
        compiler() or "cc",
        "-shared",
        "-fPIC",
        "-nostdlib",
        "-fno-builtin",
        "-O1",
        "-o",
        str(library),
        str(source),
    ]
    subprocess.run(command, check=True)
    return folder
