"""
ONNX in, engine out: in a child process, by whichever backend was chosen.

Where memory runs out the build is tried again with less, a step at a time: a small board should get a slower engine
rather than none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.convert.child import run_child
from app.convert.effort import GIB, Effort, estimate_bytes, gigabytes, ladder, memory_line, workspace_bytes
from app.device import read_device
from app.errors import BuildFailed, OutOfMemory
from app.memory import read_free_memory
from app.progress import Reporter
from app.types import Backend, Precision

_CHILD = "app.convert.build_child"


@dataclass(frozen=True)
class BuildOptions:
    backend: Backend
    precision: Precision
    workspace_gb: float | None  # None: by the device's memory
    optimization_level: int | None = None  # None: the library's own
    store: Path | None = None  # where timings are kept from one build to the next
    device_slug: str = ""
    ranges: Mapping[str, float] | None = None  # for INT8: its layers, and the largest magnitude of each one's input
    dla_core: int | None = None  # None: the GPU


@dataclass(frozen=True)
class Built:
    engine: Path
    precision: Precision  # what it truly computes in
    header: dict[str, Any]  # the model's metadata, by Ultralytics' names
    facts: dict[str, Any] = field(default_factory=dict)  # how the build went, for the manifest
    typed_graph: Path | None = None  # what the builder was given, where that is not the FP32 graph


def build_engine(
    onnx: Path, options: BuildOptions, work: Path, reporter: Reporter, *, child: str = _CHILD, root: Path = Path("/")
) -> Built:
    """
    Build an engine from the FP32 graph `onnx`, inside `work`.

    `child` is the module that builds; free memory is read below `root`.

    Raises:
        BuildFailed: the backend refused the graph, or its process died.
        OutOfMemory: memory ran out, however little was tried.
        PrecisionFailed: the graph could not be written in the wanted precision.
    """
    device = read_device()
    tunable = options.backend is not Backend.ONNXRUNTIME
    workspace = workspace_bytes(options.workspace_gb, device) if tunable else None
    first = Effort(workspace, options.optimization_level if tunable else None)
    needed = estimate_bytes(options.backend, onnx.stat().st_size, first, device)
    _say_memory(needed, root, reporter)
    failures: list[OutOfMemory] = []
    tried: list[str] = []
    for effort in ladder(first) if tunable else [first]:
        if tried:
            reporter.warn(f"the build ran out of memory with {tried[-1]}; trying again with {effort}")
        try:
            result = _attempt(child, _job(onnx, options, effort, work), work, reporter)
        except OutOfMemory as error:
            failures.append(error)
            tried.append(str(effort))
        else:
            return _built(result, effort, tried)
    raise _out_of_memory(failures[-1], tried, needed, root) from failures[-1]


def _attempt(child: str, job: dict[str, Any], work: Path, reporter: Reporter) -> dict[str, Any]:
    return run_child(
        child,
        job,
        work=work,
        reporter=reporter,
        phase=f"build {job['backend']} engine",
        error=BuildFailed,
        out_of_memory=OutOfMemory,
    )


def _job(onnx: Path, options: BuildOptions, effort: Effort, work: Path) -> dict[str, Any]:
    return {
        "onnx": str(onnx),
        "engine": str(work / f"engine{options.backend.suffix}"),
        "backend": options.backend.value,
        "precision": options.precision.value,
        "ranges": None if options.ranges is None else dict(options.ranges),
        "workspace_gb": None if effort.workspace_bytes is None else effort.workspace_bytes / GIB,
        "optimization_level": effort.level,
        "max_tactics": effort.max_tactics,
        "store": None if options.store is None else str(options.store),
        "device_slug": options.device_slug,
        "dla_core": options.dla_core,
    }


def _built(result: dict[str, Any], effort: Effort, tried: list[str]) -> Built:
    facts: dict[str, Any] = {**effort.facts(), "out_of_memory_with": tried, **result.get("facts", {})}
    if result.get("peak_memory_bytes") is not None:
        facts["peak_memory_mb"] = round(result["peak_memory_bytes"] / 2**20)
    typed = result.get("typed_graph")
    return Built(
        engine=Path(result["engine"]),
        precision=Precision(result["precision"]),
        header=dict(result["header"]),
        facts=facts,
        typed_graph=None if typed is None else Path(typed),
    )


def _say_memory(needed: int, root: Path, reporter: Reporter) -> None:
    free = read_free_memory(root)
    line = f"memory: {memory_line(free)}; the build takes about {gigabytes(needed)}"
    if free.total is not None and free.total < needed:
        reporter.warn(f"{line}. It may fail: close other programs or add swap")
    else:
        reporter.note(line)


def _out_of_memory(error: OutOfMemory, tried: list[str], needed: int, root: Path) -> OutOfMemory:
    return OutOfMemory(
        f"The build ran out of memory every time, with {'; with '.join(tried)}. There is now "
        f"{memory_line(read_free_memory(root))}, and it was thought to take about {gigabytes(needed)}. "
        f"The last time: {error.message}",
        hint="Close other programs (a desktop takes about 1 GB), add swap (fallocate, mkswap, swapon), take a smaller "
        f"input or a smaller model. {error.hint}".strip(),
    )
