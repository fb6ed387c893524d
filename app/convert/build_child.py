"""The child that builds: it alone loads the builder's library, and its memory goes with it."""

from typing import Any

from app.convert.child import Channel, child_main
from app.types import Backend


def _build(job: dict[str, Any], channel: Channel) -> dict[str, Any]:
    if Backend(job["backend"]) is Backend.ONNXRUNTIME:
        from app.convert.build_onnxruntime import build
    else:
        from app.convert.build_tensorrt import build
    return build(job, channel)


if __name__ == "__main__":
    child_main(_build)
