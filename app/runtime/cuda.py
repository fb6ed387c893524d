"""
The GPU's memory and its stream, by pycuda: the one importer of it.

The primary context is used, which CUDA's other users in a process share; a context of one's own would make their
memory invalid here. It is current only between push and pop, so any thread may call.
"""

import importlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType, TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from app.errors import BackendUnavailable, EngineError
from app.types import TensorSpec


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


class Buffer:
    """One tensor twice: page-locked memory of the host, which the GPU copies at full speed, and the GPU's own."""

    def __init__(self, driver: Any, spec: TensorSpec) -> None:
        self.spec = spec
        self.host: npt.NDArray[Any] = driver.pagelocked_empty(spec.shape, spec.dtype)
        self._device = driver.mem_alloc(max(self.host.nbytes, 1))

    @property
    def address(self) -> int:
        return int(self._device)

    def copy_in(self, driver: Any, stream: Any) -> None:
        driver.memcpy_htod_async(self._device, self.host, stream)

    def copy_out(self, driver: Any, stream: Any) -> None:
        driver.memcpy_dtoh_async(self.host, self._device, stream)

    def free(self) -> None:
        """Give back the GPU's memory. The host's goes with the last array that points into it."""
        self._device.free()


class CudaSession:
    """The first GPU's primary context, one stream, and the buffers made in them. Frees all on exit."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._buffers: list[Buffer] = []

    def __enter__(self) -> "CudaSession":
        self._driver = import_pycuda()
        with cuda_errors_as_ours("opening the GPU"):
            self._driver.init()
            if self._driver.Device.count() == 0:
                raise BackendUnavailable(
                    "CUDA shows no GPU", hint="In a container, start it with the NVIDIA runtime: --runtime=nvidia"
                )
            self._context = self._driver.Device(0).retain_primary_context()
            self._stack.callback(self._context.detach)
            with self._stack, self.current():  # leaving early gives the context back
                self._stream = self._driver.Stream()
                self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._stack, cuda_errors_as_ours("closing the GPU"), self.current():
            if error is None:  # after a failure it would only fail again, and hide what failed first
                self._stream.synchronize()
            while self._buffers:
                self._buffers.pop().free()
            del self._stream

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the context this thread's own for a while."""
        self._context.push()
        try:
            yield
        finally:
            self._driver.Context.pop()

    @property
    def stream_handle(self) -> int:
        return int(self._stream.handle)

    def buffer(self, spec: TensorSpec) -> Buffer:
        """Memory for one tensor. Call it inside `current()`."""
        with cuda_errors_as_ours(f"making room for {spec.name!r} {spec.shape}"):
            made = Buffer(self._driver, spec)
        self._buffers.append(made)
        return made

    def copy_in(self, buffer: Buffer, values: npt.NDArray[Any]) -> None:
        """Queue the copy of `values` to the GPU."""
        np.copyto(buffer.host, values)
        buffer.copy_in(self._driver, self._stream)

    def copy_out(self, buffer: Buffer) -> None:
        """Queue the copy back; `buffer.host` holds the values after `synchronize()`."""
        buffer.copy_out(self._driver, self._stream)

    def synchronize(self) -> None:
        self._stream.synchronize()
