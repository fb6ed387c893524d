"""
A stream's work captured as one CUDA graph, which starts in one call; by cuda-bindings, as pycuda has no graphs.

What the work reads may change between launches, where it lies may not.
"""

import importlib
from collections.abc import Callable
from typing import Any

from app.errors import EngineError
from app.runtime.cuda import CudaSession, cuda_errors_as_ours


class CaptureRefused(EngineError):
    """The work cannot be captured here; it runs without."""


class _Driver:
    """CUDA's driver by cuda-bindings, its codes and errors as ours."""

    def __init__(self) -> None:
        try:
            self.bindings: Any = importlib.import_module("cuda.bindings.driver")
        except (ImportError, RuntimeError) as error:  # it raises the latter where it finds no driver
            raise CaptureRefused(
                f"cuda-bindings cannot be imported: {error}", hint="Install it: pip install cuda-bindings"
            ) from error

    def call(self, name: str, *arguments: Any) -> tuple[Any, ...]:
        try:
            code, *values = getattr(self.bindings, name)(*arguments)
        except RuntimeError as error:  # the driver has no such function
            raise CaptureRefused(
                f"cuda-bindings does not fit this driver: {error}",
                hint="Install the one of the driver's CUDA: pip install 'cuda-bindings==12.*' for CUDA 12.",
            ) from error
        if code != self.bindings.CUresult.CUDA_SUCCESS:
            raise CaptureRefused(f"CUDA refused {name}: {code.name}", hint="Frames are answered all the same.")
        return tuple(values)

    def stream(self, session: CudaSession) -> Any:
        return self.bindings.CUstream(session.stream_handle)


class Graph:
    """Captured work. Call it with the session's context current."""

    def __init__(self, driver: _Driver, executable: Any, stream: Any) -> None:
        self._driver, self._executable, self._stream = driver, executable, stream

    def launch(self) -> None:
        """Queue all of it."""
        self._driver.call("cuGraphLaunch", self._executable, self._stream)

    def close(self) -> None:
        self._driver.call("cuGraphExecDestroy", self._executable)


def capture(session: CudaSession, work: Callable[[], None]) -> Graph:
    """
    Capture what `work` queues on the session's stream; nothing of it runs. Call it inside `session.current()`.

    Raises:
        CaptureRefused: cuda-bindings is missing, or something in the work cannot be captured.
    """
    driver = _Driver()
    stream = driver.stream(session)
    # Relaxed: the libraries that the network runs through may look after their memory meanwhile.
    driver.call("cuStreamBeginCapture", stream, driver.bindings.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED)
    try:
        with cuda_errors_as_ours("capturing a frame's work"):
            work()
    except BaseException as error:
        driver.bindings.cuStreamEndCapture(stream)  # gives no graph, but takes the stream out of its capture
        if isinstance(error, EngineError):
            raise CaptureRefused(error.message, hint=error.hint) from error
        raise
    (graph,) = driver.call("cuStreamEndCapture", stream)
    try:
        (executable,) = driver.call("cuGraphInstantiate", graph, 0)
    finally:
        driver.bindings.cuGraphDestroy(graph)
    made = Graph(driver, executable, stream)
    session.at_exit(made.close)
    return made


class Marks:
    """
    Moments on the stream, between which the GPU measures the time. They work in a graph and without one.

    Raises:
        CaptureRefused: cuda-bindings is missing, or does not fit the driver.
    """

    def __init__(self, session: CudaSession, count: int) -> None:
        self._driver = _Driver()
        self._stream = self._driver.stream(session)
        self._events = [self._driver.call("cuEventCreate", 0)[0] for _ in range(count)]
        session.at_exit(self._close)

    def mark(self, index: int, *, captured: bool) -> None:
        """The stream reaches moment `index` here."""
        flags = self._driver.bindings.CUevent_record_flags
        kind = flags.CU_EVENT_RECORD_EXTERNAL if captured else flags.CU_EVENT_RECORD_DEFAULT
        self._driver.call("cuEventRecordWithFlags", self._events[index], self._stream, kind)

    def elapsed_ms(self) -> list[float]:
        """From each moment to the next; the stream must have passed them all."""
        pairs = zip(self._events, self._events[1:], strict=False)
        return [float(self._driver.call("cuEventElapsedTime", first, second)[0]) for first, second in pairs]

    def _close(self) -> None:
        for event in self._events:
            self._driver.bindings.cuEventDestroy(event)
