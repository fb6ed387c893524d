"""What every backend's runner can do."""

from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import numpy.typing as npt

from app.metadata import ModelMetadata
from app.types import TensorSpec

if TYPE_CHECKING:
    from app.runtime.cuda import CudaSession

Tensors = Mapping[str, npt.NDArray[Any]]


class Runner(Protocol):
    """
    Runs one engine. Nothing touches the GPU or loads the engine before `__enter__`; `__exit__` gives it back.

    `inputs`, `outputs` and `metadata` may be read once it is entered.
    """

    @property
    def inputs(self) -> tuple[TensorSpec, ...]: ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]: ...

    @property
    def metadata(self) -> ModelMetadata: ...

    def infer(self, feeds: Tensors) -> Tensors:
        """Run once. The arrays returned may be reused by the next call: copy what you keep."""
        ...

    def __enter__(self) -> "Runner": ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class DeviceRunner(Runner, Protocol):
    """A runner whose tensors stay in the GPU's memory, where kernels fill and read them."""

    @property
    def session(self) -> "CudaSession": ...

    @property
    def capturable(self) -> bool: ...

    def keep_on_gpu(self) -> dict[str, int]: ...

    def enqueue(self) -> None: ...
