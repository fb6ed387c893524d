"""
pycuda.driver as far as app/runtime/cuda.py uses it, on host memory that plays the GPU's.

It is stricter than comfort: every call needs a current context in its thread, asynchronous copies take page-locked
arrays only, and queued work runs at `synchronize()`, so that a missing one shows as stale data. What is dropped
without a current context is never freed, as with pycuda outside the thread that made the context.
"""

import ctypes
import struct
import threading
import weakref
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.doubles.kernels_on_cpu import KERNELS, kernels_library


class Error(Exception):
    pass


class LogicError(Error):
    pass


class MemoryError(Error):  # pycuda's own name
    pass


class CudaDouble:
    """One imaginary GPU, and the modules `pycuda` and `pycuda.driver` that show it."""

    def __init__(self, *, devices: int = 1, memory_bytes: int = 2**30, integrated: bool = False) -> None:
        self.memory_bytes = memory_bytes
        self.integrated = integrated
        self.launched: list[str] = []  # names of kernels
        self.live: dict[int, Any] = {}  # address of every allocation: its buffer
        self.retained = 0
        self.streams: weakref.WeakValueDictionary[int, Stream] = weakref.WeakValueDictionary()
        self.streams_made = 0
        self.leaked: list[str] = []  # what was dropped without a current context
        self.page_locked: set[int] = set()
        self._current = threading.local()
        self.modules = self._modules(devices)

    def _modules(self, devices: int) -> dict[str, ModuleType]:
        driver = ModuleType("pycuda.driver")
        context = _context_class(self)
        members = {
            "init": lambda: None,
            "Context": context,
            "Device": _device_class(self, devices, context),
            "Stream": lambda: Stream(self),
            "mem_alloc": lambda size: DeviceAllocation(self, size),
            "device_attribute": _DeviceAttribute,
            "host_alloc_flags": _HostAllocFlags,
            "memset_d8": self._memset,
            "module_from_buffer": lambda image: Module(self, image),
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

    def dropped(self, what: object) -> None:
        if not self.stack():
            self.leaked.append(type(what).__name__)

    def _pagelocked_empty(
        self, shape: int | tuple[int, ...], dtype: Any, order: str = "C", mem_flags: int = 0
    ) -> npt.NDArray[Any]:
        self.need_context()
        return np.asarray(PagelockedHostAllocation(self, shape, np.dtype(dtype), mem_flags))

    def _memset(self, address: int, value: int, size: int) -> None:
        self.need_context()
        ctypes.memset(address, value, size)

    def _copy_in(self, device: Any, host: npt.NDArray[Any], stream: "Stream") -> None:
        self._queue_copy(int(device), host.ctypes.data, host, stream)

    def _copy_out(self, host: npt.NDArray[Any], device: Any, stream: "Stream") -> None:
        self._queue_copy(host.ctypes.data, int(device), host, stream)

    def _queue_copy(self, target: int, source: int, host: npt.NDArray[Any], stream: "Stream") -> None:
        self.need_context()
        if host.ctypes.data not in self.page_locked:
            raise LogicError("cuMemcpyAsync: the host's memory is not page-locked")
        size = host.nbytes
        stream.enqueue(lambda: ctypes.memmove(target, source, size))

    def read(self, address: int, size: int) -> bytes:
        return ctypes.string_at(address, size)

    def write(self, address: int, data: bytes) -> None:
        ctypes.memmove(address, data, len(data))

    def enqueue(self, stream_handle: int, work: Callable[[], Any]) -> None:
        self.need_context()
        self.streams[stream_handle].enqueue(work)


def _context_class(double: CudaDouble) -> type:
    class Context:
        def push(self) -> None:
            double.stack().append(self)

        def detach(self) -> None:
            double.retained -= 1

        @staticmethod
        def pop() -> None:
            double.need_context()
            double.stack().pop()

    return Context


def _device_class(double: CudaDouble, devices: int, context: type) -> type:
    class Device:
        def __init__(self, number: int) -> None:
            if number >= devices:
                raise LogicError("cuDeviceGet failed: invalid device ordinal")

        @staticmethod
        def count() -> int:
            return devices

        def get_attribute(self, attribute: str) -> int:
            known = {"MULTIPROCESSOR_COUNT": 2, "INTEGRATED": int(double.integrated), "CAN_MAP_HOST_MEMORY": 1}
            return known[attribute]

        def compute_capability(self) -> tuple[int, int]:
            return 8, 7

        def retain_primary_context(self) -> Any:
            double.retained += 1
            return context()

    return Device


class Stream:
    def __init__(self, double: CudaDouble) -> None:
        double.need_context()
        self._double = double
        self.queue: list[Callable[[], Any]] = []
        self.captured: list[Callable[[], Any]] | None = None  # while a capture is under way
        self.handle = 0x5000 + 16 * double.streams_made
        double.streams_made += 1
        double.streams[self.handle] = self

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            self._double.dropped(self)

    def enqueue(self, work: Callable[[], Any]) -> None:
        (self.queue if self.captured is None else self.captured).append(work)

    def synchronize(self) -> None:
        self._double.need_context()
        if self.captured is not None:
            raise LogicError("cuStreamSynchronize failed: operation not permitted when stream is capturing")
        while self.queue:
            self.queue.pop(0)()


class _DeviceAttribute:
    MULTIPROCESSOR_COUNT = "MULTIPROCESSOR_COUNT"
    INTEGRATED = "INTEGRATED"
    CAN_MAP_HOST_MEMORY = "CAN_MAP_HOST_MEMORY"


class _HostAllocFlags:
    PORTABLE = 1
    DEVICEMAP = 2


class PagelockedHostAllocation:
    def __init__(self, double: CudaDouble, shape: int | tuple[int, ...], dtype: np.dtype[Any], flags: int) -> None:
        self._array = np.empty(shape, dtype)
        self._array.reshape(-1).view(np.uint8).fill(0xA5)  # what was never written must not look like an answer
        self._address = self._array.ctypes.data
        self._mapped = bool(flags & _HostAllocFlags.DEVICEMAP)
        self._double = double
        double.page_locked.add(self._address)

    def __del__(self) -> None:
        self._double.page_locked.discard(self._address)
        self._double.dropped(self)

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return self._array.__array_interface__

    def get_device_pointer(self) -> int:
        if not self._mapped:
            raise LogicError("cuMemHostGetDevicePointer failed: invalid argument")
        return self._address


class Module:
    """A binary of kernels: the project's own, compiled for the processor."""

    def __init__(self, double: CudaDouble, image: bytes) -> None:
        double.need_context()
        if image != KERNELS:
            raise LogicError("cuModuleLoadDataEx failed: device kernel image is invalid")
        self._double = double

    def __del__(self) -> None:
        if hasattr(self, "_double"):
            self._double.dropped(self)

    def get_function(self, name: str) -> "Function":
        if not kernels_library().has_kernel(name.encode()):
            raise LogicError(f"cuModuleGetFunction failed: named symbol not found: {name}")
        return Function(self._double, self, name)


class Function:
    def __init__(self, double: CudaDouble, module: Module, name: str) -> None:
        self._double, self._module, self._name = double, module, name

    def prepare(self, arg_types: list[str]) -> "Function":
        self._format = "".join(arg_types)
        return self

    def prepared_async_call(
        self, grid: tuple[int, int, int], block: tuple[int, int, int], stream: Stream, *args: bytes
    ) -> None:
        self._double.need_context()
        self._double.launched.append(self._name)
        argument = struct.pack(self._format, *args)
        size = (ctypes.c_uint * 3)(*grid)
        name = self._name.encode()
        stream.enqueue(lambda: kernels_library().launch(name, size, block[0], argument))


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
