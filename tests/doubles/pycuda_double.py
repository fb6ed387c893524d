"""
pycuda.driver as far as app/runtime/cuda.py uses it, on host memory that plays the GPU's.

It is stricter than comfort: every call needs a current context in its thread, asynchronous copies take page-locked
arrays only, and queued work runs at `synchronize()`, so that a missing one shows as stale data.
"""

import ctypes
import threading
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt


class Error(Exception):
    pass


class LogicError(Error):
    pass


class MemoryError(Error):  # pycuda's own name
    pass


class CudaDouble:
    """One imaginary GPU, and the modules `pycuda` and `pycuda.driver` that show it."""

    def __init__(self, *, devices: int = 1, memory_bytes: int = 2**30) -> None:
        self.memory_bytes = memory_bytes
        self.live: dict[int, Any] = {}  # address of every allocation: its buffer
        self.retained = 0
        self.streams: dict[int, Stream] = {}
        self.page_locked: set[int] = set()
        self._current = threading.local()
        self.modules = self._modules(devices)

    def _modules(self, devices: int) -> dict[str, ModuleType]:
        double = self
        driver = ModuleType("pycuda.driver")

        class Context:
            def push(self) -> None:
                double.stack().append(self)

            def detach(self) -> None:
                double.retained -= 1

            @staticmethod
            def pop() -> None:
                double.need_context()
                double.stack().pop()

        class Device:
            def __init__(self, number: int) -> None:
                if number >= devices:
                    raise LogicError("cuDeviceGet failed: invalid device ordinal")

            @staticmethod
            def count() -> int:
                return devices

            def retain_primary_context(self) -> Context:
                double.retained += 1
                return Context()

        members = {
            "init": lambda: None,
            "Context": Context,
            "Device": Device,
            "Stream": lambda: Stream(double),
            "mem_alloc": lambda size: DeviceAllocation(double, size),
            "pagelocked_empty": self._pagelocked_empty,
            "memcpy_htod_async": self._copy_in,
            "memcpy_dtoh_async": self._copy_out,
            "Error": Error,
            "LogicError": LogicError,
            "MemoryError": MemoryError,
        }
        vars(driver).update(members)
        package = ModuleType("pycuda")
        package.driver = driver  # type: ignore[attr-defined]
        for module in (package, driver):
            module.__spec__ = ModuleSpec(module.__name__, None)
        return {"pycuda": package, "pycuda.driver": driver}

    def stack(self) -> list[Any]:
        if not hasattr(self._current, "stack"):
            self._current.stack = []
        stack: list[Any] = self._current.stack
        return stack

    def need_context(self) -> None:
        if not self.stack():
            raise LogicError("no currently active context?")

    def _pagelocked_empty(self, shape: tuple[int, ...], dtype: Any) -> npt.NDArray[Any]:
        self.need_context()
        array = np.empty(shape, dtype)
        array.view(np.uint8).fill(0xA5)  # what was never written must not look like an answer
        self.page_locked.add(array.ctypes.data)
        return array

    def _copy_in(self, device: "DeviceAllocation", host: npt.NDArray[Any], stream: "Stream") -> None:
        self._queue_copy(int(device), host.ctypes.data, host, stream)

    def _copy_out(self, host: npt.NDArray[Any], device: "DeviceAllocation", stream: "Stream") -> None:
        self._queue_copy(host.ctypes.data, int(device), host, stream)

    def _queue_copy(self, target: int, source: int, host: npt.NDArray[Any], stream: "Stream") -> None:
        self.need_context()
        if host.ctypes.data not in self.page_locked:
            raise LogicError("cuMemcpyAsync: the host's memory is not page-locked")
        size = host.nbytes
        stream.queue.append(lambda: ctypes.memmove(target, source, size))

    def read(self, address: int, size: int) -> bytes:
        return ctypes.string_at(address, size)

    def write(self, address: int, data: bytes) -> None:
        ctypes.memmove(address, data, len(data))

    def enqueue(self, stream_handle: int, work: Callable[[], Any]) -> None:
        self.need_context()
        self.streams[stream_handle].queue.append(work)


class Stream:
    def __init__(self, double: CudaDouble) -> None:
        double.need_context()
        self._double = double
        self.queue: list[Callable[[], Any]] = []
        self.handle = 0x5000 + 16 * len(double.streams)
        double.streams[self.handle] = self

    def synchronize(self) -> None:
        self._double.need_context()
        while self.queue:
            self.queue.pop(0)()


class DeviceAllocation:
    def __init__(self, double: CudaDouble, size: int) -> None:
        double.need_context()
        if sum(map(len, double.live.values())) + size > double.memory_bytes:
            raise MemoryError("cuMemAlloc failed: out of memory")
        self._double = double
        buffer = ctypes.create_string_buffer(size)
        self._address = ctypes.addressof(buffer)
        double.live[self._address] = buffer

    def __int__(self) -> int:
        return self._address

    def free(self) -> None:
        self._double.need_context()
        del self._double.live[self._address]
