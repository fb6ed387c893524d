"""cuda.bindings.driver as far as app/runtime/graph.py uses it, over the pycuda double's streams."""

from collections.abc import Callable
from enum import Enum
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from tests.doubles.pycuda_double import CudaDouble


class CUresult(Enum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_STREAM_CAPTURE_INVALIDATED = 901


class CUstreamCaptureMode(Enum):
    CU_STREAM_CAPTURE_MODE_RELAXED = 2


class CUevent_record_flags(Enum):
    CU_EVENT_RECORD_DEFAULT = 0
    CU_EVENT_RECORD_EXTERNAL = 1


_OK = CUresult.CUDA_SUCCESS


class CUstream:
    def __init__(self, init_value: int) -> None:
        self.handle = init_value


class Work:
    """A graph, captured or made ready."""

    def __init__(self, queue: list[Callable[[], Any]]) -> None:
        self.queue = queue
        self.live = True


class CudaBindingsDouble:
    """The modules that stand for cuda.bindings on one imaginary GPU."""

    def __init__(self, cuda: CudaDouble, *, refuses: bool = False) -> None:
        self._cuda = cuda
        self._refuses = refuses
        self.graphs: list[Work] = []
        self.events: list[dict[str, float]] = []
        self._now = 0.0
        driver = ModuleType("cuda.bindings.driver")
        members = {name: getattr(self, name) for name in dir(self) if name.startswith("cu")}
        kinds = (CUresult, CUstreamCaptureMode, CUevent_record_flags, CUstream)
        vars(driver).update(members, **{kind.__name__: kind for kind in kinds})
        self.modules = {"cuda.bindings.driver": driver, "cuda": ModuleType("cuda"), "cuda.bindings": ModuleType("b")}
        for name, module in self.modules.items():
            module.__spec__ = ModuleSpec(name, None)

    def cuStreamBeginCapture(self, hStream: CUstream, mode: CUstreamCaptureMode) -> tuple[Any]:
        self._stream(hStream).captured = []
        return (_OK,)

    def cuStreamEndCapture(self, hStream: CUstream) -> tuple[Any, Any]:
        stream = self._stream(hStream)
        captured, stream.captured = stream.captured or [], None
        if self._refuses:
            return CUresult.CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, None
        return _OK, Work(captured)

    def cuGraphInstantiate(self, hGraph: Work, flags: int) -> tuple[Any, Work]:
        self.graphs.append(Work(list(hGraph.queue)))
        return _OK, self.graphs[-1]

    def cuGraphDestroy(self, hGraph: Work) -> tuple[Any]:
        hGraph.live = False
        return (_OK,)

    def cuGraphExecDestroy(self, hGraphExec: Work) -> tuple[Any]:
        hGraphExec.live = False
        return (_OK,)

    def cuGraphLaunch(self, hGraphExec: Work, hStream: CUstream) -> tuple[Any]:
        if not hGraphExec.live:
            raise RuntimeError("a graph that is gone was launched")
        for work in hGraphExec.queue:
            self._stream(hStream).enqueue(work)
        return (_OK,)

    def cuEventCreate(self, Flags: int) -> tuple[Any, dict[str, float]]:
        self.events.append({})
        return _OK, self.events[-1]

    def cuEventRecordWithFlags(
        self, hEvent: dict[str, float], hStream: CUstream, flags: CUevent_record_flags
    ) -> tuple[Any]:
        stream = self._stream(hStream)
        external = flags is CUevent_record_flags.CU_EVENT_RECORD_EXTERNAL
        if external != (stream.captured is not None):
            raise RuntimeError("an event for a graph is external, and only such")
        stream.enqueue(lambda: hEvent.update(at=self._tick()))
        return (_OK,)

    def cuEventElapsedTime(self, hStart: dict[str, float], hEnd: dict[str, float]) -> tuple[Any, float]:
        return _OK, hEnd["at"] - hStart["at"]

    def cuEventDestroy(self, hEvent: dict[str, float]) -> tuple[Any]:
        self.events = [event for event in self.events if event is not hEvent]
        return (_OK,)

    def _stream(self, stream: CUstream) -> Any:
        self._cuda.need_context()
        return self._cuda.streams[stream.handle]

    def _tick(self) -> float:
        self._now += 1.0
        return self._now
