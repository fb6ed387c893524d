"""The project's CUDA kernels, compiled for the processor of the tests (kernels_on_cpu.cpp)."""

import ctypes
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

KERNELS = b"kernels for the processor"
"""The double's binary of kernels: it stands for whatever the compiler would have made."""
_HERE = Path(__file__).parent
_SOURCES = Path(__file__).resolve().parents[2] / "app" / "infer" / "kernels"


@lru_cache(maxsize=1)
def kernels_library() -> ctypes.CDLL:
    """Compiled once a session, in seconds; tests that need it skip where there is no C++ compiler."""
    compiler = shutil.which("g++")
    if compiler is None:
        import pytest  # not in a container, where the other doubles stand for a Jetson's libraries

        pytest.skip("no C++ compiler (g++) to compile the kernels for the processor")
    library = Path(tempfile.mkdtemp(prefix="jetsmith-kernels-")) / "kernels.so"
    options = ["-std=c++17", "-O2", "-ffp-contract=off", "-shared", "-fPIC", "-Wall", "-Wno-unknown-pragmas", "-Werror"]
    includes = ["-include", "cuda_on_cpu.h", f"-I{_SOURCES}", f"-I{_HERE}"]
    subprocess.run([compiler, *options, *includes, "-o", str(library), str(_HERE / "kernels_on_cpu.cpp")], check=True)
    loaded = ctypes.CDLL(str(library))
    shutil.rmtree(library.parent)
    return loaded
