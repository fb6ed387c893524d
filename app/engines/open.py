"""The runner for an engine: a new backend is one file beside this one and one line here."""

from collections.abc import Callable
from pathlib import Path

from app.engines.header import read_header
from app.runtime.base import Runner
from app.types import Backend, GpuMemory


def open_runner(
    engine: Path, backend: Backend, memory: GpuMemory = GpuMemory.AUTO, threads: int | None = None
) -> Runner:
    """
    Nothing is loaded before the runner is entered.

    Args:
        memory: for engines that run on a GPU.
        threads: for those that run on the processor: how many compute one picture; None for one a core.
    """
    return _RUNNERS[backend](engine, memory, threads)


def _onnxruntime(engine: Path, memory: GpuMemory, threads: int | None) -> Runner:
    from app.runtime.onnxruntime import OnnxRuntimeRunner

    return OnnxRuntimeRunner(engine, threads=threads)


def _tensorrt(engine: Path, memory: GpuMemory, threads: int | None) -> Runner:
    from app.runtime.tensorrt import TensorRTRunner

    header, offset = read_header(engine)
    backend = Backend.TENSORRT_RTX if engine.name.endswith(Backend.TENSORRT_RTX.suffix) else Backend.TENSORRT
    return TensorRTRunner(engine, header=header, offset=offset, backend=backend, memory=memory)


_RUNNERS: dict[Backend, Callable[[Path, GpuMemory, int | None], Runner]] = {
    Backend.TENSORRT: _tensorrt,
    Backend.TENSORRT_RTX: _tensorrt,
    Backend.ONNXRUNTIME: _onnxruntime,
}
