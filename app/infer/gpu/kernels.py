"""
The kernels' binary: the fat binary that was built with the product, else one compiled here once and kept.

What is compiled is kept in the store's cache under the digest of the sources, the GPU and the compiler.
"""

import hashlib
import importlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from app.engines.cache import CACHE, Cached
from app.errors import BackendUnavailable, EngineError, StoreError
from app.infer.gpu.layout import JOB
from app.progress import Reporter
from app.runtime.cuda import CudaSession, Kernels

SOURCES = Path(__file__).resolve().parents[1] / "kernels"
FLAGS = ("-std=c++17", "-fmad=false")  # no fused multiply-add: the CPU path rounds each step
_FAT_BINARY = SOURCES / "kernels.fatbin"
_UNIT = "kernels.cu"
_SHELF = "kernels"
_SECONDS = 300
_HINT = "Install NVIDIA's compiler library (pip install cuda-bindings, libnvrtc), or build them: scripts/build_kernels"


def load_kernels(session: CudaSession, store: Path, reporter: Reporter) -> Kernels:
    """
    The kernels, ready to launch on the session's stream. Call it inside `session.current()`.

    Raises:
        BackendUnavailable: there is no binary for this GPU, and no compiler to make one.
        EngineError: the compiler or the GPU refuses the kernels.
    """
    # The driver keeps what it compiles of PTX: in the store, as all else that is kept.
    os.environ.setdefault("CUDA_CACHE_PATH", str((store / CACHE / _SHELF).resolve()))
    if _FAT_BINARY.is_file():
        try:
            return session.load_kernels(_FAT_BINARY.read_bytes(), JOB.itemsize)
        except EngineError as error:
            reporter.detail(f"{_FAT_BINARY.name} does not serve this GPU: {error.message}")
    return session.load_kernels(_compiled(session.compute_capability, store, reporter), JOB.itemsize)


def _compiled(capability: str, store: Path, reporter: Reporter) -> bytes:
    """Code for this GPU, from the cache or the compiler."""
    compiler = _compiler()
    digest = hashlib.sha256(repr((sorted(_sources().items()), FLAGS, compiler.version)).encode()).hexdigest()
    kept = Cached(store, _SHELF, f"sm{capability}-{digest[:24]}.cubin")
    image = kept.read()
    if image is not None:
        return image
    with reporter.phase("compile the GPU's kernels"):
        made = compiler.compile(f"sm_{capability}")
    try:
        kept.update(lambda _: made)
    except StoreError as error:  # a store that may only be read is no reason not to run
        reporter.warn(f"The compiled kernels cannot be kept, the next start compiles again: {error.message}")
    return made


def _sources() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in SOURCES.iterdir() if path.suffix in (".cu", ".cuh")}


class _Nvrtc:
    """NVIDIA's compiler as a library."""

    def __init__(self, nvrtc: ModuleType) -> None:
        self._nvrtc = nvrtc
        self.version = ("nvrtc", *self._call("nvrtcVersion"))

    def compile(self, architecture: str) -> bytes:
        sources = _sources()
        unit = sources.pop(_UNIT)
        names = [name.encode() for name in sources]
        (program,) = self._call("nvrtcCreateProgram", unit, _UNIT.encode(), len(names), [*sources.values()], names)
        options = [f"--gpu-architecture={architecture}", *(flag.replace("-fmad", "--fmad") for flag in FLAGS)]
        try:
            (code,) = self._nvrtc.nvrtcCompileProgram(program, len(options), [option.encode() for option in options])
            if code != self._nvrtc.nvrtcResult.NVRTC_SUCCESS:
                raise EngineError(
                    f"NVRTC cannot compile the kernels for {architecture}: {self._log(program)}", hint=_HINT
                )
            return self._bytes("nvrtcGetCUBIN", program)
        finally:
            self._nvrtc.nvrtcDestroyProgram(program)

    def _log(self, program: Any) -> str:
        return self._bytes("nvrtcGetProgramLog", program).decode(errors="replace").strip("\0\n ")[:1000]

    def _bytes(self, name: str, program: Any) -> bytes:
        (size,) = self._call(f"{name}Size", program)
        buffer: bytes = b"\0" * size
        self._call(name, program, buffer)
        return buffer

    def _call(self, name: str, *arguments: Any) -> tuple[Any, ...]:
        code, *values = getattr(self._nvrtc, name)(*arguments)
        if code != self._nvrtc.nvrtcResult.NVRTC_SUCCESS:
            raise EngineError(f"NVRTC failed in {name}: {code.name}", hint=_HINT)
        return tuple(values)


class _Nvcc:
    """NVIDIA's compiler as a program, where the library is missing."""

    def __init__(self, program: str) -> None:
        self._program = program
        self.version = ("nvcc", self._run("--version"))

    def compile(self, architecture: str) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / "kernels.cubin"
            self._run("-cubin", f"-arch={architecture}", *FLAGS, "-o", str(made), str(SOURCES / _UNIT))
            return made.read_bytes()

    def _run(self, *arguments: str) -> str:
        command = [self._program, *arguments]
        try:
            done = subprocess.run(  # noqa: S603 # a compiler found on PATH, without a shell
                command, capture_output=True, text=True, check=True, timeout=_SECONDS
            )
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or str(error)
            raise EngineError(f"nvcc cannot compile the kernels: {said.strip()[:1000]}", hint=_HINT) from error
        return done.stdout


def _compiler() -> _Nvrtc | _Nvcc:
    try:
        return _Nvrtc(importlib.import_module("cuda.bindings.nvrtc"))
    except (ImportError, RuntimeError) as error:  # the latter where libnvrtc itself is missing
        program = shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")
        if program is None:
            raise BackendUnavailable(
                f"There is neither a binary of the kernels for this GPU nor a compiler: {error}", hint=_HINT
            ) from error
        return _Nvcc(program)
