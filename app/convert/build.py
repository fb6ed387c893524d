"""ONNX in, engine out: in a child process, by whichever backend was chosen."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.convert.child import run_child
from app.errors import BuildFailed
from app.progress import Reporter
from app.types import Backend, Precision


@dataclass(frozen=True)
class BuildOptions:
    backend: Backend
    precision: Precision
    workspace_gb: float | None  # None: by the device's memory


@dataclass(frozen=True)
class Built:
    engine: Path
    precision: Precision  # what it truly computes in
    header: dict[str, Any]  # the model's metadata, by Ultralytics' names


def build_engine(onnx: Path, options: BuildOptions, work: Path, reporter: Reporter) -> Built:
    """
    Build an engine from the FP32 graph `onnx`, inside `work`.

    Raises:
        BuildFailed: the backend refused the graph, or its process died.
        PrecisionFailed: the graph could not be written in the wanted precision.
    """
    result = run_child(
        "app.convert.build_child",
        {
            "onnx": str(onnx),
            "engine": str(work / f"engine{options.backend.suffix}"),
            "backend": options.backend.value,
            "precision": options.precision.value,
            "workspace_gb": options.workspace_gb,
        },
        work=work,
        reporter=reporter,
        phase=f"build {options.backend.value} engine",
        error=BuildFailed,
    )
    return Built(Path(result["engine"]), Precision(result["precision"]), dict(result["header"]))
