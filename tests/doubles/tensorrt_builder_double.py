"""
TensorRT's builder and ONNX parser as far as app/convert uses them: 10.3, with strongly typed networks.

It measures nothing and optimises nothing: the plan that it writes carries the graph, for the double's runtime to
compute. What it is told wrongly it refuses as TensorRT does, in TensorRT's words.
"""

import json
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from tests.doubles.tensorrt_double import ILogger, Severity, plan_of

_STEPS = 20


class NetworkDefinitionCreationFlag(IntEnum):
    EXPLICIT_BATCH = 0
    STRONGLY_TYPED = 1


class BuilderFlag(Enum):
    FP16 = 0
    INT8 = 1
    TF32 = 7
    OBEY_PRECISION_CONSTRAINTS = 10


class MemoryPoolType(Enum):
    WORKSPACE = 0


class ProfilingVerbosity(Enum):
    LAYER_NAMES_ONLY = 0
    NONE = 1
    DETAILED = 2


class IProgressMonitor:
    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
        raise NotImplementedError

    def step_complete(self, phase_name: str, step: int) -> bool:
        raise NotImplementedError

    def phase_finish(self, phase_name: str) -> None:
        raise NotImplementedError


class IHostMemory(bytes):
    @property
    def nbytes(self) -> int:
        return len(self)


@dataclass
class ITimingCache:
    _platform: str
    _measured: dict[str, str] = field(default_factory=dict)

    def combine(self, input_cache: "ITimingCache", ignore_mismatch: bool) -> bool:
        if input_cache._platform != self._platform and not ignore_mismatch:
            return False
        self._measured.update(input_cache._measured)
        return True

    def serialize(self) -> IHostMemory:
        return IHostMemory(json.dumps([self._platform, self._measured]).encode())


class INetworkDefinition:
    def __init__(self, flags: int) -> None:
        self._strong = bool(flags & 1 << NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        self._source = Path()
        self._model: Any = None

    @property
    def num_layers(self) -> int:
        return 0 if self._model is None else len(self._model.graph.node)


class IBuilderConfig:
    def __init__(self, platform: str, listener: ILogger) -> None:
        self.builder_optimization_level = 3
        self.profiling_verbosity = ProfilingVerbosity.LAYER_NAMES_ONLY
        self.progress_monitor: IProgressMonitor | None = None
        self._platform, self._listener = platform, listener
        self._flags = {BuilderFlag.TF32}
        self._limits: dict[MemoryPoolType, int] = {}
        self._cache: ITimingCache | None = None

    def set_flag(self, flag: BuilderFlag) -> None:
        self._flags.add(flag)

    def clear_flag(self, flag: BuilderFlag) -> None:
        self._flags.discard(flag)

    def get_flag(self, flag: BuilderFlag) -> bool:
        return flag in self._flags

    def set_memory_pool_limit(self, pool: MemoryPoolType, pool_size: int) -> None:
        self._limits[pool] = pool_size

    def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache:
        if not serialized_timing_cache:
            return ITimingCache(self._platform)
        return ITimingCache(*json.loads(serialized_timing_cache))

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        if cache._platform != self._platform and not ignore_mismatch:
            self._listener.log(Severity.ERROR, "IBuilderConfig::setTimingCache: the timing cache is of another device")
            return False
        self._cache = cache
        return True

    def get_timing_cache(self) -> ITimingCache | None:
        return self._cache


@dataclass(frozen=True)
class ParserError:
    _desc: str
    _node: int = -1
    _name: str = ""
    _operator: str = ""

    def desc(self) -> str:
        return self._desc

    def node(self) -> int:
        return self._node

    def node_name(self) -> str:
        return self._name

    def node_operator(self) -> str:
        return self._operator


class OnnxParser:
    def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
        _require_logger(logger)
        self._network = network
        self._errors: list[ParserError] = []

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> ParserError:
        return self._errors[index]

    def parse_from_file(self, model: str) -> bool:
        try:
            self._network._source, self._network._model = Path(model), onnx.load(model)
        except (OSError, DecodeError):
            self._errors.append(ParserError(f"Failed to parse ONNX model from file: {model}"))
            return False
        for index, node in enumerate(self._network._model.graph.node):
            if node.op_type == "Det":  # one of those that TensorRT lacks
                self._errors.append(ParserError("unsupported node", index, node.name, node.op_type))
        return not self._errors


def builder_classes(version: str, gpu: str) -> tuple[type, ...]:
    """The members that a module of this version on this GPU shows, beside those of its runtime."""
    platform = f"{version} on {gpu}"

    class Builder:
        def __init__(self, logger: ILogger) -> None:
            _require_logger(logger)
            self._listener = logger

        def create_network(self, flags: int = 0) -> INetworkDefinition:
            return INetworkDefinition(flags)

        def create_builder_config(self) -> IBuilderConfig:
            return IBuilderConfig(platform, self._listener)

        def build_serialized_network(self, network: INetworkDefinition, config: IBuilderConfig) -> IHostMemory | None:
            problem = _refusal(network, config)
            if problem:
                self._listener.log(Severity.ERROR, f"IBuilder::buildSerializedNetwork: Error Code 3: {problem}")
                return None
            if not _announced(config.progress_monitor):
                return None
            if config._cache is not None:
                config._cache._measured.update({node.name: node.op_type for node in network._model.graph.node})
            return IHostMemory(plan_of(network._source, version=version, gpu=gpu))

    return (
        Builder,
        IBuilderConfig,
        INetworkDefinition,
        OnnxParser,
        ParserError,
        ITimingCache,
        IHostMemory,
        IProgressMonitor,
        NetworkDefinitionCreationFlag,
        BuilderFlag,
        MemoryPoolType,
        ProfilingVerbosity,
    )


def _require_logger(logger: Any) -> None:
    if not isinstance(logger, ILogger):
        raise TypeError("incompatible constructor arguments: expected ILogger")


def _refusal(network: INetworkDefinition, config: IBuilderConfig) -> str:
    if network._model is None:
        return "API Usage Error (the network has no layers)"
    typed = {BuilderFlag.FP16, BuilderFlag.INT8} & config._flags
    if network._strong and typed:
        return f"API Usage Error (a strongly typed network takes no flag {min(flag.name for flag in typed)})"
    if any(dim.dim_param for value in network._model.graph.input for dim in value.type.tensor_type.shape.dim):
        return "API Usage Error (Network has dynamic or shape inputs, but no optimization profile has been defined.)"
    return ""


def _announced(monitor: IProgressMonitor | None) -> bool:
    """Two phases, one in the other, as TensorRT tells of them; False where the monitor would have it end."""
    if monitor is None:
        return True
    monitor.phase_start("Building Engine", None, 2)
    monitor.phase_start("Compute tactics", "Building Engine", _STEPS)
    wanted = all(monitor.step_complete("Compute tactics", step) for step in range(_STEPS))
    monitor.phase_finish("Compute tactics")
    wanted = wanted and monitor.step_complete("Building Engine", 0) and monitor.step_complete("Building Engine", 1)
    monitor.phase_finish("Building Engine")
    return wanted
