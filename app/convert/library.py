"""
TensorRT is loaded before the first step that takes long, in a process of its own: that a library does not import, is of
another version than its package names, or finds no DLA, should not be found out after minutes.
"""

import tempfile
from pathlib import Path

from app.convert.child import run_child
from app.errors import BuildFailed
from app.progress import Reporter
from app.types import Backend, Head, Precision


def try_library(
    backend: Backend,
    version: str,
    reporter: Reporter,
    *,
    precision: Precision,
    head: Head = Head.RAW,
    dla_core: int | None = None,
) -> None:
    """
    Raises:
        BackendUnavailable: the library cannot be loaded, does not serve this GPU, or is another than `version`.
        BuildFailed: it has no such DLA core, or cannot build for it, or cannot read graphs with such a head; or it
            ended the process that loaded it.
    """
    if backend is Backend.ONNXRUNTIME:
        return
    job = {
        "backend": backend.value,
        "version": version,
        "precision": precision.value,
        "head": head.value,
        "dla_core": dla_core,
    }
    with tempfile.TemporaryDirectory(prefix="jetsmith-") as work:
        run_child(
            "app.convert.library_child",
            job,
            work=Path(work),
            reporter=reporter,
            phase=f"load {backend.value}",
            error=BuildFailed,
        )
