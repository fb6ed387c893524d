"""
TensorRT of several releases and their way with the DLA: how the precision is told, how many cores there are, what one
can run. Its plan is one that the runtime's double loads; what a build asked for is written down.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import onnx

from tests.doubles.tensorrt_double import DataType, ILogger, Memory, Severity, plan_of, tensorrt_double


class DeviceType(IntEnum):
    GPU = 0
    DLA = 1


class MemoryPoolType(IntEnum):
    WORKSPACE = 0


class ProfilingVerbosity(IntEnum):
    DETAILED = 2


class ILayer:
    def __init__(self, node: onnx.NodeProto) -> None:
        self.name = node.name
        self.precision: DataType | None = None
        self._operator, self._outputs = node.op_type, len(node.output)
        self._output_types: dict[int, DataType] = {}

    @property
    def num_outputs(self) -> int:
        return self._outputs

    def get_output(self, index: int) -> Any:
        return SimpleNamespace(dtype=DataType.FLOAT)

    def set_output_type(self, index: int, dtype: DataType) -> None:
        self._output_types[index] = dtype


class INetworkDefinition:
    def __init__(self, flags: int) -> None:
        self._flags = flags
        self._graph = Path()
        self._layers: list[ILayer] = []

    @property
    def num_layers(self) -> int:
        return len(self._layers)

    def get_layer(self, index: int) -> ILayer:
        return self._layers[index]


class OnnxParser:
    def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
        self._network = network

    def parse(self, model: bytes) -> bool:
        return True

    def parse_from_file(self, model: str) -> bool:
        self._network._graph = Path(model)
        self._network._layers = [ILayer(node) for node in onnx.load(model).graph.node]
        return True


class IBuilderConfig:
    def __init__(self) -> None:
        self.default_device_type, self.DLA_core = DeviceType.GPU, -1
        self.profiling_verbosity: ProfilingVerbosity | None = None
        self.builder_optimization_level = 3
        self._flags: set[str] = {"TF32"}
        self._limits: dict[MemoryPoolType, int] = {}

    def set_flag(self, flag: IntEnum) -> None:
        self._flags.add(flag.name)

    def clear_flag(self, flag: IntEnum) -> None:
        self._flags.discard(flag.name)

    def set_memory_pool_limit(self, pool: MemoryPoolType, pool_size: int) -> None:
        self._limits[pool] = pool_size

    def create_timing_cache(self, serialized_timing_cache: bytes) -> object:
        return object()

    def set_timing_cache(self, cache: object, ignore_mismatch: bool) -> bool:
        return True

    def get_timing_cache(self) -> None:
        """Nothing was measured."""

    def can_run_on_DLA(self, layer: ILayer) -> bool:
        return layer._operator in ("Conv", "MaxPool", "Relu", "Add")


@dataclass
class Asked:
    """What builds asked for, the last one last."""

    networks: list[INetworkDefinition] = field(default_factory=list)
    configs: list[IBuilderConfig] = field(default_factory=list)
    failure: str = ""  # say so, and build nothing


def tensorrt_with_builder(
    memory: Memory,
    *,
    version: str = "10.3.0",
    dla_cores: int = 0,
    by_flags: bool = True,
    strongly_typed: bool = True,
    name: str = "tensorrt",
) -> tuple[ModuleType, Asked]:
    """A whole `tensorrt` of this release, and what is asked of it."""
    module, asked = tensorrt_double(memory, name=name, version=version, dla_cores=dla_cores), Asked()

    class Builder:
        def __init__(self, logger: ILogger) -> None:
            self._listener = logger

        @property
        def num_DLA_cores(self) -> int:
            return dla_cores

        def create_network(self, flags: int) -> INetworkDefinition:
            asked.networks.append(INetworkDefinition(flags))
            return asked.networks[-1]

        def create_builder_config(self) -> IBuilderConfig:
            asked.configs.append(IBuilderConfig())
            return asked.configs[-1]

        def build_serialized_network(self, network: INetworkDefinition, config: IBuilderConfig) -> bytes | None:
            if asked.failure:
                self._listener.log(Severity.ERROR, asked.failure)
                return None
            core = config.DLA_core if config.default_device_type is DeviceType.DLA else None
            return plan_of(network._graph, version=version, dla=core)

    flags = ["TF32", "GPU_FALLBACK", *(["FP16", "INT8", "OBEY_PRECISION_CONSTRAINTS"] if by_flags else [])]
    creation = [*(["EXPLICIT_BATCH"] if by_flags else []), *(["STRONGLY_TYPED"] if strongly_typed else [])]
    enums = {
        "BuilderFlag": IntEnum("BuilderFlag", flags, start=0),
        "NetworkDefinitionCreationFlag": IntEnum("NetworkDefinitionCreationFlag", creation, start=0),
    }
    classes = (Builder, IBuilderConfig, OnnxParser, DeviceType, MemoryPoolType, ProfilingVerbosity)
    vars(module).update({cls.__name__: cls for cls in classes}, **enums)
    return module, asked
