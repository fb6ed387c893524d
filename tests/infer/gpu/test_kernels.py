"""Where the kernels' binary comes from."""

import ctypes
import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from app.errors import BackendUnavailable, EngineError
from app.infer.gpu import kernels
from app.progress import SilentReporter
from app.runtime.cuda import CudaSession
from tests.doubles.kernels_on_cpu import KERNELS
from tests.doubles.pycuda_double import CudaDouble

ROOT = Path(__file__).resolve().parents[3]


class _Result:
    NVRTC_SUCCESS = "fine"
    name = "NVRTC_ERROR_COMPILATION"


class Nvrtc(ModuleType):
    """NVIDIA's compiler library as far as it is used: its code is the double's binary."""

    nvrtcResult = _Result

    def __init__(self, *, fails: bool = False) -> None:
        super().__init__("cuda.bindings.nvrtc")
        self.fails = fails
        self.compiled: list[list[bytes]] = []

    def nvrtcVersion(self) -> tuple[Any, ...]:
        return "fine", 12, 6

    def nvrtcCreateProgram(self, src: bytes, name: bytes, count: int, headers: Any, names: Any) -> tuple[Any, ...]:
        assert name == b"kernels.cu"
        assert len(headers) == len(names) == count
        assert b"types.cuh" in names
        return "fine", "program"

    def nvrtcCompileProgram(self, program: Any, count: int, options: list[bytes]) -> tuple[Any, ...]:
        self.compiled.append(options)
        return (_Result() if self.fails else "fine",)

    def nvrtcGetCUBINSize(self, program: Any) -> tuple[Any, ...]:
        return "fine", len(KERNELS)

    def nvrtcGetCUBIN(self, program: Any, code: bytes) -> tuple[Any, ...]:
        _overwrite(code, KERNELS)
        return ("fine",)

    def nvrtcGetProgramLogSize(self, program: Any) -> tuple[Any, ...]:
        return "fine", 12

    def nvrtcGetProgramLog(self, program: Any, log: bytes) -> tuple[Any, ...]:
        _overwrite(log, b"line 3: bad\0")
        return ("fine",)

    def nvrtcDestroyProgram(self, program: Any) -> tuple[Any, ...]:
        return ("fine",)


def _overwrite(buffer: bytes, content: bytes) -> None:
    """As cuda-bindings does: into the memory of the bytes that it is given."""
    ctypes.memmove(ctypes.c_char_p(buffer), content, len(content))


@pytest.fixture
def load(cuda: CudaDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    monkeypatch.setenv("CUDA_CACHE_PATH", "elsewhere")

    def load_them() -> None:
        with CudaSession() as session, session.current():
            kernels.load_kernels(session, tmp_path / "store", SilentReporter())

    return load_them


def test_the_fat_binary_is_taken_where_it_fits(load: Callable[[], None], tmp_path: Path) -> None:
    load()
    assert not (tmp_path / "store").exists()


def test_what_the_driver_compiles_is_kept_in_the_store(
    load: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_CACHE_PATH")
    load()
    assert Path(os.environ["CUDA_CACHE_PATH"]).is_relative_to(tmp_path / "store")


@pytest.mark.parametrize("binary", [None, b"for other GPUs"])
def test_they_are_compiled_once_and_kept(
    binary: bytes | None, load: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "another.fatbin"
    if binary is not None:
        path.write_bytes(binary)
    monkeypatch.setattr(kernels, "_FAT_BINARY", path)
    nvrtc = Nvrtc()
    monkeypatch.setitem(sys.modules, "cuda.bindings.nvrtc", nvrtc)
    load()
    load()
    assert len(nvrtc.compiled) == 1
    assert b"--gpu-architecture=sm_87" in nvrtc.compiled[0]
    (kept,) = (tmp_path / "store" / ".cache" / "kernels").iterdir()
    kept.write_bytes(kept.read_bytes()[:-1])  # damaged: it is not loaded, but made again
    load()
    assert len(nvrtc.compiled) == 2


def test_a_store_that_cannot_be_written_is_no_hindrance(
    load: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "store").write_text("a file, where the folder should be")
    monkeypatch.setattr(kernels, "_FAT_BINARY", tmp_path / "none")
    monkeypatch.setitem(sys.modules, "cuda.bindings.nvrtc", Nvrtc())
    load()


def test_a_compiler_that_fails_is_an_error_with_its_words(
    load: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "_FAT_BINARY", tmp_path / "none")
    monkeypatch.setitem(sys.modules, "cuda.bindings.nvrtc", Nvrtc(fails=True))
    with pytest.raises(EngineError, match="line 3: bad"):
        load()


def test_nvcc_does_it_where_the_library_is_missing(
    load: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "_FAT_BINARY", tmp_path / "none")
    monkeypatch.setitem(sys.modules, "cuda.bindings.nvrtc", None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(BackendUnavailable, match="nor a compiler"):
        load()
    compiler = tmp_path / "nvcc"
    code = 'while [ $# -gt 1 ]; do [ "$1" = -o ] && printf %s "$BINARY" > "$2"; shift; done; echo release 12.6\n'
    compiler.write_text("#!/bin/sh\n" + code)
    compiler.chmod(0o755)
    monkeypatch.setenv("BINARY", KERNELS.decode())
    monkeypatch.setattr(shutil, "which", lambda name: str(compiler))
    load()


def test_the_script_compiles_as_the_product_does() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "build_kernels"))
    assert script["FLAGS"] == kernels.FLAGS
    assert script["KERNELS"] == kernels.SOURCES
    assert script["architectures"]("87, 110") == ["87", "110"]


def test_the_script_leaves_out_what_the_compiler_does_not_know(tmp_path: Path) -> None:
    compiler = tmp_path / "nvcc"
    code = """case "$1" in --list-gpu-arch) printf 'compute_80\\ncompute_87\\n';; *) echo "$@" > "$OUT.args"
    while [ $# -gt 1 ]; do [ "$1" = -o ] && echo code > "$2"; shift; done;; esac\n"""
    compiler.write_text("#!/bin/sh\n" + code)
    compiler.chmod(0o755)
    out = tmp_path / "kernels.fatbin"
    command = [sys.executable, str(ROOT / "scripts" / "build_kernels"), "--nvcc", str(compiler), "--out", str(out)]
    env = {**os.environ, "OUT": str(out)}
    done = subprocess.run([*command, "--arch", "110,87"], env=env, capture_output=True, text=True, check=True)
    assert "sm_110" in done.stdout
    assert out.read_text() == "code\n"
    arguments = (tmp_path / "kernels.fatbin.args").read_text()
    assert "code=sm_87" in arguments
    assert "code=compute_87" in arguments
    assert "sm_110" not in arguments
    failed = subprocess.run([*command, "--arch", "110"], env=env, capture_output=True, text=True)
    assert failed.returncode == 1
