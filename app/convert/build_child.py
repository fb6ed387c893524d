"""The child that builds: it alone loads the builder's library, and its memory goes with it."""

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
    return {"header": _header(Path(job["onnx"])), **build(job, channel)}


def _header(graph: Path) -> dict[str, Any]:
    props = onnx.load(graph, load_external_data=False).metadata_props
    return dict(ModelMetadata.from_onnx({entry.key: entry.value for entry in props}).header)


if __name__ == "__main__":
    child_main(_build)
