"""The TensorRT engine, and the TensorRT for RTX engine: one builder, two libraries."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.convert.child import Channel
from app.convert.dla import layers_on_dla, require_cores, use_core
from app.convert.effort import Effort, tells_of_no_memory, workspace_bytes
from app.convert.precision import (
    Ranges,
    fp32_layers,
    has_strong_types,
    is_told_by_flags,
    require_ranges,
    set_weak_types,
    typed_graph,
    weakly_typed_graph,
)
from app.convert.timing_cache import DROPPED, attach, cached_timings, keep
from app.device import Gpu, read_device
from app.engines.cache import Cached
from app.engines.header import write_header
from app.errors import BuildFailed, OutOfMemory
from app.metadata import ModelMetadata
from app.runtime import tensorrt_compat as compat
from app.runtime.dla import HEADER_KEY
from app.types import Backend, Precision

if TYPE_CHECKING:
    import tensorrt as stubs

_ERRORS_SHOWN = 8


@dataclass(frozen=True)
class Plan:
    """What to build, and for which GPU."""

    source: Path  # the FP32 graph
    typed: Path  # where an FP16 or INT8 graph goes
    precision: Precision
    effort: Effort
    capabilities: tuple[str, ...]  # TensorRT for RTX: "SM86", …
    ranges: Ranges | None = None  # for INT8
    timings: Cached | None = None  # what earlier builds measured
    dla_core: int | None = None  # None: the GPU


@dataclass(frozen=True)
class Serialized:
    plan: "stubs.IHostMemory"
    facts: dict[str, Any]  # for the manifest


def build(job: dict[str, Any], channel: Channel) -> dict[str, Any]:
    """
    Build `job["engine"]` from the FP32 graph `job["onnx"]`: Ultralytics' header, then TensorRT's plan.

    An RTX engine carries the same header, though Ultralytics cannot load it: one format, one reader.

    Job:
        backend, precision: their values. workspace_gb: a number, or None for a share of the device's memory.
        optimization_level, max_tactics: optional, numbers; what this release has no name for is left out.
        ranges: for INT8: its layers, and the largest magnitude of each one's input.
        dla_core: optional, the core of the DLA that the engine is for.
        store, device_slug: optional: where timings of earlier builds are kept.
        capabilities: optional, TensorRT for RTX: the GPUs to build for ("SM86"), instead of this machine's.

    Raises:
        PrecisionFailed: the graph is not valid, or cannot be had in this precision.
        BuildFailed: the parser or the builder refused it; with the node, and all that TensorRT said.
    """
    backend, precision = Backend(job["backend"]), Precision(job["precision"])
    require_ranges(precision, job.get("ranges"))
    trt = compat.load(backend)
    device = read_device()
    engine = Path(job["engine"])
    plan = Plan(
        source=Path(job["onnx"]),
        typed=engine.with_suffix(".typed.onnx"),
        precision=precision,
        effort=Effort(
            workspace_bytes(job.get("workspace_gb"), device), job.get("optimization_level"), job.get("max_tactics")
        ),
        capabilities=_capabilities(trt, job.get("capabilities"), device.gpu),
        ranges=job.get("ranges"),
        timings=cached_timings(job, trt),
        dla_core=job.get("dla_core"),
    )
    started = time.perf_counter()
    serialized = serialize(trt, plan, channel)
    header = _header(plan)
    _write(engine, write_header(header), serialized.plan)
    return {
        "engine": str(engine),
        "precision": precision.value,
        "seconds": round(time.perf_counter() - started, 3),
        "version": str(trt.__version__),
        "typed_graph": str(plan.typed) if plan.typed.exists() else None,
        "header": header,
        "facts": serialized.facts,
    }


def _write(engine: Path, header: bytes, serialized: "stubs.IHostMemory") -> None:
    try:
        with engine.open("wb") as file:
            file.write(header)
            buffer: Any = serialized  # the stubs do not tell that it is one
            file.write(memoryview(buffer))
    except OSError as error:
        raise BuildFailed(
            f"The engine cannot be written to {engine}: {error.strerror}",
            hint="Make room on that disk, or set models_dir to another, then run it again.",
        ) from error


def _capabilities(trt: Any, wanted: list[str] | None, gpu: Gpu | None) -> tuple[str, ...]:
    """What TensorRT for RTX builds for: never "the current GPU", so that a machine without one can build too."""
    known = compat.capabilities(trt)
    if not known:
        return ()
    if wanted is None and gpu is not None:
        reason = compat.unsupported_gpu(trt, gpu)
        if reason:
            raise BuildFailed(reason, hint="Take another backend: --backend tensorrt or onnxruntime.")
        return (compat.capability_name(gpu.compute_capability),)
    unknown = [name for name in wanted or () if name not in known]
    if unknown:
        raise BuildFailed(
            f"TensorRT for RTX cannot build for {', '.join(unknown)}", hint=f"It knows {', '.join(known)}."
        )
    return tuple(wanted or known)


def serialize(trt: Any, plan: Plan, channel: Channel) -> Serialized:
    """Parse and build."""
    compat.MESSAGES.take_errors()
    logger = compat.logger(trt)
    builder: stubs.Builder = trt.Builder(logger)
    if plan.dla_core is not None:
        require_cores(trt, builder, plan.dla_core, plan.precision)
    strong = _is_strongly_typed(trt, plan)
    write = typed_graph if strong else weakly_typed_graph
    graph = write(plan.source, plan.precision, plan.typed, plan.ranges)
    network = builder.create_network(_network_flags(trt, strong=strong))
    parser: stubs.OnnxParser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(graph)):
        raise _parse_failure(parser, graph)
    config = _config(trt, builder, plan)
    if plan.precision is not Precision.FP32 and not strong:
        int8 = plan.precision is Precision.INT8
        set_weak_types(trt, network, config, fp32_layers(plan.source), int8=int8)
    facts = _on_dla(trt, network, config, plan, channel)
    monitor = compat.progress_monitor(trt, channel.progress)
    if monitor is not None and hasattr(config, "progress_monitor"):
        config.progress_monitor = monitor
    state = None if plan.timings is None else attach(config, plan.timings, channel)
    serialized: stubs.IHostMemory | None = builder.build_serialized_network(network, config)
    if serialized is None:
        raise _build_failure(trt, plan)
    if plan.timings is not None:
        keep(config, plan.timings, state == DROPPED, channel)
    return Serialized(serialized, {**facts, **({} if state is None else {"timing_cache": state})})


def _is_strongly_typed(trt: Any, plan: Plan) -> bool:
    """Networks for the DLA are so only where there is no other way (see app.convert.dla)."""
    return has_strong_types(trt) and (plan.dla_core is None or not is_told_by_flags(trt))


def _on_dla(
    trt: Any, network: "stubs.INetworkDefinition", config: "stubs.IBuilderConfig", plan: Plan, channel: Channel
) -> dict[str, Any]:
    if plan.dla_core is None:
        return {}
    use_core(trt, config, plan.dla_core)
    found = layers_on_dla(network, config)
    channel.note(
        f"DLA core {plan.dla_core}: it can run {found['layers_it_can_run']} of {found['layers']} layers, the GPU runs "
        "the others"
    )
    return {"dla": {"core": plan.dla_core, **found}}


def _network_flags(trt: Any, *, strong: bool) -> int:
    """Bits by name: their numbers changed between releases, and so did what must be asked for."""
    creation = trt.NetworkDefinitionCreationFlag
    if strong and hasattr(creation, "STRONGLY_TYPED"):
        return 1 << int(creation.STRONGLY_TYPED)
    return 1 << int(creation.EXPLICIT_BATCH) if hasattr(creation, "EXPLICIT_BATCH") else 0


def _config(trt: Any, builder: "stubs.Builder", plan: Plan) -> "stubs.IBuilderConfig":
    config = builder.create_builder_config()
    # TF32 keeps ten bits of a mantissa, no more than FP16. Who asks for FP32 asks for its accuracy, and the FP32
    # tail of an FP16 engine holds no work that TF32 would speed up; so it is off, though TensorRT has it on.
    config.clear_flag(trt.BuilderFlag.TF32)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # types of layers, for the manifest and Nsight
    effort = plan.effort
    if effort.workspace_bytes is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, effort.workspace_bytes)
    if effort.level is not None:
        config.builder_optimization_level = effort.level
    if effort.max_tactics is not None and hasattr(config, "max_num_tactics"):
        config.max_num_tactics = effort.max_tactics
    if hasattr(config, "num_compute_capabilities") and hasattr(config, "set_compute_capability"):
        config.num_compute_capabilities = len(plan.capabilities)
        for index, name in enumerate(plan.capabilities):
            config.set_compute_capability(compat.capability(trt, name), index)
    return config


def _parse_failure(parser: "stubs.OnnxParser", graph: Path) -> BuildFailed:
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    lines = [_parser_error(error, graph) for error in errors] or compat.MESSAGES.take_errors()
    return BuildFailed(
        f"TensorRT cannot read {graph.name}: " + _joined(lines),
        hint="Export with another head (head: raw) or another opset, or take --backend onnxruntime.",
    )


def _parser_error(parser_error: "stubs.ParserError", graph: Path) -> str:
    name, operator = _node(parser_error, graph)
    where = f"node {name or parser_error.node()!r}" + (f" ({operator})" if operator else "")
    reason = parser_error.desc().strip()
    if reason in ("", "false"):  # a bare assertion of the parser; its code says more
        code: Any = parser_error.code()  # an enum; the stubs take the name of its members for a method
        reason = code.name.replace("_", " ").lower()
    return f"{where}: {reason} [{Path(parser_error.file()).name}:{parser_error.line()}]"


def _node(parser_error: "stubs.ParserError", graph: Path) -> tuple[str, str]:
    """The node's name and operator: from the parser where it tells them, else from the graph."""
    if hasattr(parser_error, "node_name") and hasattr(parser_error, "node_operator"):
        return str(parser_error.node_name()), str(parser_error.node_operator())
    import onnx

    nodes = onnx.load(graph, load_external_data=False).graph.node
    index = parser_error.node()
    return (nodes[index].name, nodes[index].op_type) if 0 <= index < len(nodes) else ("", "")


def _build_failure(trt: Any, plan: Plan) -> BuildFailed:
    """A builder that fails without a word has most often run out of memory as well."""
    said = compat.MESSAGES.take_errors()
    message = f"{trt.__name__} built no {plan.precision.value} engine from {plan.source.name}: "
    if not said or any(tells_of_no_memory(text) for text in said):
        return OutOfMemory(message + (_joined(said) or "it gave no reason"))
    hint = "Run it again with --verbose for all that TensorRT says."
    if plan.precision is Precision.INT8:  # 10.3 is known to fail so on end-to-end heads (ultralytics#23841)
        hint = f"Take head: raw, or --precision FP16. {hint}"
    return BuildFailed(message + _joined(said), hint=hint)


def _joined(lines: list[str]) -> str:
    shown = lines[:_ERRORS_SHOWN]
    return "; ".join(shown) + (f"; and {len(lines) - len(shown)} more" if len(lines) > len(shown) else "")


def _header(plan: Plan) -> dict[str, Any]:
    """The graph's own metadata, and the DLA core by the name that Ultralytics' loader looks for."""
    import onnx

    model = onnx.load(plan.source, load_external_data=False)
    header = ModelMetadata.from_onnx({entry.key: entry.value for entry in model.metadata_props}).header
    return {**header, **({} if plan.dla_core is None else {HEADER_KEY: str(plan.dla_core)})}
