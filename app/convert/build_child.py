"""The child that builds: it alone loads the builder's library, and its memory goes with it."""

import re
from pathlib import Path
from typing import Any

import onnx

from app.convert.child import Channel, child_main
from app.metadata import ModelMetadata
from app.types import Backend


def _build(job: dict[str, Any], channel: Channel) -> dict[str, Any]:
    if Backend(job["backend"]) is Backend.ONNXRUNTIME:
        from app.convert.build_onnxruntime import build
    else:
        from app.convert.build_tensorrt import build
    result = {"header": _header(Path(job["onnx"])), **build(job, channel)}
    return {**result, "peak_memory_bytes": _peak_memory_bytes()}


def _peak_memory_bytes() -> int | None:
    """Of this program. `getrusage` would count what its parent held when it started it."""
    found = re.search(r"^VmHWM:\s*([0-9]+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _header(graph: Path) -> dict[str, Any]:
    props = onnx.load(graph, load_external_data=False).metadata_props
    return dict(ModelMetadata.from_onnx({entry.key: entry.value for entry in props}).header)


if __name__ == "__main__":
    child_main(_build)
