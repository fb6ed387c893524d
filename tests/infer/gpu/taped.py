"""A network whose answers were written beforehand: it looks at nothing, so pre- and postprocessing show alone."""

from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from app.metadata import ModelMetadata
from app.runtime.base import Tensors
from app.runtime.cuda import Buffer, CudaSession
from app.types import GpuMemory, TensorSpec


class TapedRunner:
    """Both kinds of runner: `infer` for the CPU path, `enqueue` for the GPU path."""

    def __init__(
        self,
        metadata: ModelMetadata,
        outputs: Mapping[str, npt.NDArray[Any]],
        *,
        input_dtype: type[np.floating[Any]] = np.float32,
        memory: GpuMemory = GpuMemory.AUTO,
        capturable: bool = True,
    ) -> None:
        self.metadata, self._tape = metadata, outputs
        self.session = CudaSession(memory)
        self.capturable = capturable
        self.enqueued = 0
        self.fed: npt.NDArray[Any] = np.empty(0)  # what `infer` was given last
        shape = (metadata.batch, 3, *metadata.imgsz)
        self.inputs = (TensorSpec("images", shape, np.dtype(input_dtype)),)
        self.outputs = tuple(TensorSpec(name, array.shape, array.dtype) for name, array in outputs.items())
        self._buffers: dict[str, Buffer] = {}
        self._stack = ExitStack()

    def infer(self, feeds: Tensors) -> Tensors:
        self.fed = np.array(feeds["images"])
        return self._tape

    def keep_on_gpu(self) -> dict[str, int]:
        with self.session.current():
            self._buffers = {spec.name: self.session.buffer(spec) for spec in (*self.inputs, *self.outputs)}
            for name, array in self._tape.items():
                self._buffers[name].host[...] = array
        return {name: buffer.address for name, buffer in self._buffers.items()}

    def enqueue(self) -> None:
        self.enqueued += 1
        for spec in self.outputs:
            buffer = self._buffers[spec.name]
            self.session.copy_to(buffer.address, buffer.host)

    def input_on_gpu(self) -> npt.NDArray[Any]:
        """What the kernels made of the last frames."""
        with self.session.current():
            self.session.copy_out(self._buffers["images"])
            self.session.synchronize()
            return self._buffers["images"].host.copy()

    def __enter__(self) -> "TapedRunner":
        self._stack.enter_context(self.session)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._buffers = {}
        self._stack.close()
