"""Runs TensorRT engines and TensorRT for RTX engines: one runner, two libraries with the same classes."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from app.errors import EngineDamaged, EngineError, EngineStale, ModelError
from app.metadata import ModelMetadata
from app.runtime import tensorrt_compat as compat
from app.runtime.base import Tensors
from app.runtime.cuda import Buffer, CudaSession, cuda_errors_as_ours
from app.runtime.dla import core_of, select_core
from app.types import Backend, GpuMemory, TensorSpec

if TYPE_CHECKING:
    import tensorrt as stubs

# By name: the numbers behind them differ between releases, and some releases lack some.
_DTYPES: Mapping[str, type[np.generic]] = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "INT8": np.int8,
    "INT32": np.int32,
    "INT64": np.int64,
    "UINT8": np.uint8,
    "BOOL": np.bool_,
}
_REBUILD = "Build it again: jetsmith convert --force-convert"
# What TensorRT 8.6 to 11.4 say of a plan that is whole, but not for this library or this GPU.
_FOREIGN = (
    "version tag does not match", "not compatible with this version", "incompatible device", "platform specific tag",
    "compute capability",
)  # fmt: skip


@dataclass(frozen=True)
class _Loaded:
    """TensorRT's objects, in the order in which they must go."""

    context: "stubs.IExecutionContext"
    engine: "stubs.ICudaEngine"
    runtime: "stubs.Runtime"


class TensorRTRunner:
    """
    Runs one engine file on the first GPU.

    Args:
        header: Ultralytics' header of the file; offset: where the plan begins behind it (0: a bare plan).
        memory: whether tensors that the host fills and reads are shared with the GPU or copied.
    """

    def __init__(
        self,
        path: Path,
        *,
        header: Mapping[str, Any],
        offset: int,
        backend: Backend = Backend.TENSORRT,
        memory: GpuMemory = GpuMemory.AUTO,
    ) -> None:
        self._path, self._header, self._offset, self._backend = path, header, offset, backend
        self._memory = memory
        self._stack = ExitStack()
        self._loaded: _Loaded | None = None
        self._inputs: list[Buffer] = []
        self._outputs: list[Buffer] = []

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return tuple(buffer.spec for buffer in self._inputs)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return tuple(buffer.spec for buffer in self._outputs)

    @property
    def metadata(self) -> ModelMetadata:
        return self._metadata

    def __enter__(self) -> "TensorRTRunner":
        self._metadata = ModelMetadata.from_header(self._header)
        trt = compat.load(self._backend)
        plan = self._read_plan()
        with ExitStack() as stack:
            self._cuda = stack.enter_context(CudaSession(self._memory))
            stack.callback(self._forget_engine)  # TensorRT's objects go before the memory they point to
            with self._cuda.current():
                self._loaded = self._load(trt, plan)
                self._bind(trt, self._loaded, mapped=self._cuda.mapped)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def infer(self, feeds: Tensors) -> Tensors:
        """Run once; the arrays returned are overwritten by the next call."""
        with cuda_errors_as_ours(f"running {self._path.name}"), self.session.current():
            for buffer in self._inputs:
                self._cuda.copy_in(buffer, self._checked(feeds, buffer.spec))
            self.enqueue()
            for buffer in self._outputs:
                self._cuda.copy_out(buffer)
            self._cuda.synchronize()
        return {buffer.spec.name: buffer.host for buffer in self._outputs}

    @property
    def session(self) -> CudaSession:
        """The GPU as this runner opened it: its stream is the one that `enqueue` uses."""
        if self._loaded is None:
            raise RuntimeError("the runner has not been entered")
        return self._cuda

    @property
    def capturable(self) -> bool:
        """Whether `enqueue` may be captured in a CUDA graph: the DLA's work may not."""
        return core_of(self._header, self._path) is None

    def keep_on_gpu(self) -> dict[str, int]:
        """Put every tensor into the GPU's own memory, for kernels that fill and read them: their addresses by name."""
        trt = compat.load(self._backend)
        with self.session.current():
            self._cuda.free_buffers()
            self._inputs, self._outputs = [], []
            assert self._loaded is not None  # noqa: S101 # `session` has looked
            self._bind(trt, self._loaded, mapped=False)
        return {buffer.spec.name: buffer.address for buffer in (*self._inputs, *self._outputs)}

    def enqueue(self) -> None:
        """Queue one run on the session's stream. Call it inside `session.current()`."""
        assert self._loaded is not None  # noqa: S101 # nobody has a session else
        if not self._loaded.context.execute_async_v3(self._cuda.stream_handle):
            raise EngineError(
                f"TensorRT could not run {self._path.name}: {_said()}", hint="Run it again with --verbose."
            )

    def layer_information(self) -> str:
        """TensorRT's own account of the layers, as JSON; how much it tells was decided when the engine was built."""
        if self._loaded is None:
            raise RuntimeError("the runner has not been entered")
        trt, engine = compat.load(self._backend), self._loaded.engine
        with self._cuda.current():
            inspector = engine.create_engine_inspector()
            return str(inspector.get_engine_information(trt.LayerInformationFormat.JSON))

    def _checked(self, feeds: Tensors, spec: TensorSpec) -> npt.NDArray[Any]:
        values = feeds.get(spec.name)
        if values is None or values.shape != spec.shape or values.dtype != spec.dtype:
            given = "nothing" if values is None else f"{values.dtype} {values.shape}"
            raise ModelError(f"Input {spec.name!r} takes {spec.dtype} {spec.shape}, but got {given}")
        return values

    def _read_plan(self) -> memoryview:
        try:
            data = self._path.read_bytes()
        except OSError as error:
            raise EngineDamaged(f"{self._path} cannot be read: {error}", hint=_REBUILD) from error
        if len(data) <= self._offset:
            raise EngineDamaged(f"{self._path} holds no plan behind its header", hint=_REBUILD)
        return memoryview(data)[self._offset :]

    def _load(self, trt: Any, plan: memoryview) -> _Loaded:
        compat.MESSAGES.take_errors()
        runtime: stubs.Runtime = trt.Runtime(compat.logger(trt))
        select_core(runtime, core_of(self._header, self._path), self._path)
        engine = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise _refused(trt, self._path)
        context = engine.create_execution_context()
        if context is None:  # most often for want of memory
            raise EngineError(
                f"TensorRT could not prepare {self._path.name}: {_said()}",
                hint="Close other programs that use the GPU, and run it again.",
            )
        return _Loaded(context, engine, runtime)

    def _bind(self, trt: Any, loaded: _Loaded, *, mapped: bool) -> None:
        """Make room for every tensor and tell TensorRT where it is."""
        engine, context = loaded.engine, loaded.context
        for index in range(engine.num_io_tensors):
            name = engine.get_tensor_name(index)
            is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
            buffer = self._cuda.buffer(self._spec(trt, engine, name), mapped=mapped)
            (self._inputs if is_input else self._outputs).append(buffer)
            bound = context.set_tensor_address(name, buffer.address)
            if not bound or (is_input and not context.set_input_shape(name, buffer.spec.shape)):
                raise EngineError(f"TensorRT refused tensor {name!r} of {self._path.name}: {_said()}", hint=_REBUILD)

    def _spec(self, trt: Any, engine: "stubs.ICudaEngine", name: str) -> TensorSpec:
        dims: Any = engine.get_tensor_shape(name)
        shape = tuple(dims)
        dtype = _dtype(trt, engine.get_tensor_dtype(name))
        if dtype is None or min(shape, default=1) < 0:
            raise ModelError(
                f"Tensor {name!r} of {self._path.name} has shape {shape} and type "
                f"{engine.get_tensor_dtype(name)}, not a static numeric one",
                hint=_REBUILD,
            )
        return TensorSpec(name, shape, dtype)

    def _forget_engine(self) -> None:
        with self._cuda.current():
            self._loaded = None
        self._inputs, self._outputs = [], []


def _dtype(trt: Any, found: Any) -> np.dtype[Any] | None:
    for name, dtype in _DTYPES.items():
        if hasattr(trt.DataType, name) and found == getattr(trt.DataType, name):
            return np.dtype(dtype)
    return None


def _refused(trt: Any, path: Path) -> EngineError:
    said = _said()
    if any(sign in said.lower() for sign in _FOREIGN):
        return EngineStale(
            f"{path.name} was built for another {trt.__name__} than {trt.__version__}, or for another GPU: {said}",
            hint="Build it on this device: jetsmith convert",
        )
    return EngineDamaged(f"{trt.__name__} cannot load {path.name}: {said}", hint=_REBUILD)


def _said() -> str:
    return "; ".join(compat.MESSAGES.take_errors()) or "it gave no reason"
