"""`keep_onnx`: the graphs that an engine was built from, kept for NVIDIA's own tools and for the curious."""

import shutil
from pathlib import Path

from app.convert.build import Built
from app.convert.options import ConvertOptions
from app.convert.trtexec import kept_graph
from app.engines.files import store_errors
from app.errors import StoreError
from app.progress import Reporter


def onnx_beside(options: ConvertOptions) -> Path:
    """Beside the weights; those that ship with jetsmith lie in its own folder, so theirs beside the engine's alias."""
    weights = options.weights
    if weights.bundled is not None and (not weights.path.exists() or weights.path.samefile(weights.bundled)):
        return options.alias.with_name(f"{weights.bundled.stem}.onnx")
    return weights.path.with_suffix(".onnx")


def keep_graphs(onnx: Path, built: Built, beside: Path, reporter: Reporter) -> None:
    """Last, and only a warning if it fails: the engine is there, and took minutes to build."""
    try:
        _keep(onnx, beside, reporter)
        if built.typed_graph is not None:
            _keep(built.typed_graph, kept_graph(beside, built.precision), reporter)
    except StoreError as error:
        reporter.warn(f"the ONNX was not kept: {error.message}")


def _keep(onnx: Path, beside: Path, reporter: Reporter) -> None:
    partial = beside.with_name(f".{beside.name}.part")
    replaced = " in place of the one that was there" if beside.exists() else ""
    try:
        with store_errors(beside, "keep the ONNX as"):
            shutil.copyfile(onnx, partial)
            partial.replace(beside)
    finally:
        partial.unlink(missing_ok=True)
    reporter.note(f"kept {beside}{replaced}")
