"""
The GPU's memory, its stream and kernels on it, by pycuda: the one importer of it.

The primary context is used, which CUDA's other users in a process share; a context of one's own would make their
memory invalid here. It is current only between push and pop, so any thread may call.
"""

import importlib
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import ModuleType, TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from app.errors import BackendUnavailable, EngineError
from app.types import GpuMemory, TensorSpec


def import_pycuda() -> ModuleType:
    """
    Import pycuda.driver.

    Raises:
        BackendUnavailable: it is not installed, or does not load here.
    """
    try:
        return importlib.import_module("pycuda.driver")
    except ImportError as error:
        raise BackendUnavailable(
            f"pycuda, which moves data to and from the GPU, cannot be imported: {error}",
            hint="Install it where the CUDA toolkit is (its headers are needed): pip install pycuda",
        ) from error


@contextmanager
def cuda_errors_as_ours(doing: str) -> Iterator[None]:
    """Turn pycuda's errors into ours; `doing` says what was being done."""
    driver = import_pycuda()
    try:
        yield
    except driver.MemoryError as error:
        raise EngineError(
            f"The GPU has no memory left while {doing}: {error}",
            hint="Close other programs that use the GPU (a Jetson's GPU shares the memory of all programs).",
        ) from error
    except driver.Error as error:
        raise EngineError(
            f"CUDA failed while {doing}: {error}",
            hint="Run it again; if it stays, restart the device, and check that its driver fits this CUDA.",
        ) from error


class _Context:
    """The GPU's primary context, kept as long as anyone holds it: page-locked memory outlives its session."""

    def __init__(self, driver: Any, device: Any) -> None:
        self._driver, self._handle = driver, device.retain_primary_context()
        self._lock = threading.RLock()  # the garbage collector may let go while somebody takes hold
        self._holders = 1

    def hold(self) -> "_Context":
        with self._lock:
            self._holders += 1
        return self

    def let_go(self) -> None:
        with self._lock:
            self._holders -= 1
            if self._holders == 0:
                self._handle.detach()

    @contextmanager
    def current(self) -> Iterator[None]:
        self._handle.push()
        try:
            yield
        finally:
            self._driver.Context.pop()


class HostMemory:
    """
    Page-locked memory of the host, which the GPU also reads and writes where it lies.

    It goes with the last array that shows a part of it, also after the session has ended.
    """

    def __init__(self, driver: Any, context: _Context, nbytes: int) -> None:
        flags = driver.host_alloc_flags
        self.nbytes = max(nbytes, 1)
        self._pinned: Any = driver.pagelocked_empty(self.nbytes, np.uint8, mem_flags=flags.DEVICEMAP | flags.PORTABLE)
        self._context = context.hold()
        self.start = int(self._pinned.__array_interface__["data"][0])
        self.address = int(self._pinned.base.get_device_pointer())

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return {"shape": (self.nbytes,), "typestr": "|u1", "data": (self.start, False), "version": 3}

    @property
    def bytes(self) -> npt.NDArray[np.uint8]:
        return np.asarray(self)

    def __del__(self) -> None:
        if hasattr(self, "_context"):
            with self._context.current():  # without, pycuda frees nothing, and says nothing
                self._pinned = None
            self._context.let_go()


class Buffer:
    """
    One tensor in the GPU's memory, and its twin in page-locked memory, made once it is asked for.

    Where the GPU shares the host's memory (`mapped`), both are one.
    """

    def __init__(self, driver: Any, context: _Context, spec: TensorSpec, *, mapped: bool) -> None:
        self.spec, self._driver, self._context = spec, driver, context
        self.nbytes = max(int(np.prod(spec.shape)) * spec.dtype.itemsize, 1)
        self._host = HostMemory(driver, context, self.nbytes) if mapped else None
        self._device = None if mapped else driver.mem_alloc(self.nbytes)
        if self._device is not None:
            driver.memset_d8(int(self._device), 0, self.nbytes)

    @property
    def host(self) -> npt.NDArray[Any]:
        if self._host is None:
            self._host = HostMemory(self._driver, self._context, self.nbytes)
        return self._host.bytes.view(self.spec.dtype).reshape(self.spec.shape)

    @property
    def address(self) -> int:
        """Where the GPU finds it."""
        if self._device is not None:
            return int(self._device)
        assert self._host is not None  # noqa: S101 # made at once where there is nothing else
        return self._host.address

    def copy_in(self, stream: Any) -> None:
        if self._device is not None:
            self._driver.memcpy_htod_async(self._device, self.host, stream)

    def copy_out(self, stream: Any) -> None:
        if self._device is not None:
            self._driver.memcpy_dtoh_async(self.host, self._device, stream)

    def free(self) -> None:
        """Give back the GPU's memory."""
        if self._device is not None:
            self._device.free()


class Kernels:
    """A loaded binary of kernels, each of which takes one structure of bytes."""

    def __init__(self, module: Any, stream: Any, argument_bytes: int) -> None:
        self._module, self._stream = module, stream
        self._format = [f"{argument_bytes}s"]
        self._functions: dict[str, Any] = {}

    def launch(self, name: str, grid: tuple[int, int, int], threads: int, argument: bytes) -> None:
        """Queue one kernel on the session's stream."""
        if name not in self._functions:
            function = self._module.get_function(name)
            function.prepare(self._format)
            self._functions[name] = function
        self._functions[name].prepared_async_call(grid, (threads, 1, 1), self._stream, argument)

    def close(self) -> None:
        """Let go of what lives in the context: whoever still holds the kernels may outlive it."""
        self._functions.clear()
        self._module = self._stream = None


class CudaSession:
    """
    The first GPU's primary context, one stream, and the memory made in them. Frees all on exit.

    Args:
        memory: whether tensors and frames lie in memory that the GPU and the host share, or are copied.
    """

    def __init__(self, memory: GpuMemory = GpuMemory.AUTO) -> None:
        self._memory = memory
        self._buffers: list[Buffer] = []
        self._allocations: dict[int, Any] = {}
        self._at_exit = ExitStack()

    def __enter__(self) -> "CudaSession":
        self._driver = import_pycuda()
        with cuda_errors_as_ours("opening the GPU"):
            self._driver.init()
            if self._driver.Device.count() == 0:
                raise BackendUnavailable(
                    "CUDA shows no GPU", hint="In a container, start it with the NVIDIA runtime: --runtime=nvidia"
                )
            device = self._driver.Device(0)
            self._read_attributes(device)
            self._context = _Context(self._driver, device)
            with ExitStack() as stack:
                stack.callback(self._context.let_go)
                with self.current():
                    self._stream = self._driver.Stream()
                stack.pop_all()
        return self

    def _read_attributes(self, device: Any) -> None:
        known = self._driver.device_attribute
        self.multiprocessors = int(device.get_attribute(known.MULTIPROCESSOR_COUNT))
        self.compute_capability = "{}{}".format(*device.compute_capability())
        shared = bool(device.get_attribute(known.INTEGRATED)) and bool(device.get_attribute(known.CAN_MAP_HOST_MEMORY))
        self.mapped = shared if self._memory is GpuMemory.AUTO else self._memory is GpuMemory.MAPPED

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ExitStack() as stack:
            stack.callback(self._context.let_go)
            with cuda_errors_as_ours("closing the GPU"), self.current():
                if error is None:  # after a failure it would only fail again, and hide what failed first
                    self._stream.synchronize()
                self._at_exit.close()
                self.free_buffers()
                self.free_allocations()
                del self._stream

    def current(self) -> AbstractContextManager[None]:
        """Make the context this thread's own for a while."""
        return self._context.current()

    def at_exit(self, callback: Callable[[], None]) -> None:
        """Call it before the memory goes, with the context current; the last one asked for goes first."""
        self._at_exit.callback(callback)

    @property
    def stream_handle(self) -> int:
        return int(self._stream.handle)

    def buffer(self, spec: TensorSpec, *, mapped: bool = False) -> Buffer:
        """Zeroed memory for one tensor. Call it inside `current()`."""
        with cuda_errors_as_ours(f"making room for {spec.name!r} {spec.shape}"):
            made = Buffer(self._driver, self._context, spec, mapped=mapped)
        self._buffers.append(made)
        return made

    def free_buffers(self) -> None:
        while self._buffers:
            self._buffers.pop().free()

    def host_memory(self, nbytes: int) -> HostMemory:
        """Call it inside `current()`."""
        with cuda_errors_as_ours(f"making room for {nbytes} bytes of page-locked memory"):
            return HostMemory(self._driver, self._context, nbytes)

    def allocate(self, nbytes: int) -> int:
        """Zeroed memory of the GPU, by its address. Call it inside `current()`."""
        with cuda_errors_as_ours(f"making room for {nbytes} bytes"):
            made = self._driver.mem_alloc(max(nbytes, 1))
            self._allocations[int(made)] = made
            self._driver.memset_d8(int(made), 0, max(nbytes, 1))
        return int(made)

    def free(self, address: int) -> None:
        self._allocations.pop(address).free()

    def free_allocations(self) -> None:
        """All that `allocate` gave."""
        for address in list(self._allocations):
            self.free(address)

    def load_kernels(self, image: bytes, argument_bytes: int) -> Kernels:
        """
        Raises:
            EngineError: the binary holds no code that this GPU runs.
        """
        with cuda_errors_as_ours("loading the kernels"):
            made = Kernels(self._driver.module_from_buffer(image), self._stream, argument_bytes)
        self.at_exit(made.close)
        return made

    def copy_in(self, buffer: Buffer, values: npt.NDArray[Any]) -> None:
        """Queue the copy of `values` to the GPU."""
        np.copyto(buffer.host, values)
        buffer.copy_in(self._stream)

    def copy_out(self, buffer: Buffer) -> None:
        """Queue the copy back; `buffer.host` holds the values after `synchronize()`."""
        buffer.copy_out(self._stream)

    def copy_to(self, address: int, values: npt.NDArray[Any]) -> None:
        """Queue the copy of page-locked `values` to an address of the GPU."""
        self._driver.memcpy_htod_async(address, values, self._stream)

    def synchronize(self) -> None:
        self._stream.synchronize()
