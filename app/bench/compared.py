"""Which programs can be measured beside the engine here, and why the others cannot."""

import importlib.util
from pathlib import Path
from typing import NamedTuple

from app.bench.figures import OURS
from app.bench.options import BenchOptions
from app.bench.worker import Spec
from app.convert.export import ExportOptions, export_onnx, library_environment
from app.engines.files import sha256_of
from app.errors import JetsmithError
from app.memory import FreeMemory
from app.progress import Reporter
from app.types import Backend, Head

_HEAVY_BYTES = 1_500_000_000  # what PyTorch and Ultralytics take beside each other, loosely
_BACKENDS = {
    Backend.TENSORRT: "TensorRT",
    Backend.TENSORRT_RTX: "TensorRT for RTX",
    Backend.ONNXRUNTIME: "ONNX Runtime",
}
TITLES = {"pytorch": "PyTorch FP32", "onnxruntime": "ONNX Runtime, bare", "ultralytics": "Ultralytics, same ONNX"}


class Absent(NamedTuple):
    """A program that was not measured."""

    name: str
    reason: str


class Plan(NamedTuple):
    specs: list[Spec]
    absent: list[Absent]


def our_spec(options: BenchOptions) -> Spec:
    engine, precision = options.engine, options.engine.manifest.actual.value
    version = engine.identity.platform.get(engine.backend.value, "")
    job = {
        "program": OURS,
        "engine": str(engine.path),
        "backend": engine.backend.value,
        "memory": options.gpu_memory.value,
        "thresholds": options.thresholds,
        "frame_path": options.frame_path,
        "store": str(options.store),
        "detail": f"{_BACKENDS[engine.backend]} {version} {precision}",
    }
    return Spec(OURS, f"this engine ({precision})", job, {"ORT_DISABLE_TELEMETRY": "1"})


def plan_compared(options: BenchOptions, work: Path, reporter: Reporter) -> Plan:
    """The wanted programs, and why some of them cannot run here; exports the ONNX file if one of them needs it."""
    plan = Plan([], [])
    onnx: Path | Absent | None = None
    for name in options.compare:
        reason = _why_not(name, options)
        if reason is None and name != "pytorch":
            onnx = onnx or _onnx(options, work, reporter)
            reason = onnx.reason if isinstance(onnx, Absent) else None
        if reason is None:
            plan.specs.append(_spec(name, options, options.weights if name == "pytorch" else Path(str(onnx)), work))
        else:
            plan.absent.append(Absent(name, reason))
    return plan


def lacks_memory(name: str, free: FreeMemory) -> str | None:
    """Why it had better not be started beside the others: a machine that swaps measures its disk."""
    known = [amount for amount in (free.ram, free.limit) if amount is not None]
    if name == "onnxruntime" or not known or min(known) >= _HEAVY_BYTES:
        return None
    return (
        f"it takes about {_HEAVY_BYTES / 1e9:.1f} GB of memory and {min(known) / 1e9:.1f} GB is free beside the "
        f"others; compare it alone: --compare {name}"
    )


def _why_not(name: str, options: BenchOptions) -> str | None:
    if name == "onnxruntime":
        return None if _installed("onnxruntime") else "ONNX Runtime is not installed"
    missing = [
        title for module, title in (("torch", "PyTorch"), ("ultralytics", "Ultralytics")) if not _installed(module)
    ]
    if missing:
        return f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed here"
    return _weights_problem(options) if name == "pytorch" else None


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _weights_problem(options: BenchOptions) -> str | None:
    """`convert` has loaded the engine's weights, within limits or because the user trusts them; others nobody has."""
    if not options.weights.is_file():
        return f"its weights are not there: {options.weights}"
    if sha256_of(options.weights) != options.engine.identity.recipe.get("weights"):
        return f"{options.weights.name} are not the weights that this engine was built from"
    return None


def _onnx(options: BenchOptions, work: Path, reporter: Reporter) -> Path | Absent:
    """An ONNX Runtime engine is such a file itself; for another one it is exported again from the weights."""
    engine = options.engine
    if engine.backend is Backend.ONNXRUNTIME:
        return engine.path
    problem = _weights_problem(options)
    if problem is not None:
        return Absent("onnx", f"the ONNX file cannot be exported: {problem}")
    head = Head(engine.identity.recipe["head"])
    wanted = ExportOptions(engine.metadata.imgsz, engine.metadata.batch, head, trust_weights=options.trust_weights)
    folder = work / "export"
    folder.mkdir()
    try:
        return export_onnx(options.weights, wanted, folder, reporter)
    except JetsmithError as error:
        return Absent("onnx", f"the ONNX file cannot be exported: {error.message}")


def _spec(name: str, options: BenchOptions, model: Path, work: Path) -> Spec:
    metadata = options.engine.metadata
    job = {
        "program": name,
        "model": str(model.resolve()),
        "task": metadata.task.value,
        "imgsz": list(metadata.imgsz),
        "thresholds": options.thresholds,
        "optimise": options.engine.backend is not Backend.ONNXRUNTIME,  # an engine of that kind already is
    }
    environment = library_environment(work, trust_weights=options.trust_weights)
    return Spec(name, TITLES[name], job, environment)
