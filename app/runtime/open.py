"""The runner for an engine: a new backend is one file beside this one and one line here."""

from collections.abc import Callable
from pathlib import Path

from app.runtime.base import Runner
from app.types import Backend


def open_runner(engine: Path, backend: Backend) -> Runner:
    """Nothing is loaded before the runner is entered."""
    return _RUNNERS[backend](engine)


def _onnxruntime(engine: Path) -> Runner:
    from app.runtime.onnxruntime import OnnxRuntimeRunner

    return OnnxRuntimeRunner(engine)


def _tensorrt(engine: Path) -> Runner:
    from app.runtime.tensorrt import TensorRTRunner

    return TensorRTRunner(engine, Backend.TENSORRT)


def _tensorrt_rtx(engine: Path) -> Runner:
    from app.runtime.tensorrt import TensorRTRunner

    return TensorRTRunner(engine, Backend.TENSORRT_RTX)


_RUNNERS: dict[Backend, Callable[[Path], Runner]] = {
    Backend.TENSORRT: _tensorrt,
    Backend.TENSORRT_RTX: _tensorrt_rtx,
    Backend.ONNXRUNTIME: _onnxruntime,
}
