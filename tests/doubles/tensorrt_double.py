"""
TensorRT's runtime as far as app/runtime/tensorrt.py uses it. Its "plan" holds an ONNX graph, and its execution context
computes that graph through ONNX Runtime on the very addresses it was given, when the stream gets to it.
"""

import json
from collections.abc import Callable
from enum import Enum
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from app.runtime.onnxruntime import import_onnxruntime

_MAGIC = b"plan of a double\n"


def plan_of(graph: Path, *, version: str = "10.3.0", gpu: str = "8.7", dla: int | None = None) -> bytes:
    """The bytes of a plan that the double of this version loads on this GPU, or on this core of the DLA."""
    made_for = {"version": version, "gpu": gpu, "dla": dla}
    return _MAGIC + json.dumps(made_for).encode() + b"\n" + graph.read_bytes()


class Memory(Protocol):
    """The GPU's memory and its queue of work."""

    def read(self, address: int, size: int) -> bytes: ...

    def write(self, address: int, data: bytes) -> None: ...

    def enqueue(self, stream_handle: int, work: Callable[[], Any]) -> None: ...


class Severity(Enum):
    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2
    INFO = 3
    VERBOSE = 4


_Severity = Severity


class ILogger:
    Severity = _Severity

    def log(self, severity: _Severity, msg: str) -> None:
        raise NotImplementedError


class TensorIOMode(Enum):
    NONE = 0
    INPUT = 1
    OUTPUT = 2


class DataType(Enum):
    FLOAT = 0
    HALF = 1
    INT8 = 2
    INT32 = 3
    BOOL = 4
    UINT8 = 5
    FP8 = 6
    BF16 = 7
    INT64 = 8


_TYPES = {
    "tensor(float)": (DataType.FLOAT, np.float32),
    "tensor(float16)": (DataType.HALF, np.float16),
    "tensor(int64)": (DataType.INT64, np.int64),
    "tensor(bfloat16)": (DataType.BF16, np.uint16),
}


class ICudaEngine:
    def __init__(self, session: Any, memory: Memory, logger: ILogger) -> None:
        self._session, self._memory, self._listener = session, memory, logger
        self._inputs = {node.name: node for node in session.get_inputs()}
        self._outputs = {node.name: node for node in session.get_outputs()}

    @property
    def num_io_tensors(self) -> int:
        return len(self._inputs) + len(self._outputs)

    def get_tensor_name(self, index: int) -> str:
        names: list[str] = [*self._inputs, *self._outputs]
        return names[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self._inputs else TensorIOMode.OUTPUT

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(size if isinstance(size, int) else -1 for size in self._node(name).shape)

    def get_tensor_dtype(self, name: str) -> DataType:
        return _TYPES[self._node(name).type][0]

    def create_engine_inspector(self) -> "EngineInspector":
        return EngineInspector(self)

    def create_execution_context(self) -> "IExecutionContext":
        return IExecutionContext(self)

    def _node(self, name: str) -> Any:
        return self._inputs.get(name) or self._outputs[name]


class LayerInformationFormat(Enum):
    ONELINE = 0
    JSON = 1


class EngineInspector:
    def __init__(self, engine: ICudaEngine) -> None:
        self._engine = engine

    def get_engine_information(self, format: LayerInformationFormat) -> str:
        """One layer, in the shape of TensorRT up to 10."""
        if format is not LayerInformationFormat.JSON:
            raise NotImplementedError
        images = {"Name": "images", "Location": "Device", "Format/Datatype": "Row major linear FP32"}
        layer = {"Name": "all", "LayerType": "Whole", "Inputs": [images], "Outputs": []}
        return json.dumps({"Layers": [layer], "Bindings": [*self._engine._inputs, *self._engine._outputs]})


class IExecutionContext:
    def __init__(self, engine: ICudaEngine) -> None:
        self._engine = engine
        self._addresses: dict[str, int] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = memory
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._shapes[name] = tuple(shape)
        return tuple(shape) == self._engine.get_tensor_shape(name)

    def execute_async_v3(self, stream_handle: int) -> bool:
        engine = self._engine
        missing = [name for name in (*engine._inputs, *engine._outputs) if name not in self._addresses]
        if missing or set(self._shapes) != set(engine._inputs):
            engine._listener.log(
                Severity.ERROR, f"IExecutionContext::enqueueV3: no address or no shape was set for {missing}"
            )
            return False
        engine._memory.enqueue(stream_handle, self._compute)
        return True

    def _compute(self) -> None:
        engine = self._engine
        feeds = {}
        for name, node in engine._inputs.items():
            dtype = np.dtype(_TYPES[node.type][1])
            data = engine._memory.read(self._addresses[name], dtype.itemsize * int(np.prod(self._shapes[name])))
            feeds[name] = np.frombuffer(data, dtype).reshape(self._shapes[name])
        names = list(engine._outputs)
        for name, values in zip(names, engine._session.run(names, feeds), strict=True):
            engine._memory.write(self._addresses[name], np.ascontiguousarray(values).tobytes())


def tensorrt_double(
    memory: Memory, *, name: str = "tensorrt", version: str = "10.3.0", gpu: str = "8.7", dla_cores: int = 0
) -> ModuleType:
    """A module to stand for `tensorrt` or `tensorrt_rtx` on a GPU of this compute capability."""

    class Runtime:
        def __init__(self, logger: ILogger) -> None:
            if not isinstance(logger, ILogger):
                raise TypeError("incompatible constructor arguments: expected ILogger")
            self._listener = logger
            self.DLA_core = -1

        @property
        def num_DLA_cores(self) -> int:
            return dla_cores

        def deserialize_cuda_engine(self, serialized_engine: Any) -> ICudaEngine | None:
            problem, graph = _read(bytes(serialized_engine), version, gpu, self.DLA_core)
            if problem:
                self._listener.log(Severity.ERROR, f"IRuntime::deserializeCudaEngine: Error Code 1: {problem}")
                return None
            ort = import_onnxruntime()
            options = ort.SessionOptions()
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
            session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
            return ICudaEngine(session, memory, self._listener)

    module = ModuleType(name)
    classes = (
        Runtime,
        ICudaEngine,
        IExecutionContext,
        EngineInspector,
        LayerInformationFormat,
        ILogger,
        TensorIOMode,
        DataType,
    )
    vars(module).update({cls.__name__: cls for cls in classes}, __version__=version)
    module.__spec__ = ModuleSpec(name, None)
    return module


def _read(plan: bytes, version: str, gpu: str, dla_core: int) -> tuple[str, bytes]:
    """What is wrong with a plan, in TensorRT's words, and the graph in it."""
    if not plan.startswith(_MAGIC):
        return (
            "Serialization (Serialization assertion magicTagRead == kMAGIC_TAG failed. Magic tag does not match)",
            b"",
        )
    head, _, graph = plan[len(_MAGIC) :].partition(b"\n")
    made_for = json.loads(head)
    if made_for["version"] != version:
        return (
            f"The engine plan file is not compatible with this version of TensorRT, expecting library version "
            f"{version} got {made_for['version']}, please rebuild."
        ), b""
    if made_for["gpu"] != gpu:
        return (
            f"The engine plan file is generated on an incompatible device, expecting compute {gpu} "
            f"got compute {made_for['gpu']}, please rebuild."
        ), b""
    if made_for["dla"] not in (None, dla_core):
        return f"The engine was built for DLA core {made_for['dla']}, the runtime's DLA_core is {dla_core}.", b""
    return "", graph
