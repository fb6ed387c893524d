"""
A stream's work captured as one CUDA graph, which starts in one call; by cuda-bindings, as pycuda has no graphs.

What the work reads may change between launches, where it lies may not.
"""

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

from app.errors import EngineError
from app.runtime.cuda import CudaSession, cuda_errors_as_ours


class CaptureRefused(EngineError):
    """The work cannot be captured here; it runs without."""


class Graph:
    """Captured work. Call it with the session's context current."""

    def __init__(self, driver: ModuleType, executable: Any, stream: Any) -> None:
        self._driver, self._executable, self._stream = driver, executable, stream

    def launch(self) -> None:
        """Queue all of it."""
        _checked(self._driver, "launching a graph", self._driver.cuGraphLaunch(self._executable, self._stream))

    def close(self) -> None:
        _checked(self._driver, "freeing a graph", self._driver.cuGraphExecDestroy(self._executable))


def capture(session: CudaSession, work: Callable[[], None]) -> Graph:
    """
    Capture what `work` queues on the session's stream; nothing of it runs. Call it inside `session.current()`.

    Raises:
        CaptureRefused: cuda-bindings is missing, or something in the work cannot be captured.
    """
    driver = import_bindings()
    stream = driver.CUstream(session.stream_handle)
    # Relaxed: the libraries that the network runs through may look after their memory meanwhile.
    mode = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED
    _checked(driver, "starting a capture", driver.cuStreamBeginCapture(stream, mode))
    try:
        with cuda_errors_as_ours("capturing a frame's work"):
            work()
    except BaseException as error:
        driver.cuStreamEndCapture(stream)  # gives no graph, but takes the stream out of its capture
        if isinstance(error, EngineError):
            raise CaptureRefused(error.message, hint=error.hint) from error
        raise
    (graph,) = _checked(driver, "ending a capture", driver.cuStreamEndCapture(stream))
    try:
        (executable,) = _checked(driver, "making a graph", driver.cuGraphInstantiate(graph, 0))
    finally:
        driver.cuGraphDestroy(graph)
    made = Graph(driver, executable, stream)
    session.at_exit(made.close)
    return made


def import_bindings() -> ModuleType:
    """
    Raises:
        CaptureRefused: cuda-bindings is not installed, or does not load here.
    """
    try:
        return importlib.import_module("cuda.bindings.driver")
    except (ImportError, RuntimeError) as error:  # it raises the latter where it finds no driver
        raise CaptureRefused(
            f"cuda-bindings cannot be imported: {error}", hint="Install it: pip install cuda-bindings"
        ) from error


class Marks:
    """Moments on the stream, between which the GPU measures the time. They work in a graph and without one."""

    def __init__(self, session: CudaSession, count: int) -> None:
        self._driver = import_bindings()
        self._stream = self._driver.CUstream(session.stream_handle)
        self._events = [
            _checked(self._driver, "making an event", self._driver.cuEventCreate(0))[0] for _ in range(count)
        ]
        session.at_exit(self._close)

    def mark(self, index: int, *, captured: bool) -> None:
        """The stream reaches moment `index` here."""
        flags = self._driver.CUevent_record_flags
        kind = flags.CU_EVENT_RECORD_EXTERNAL if captured else flags.CU_EVENT_RECORD_DEFAULT
        _checked(
            self._driver,
            "marking a moment",
            self._driver.cuEventRecordWithFlags(self._events[index], self._stream, kind),
        )

    def elapsed_ms(self) -> list[float]:
        """From each moment to the next; the stream must have passed them all."""
        pairs = zip(self._events, self._events[1:], strict=False)
        return [
            float(_checked(self._driver, "reading the time", self._driver.cuEventElapsedTime(first, second))[0])
            for first, second in pairs
        ]

    def _close(self) -> None:
        for event in self._events:
            self._driver.cuEventDestroy(event)


def _checked(driver: ModuleType, doing: str, answer: tuple[Any, ...]) -> tuple[Any, ...]:
    code, *values = answer
    if code != driver.CUresult.CUDA_SUCCESS:
        raise CaptureRefused(
            f"CUDA failed while {doing}: {code.name}", hint="Run it again; if it stays, restart the device."
        )
    return tuple(values)
