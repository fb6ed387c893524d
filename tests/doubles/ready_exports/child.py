"""In the place of `app.convert.export_child`: the same graph for the same weights, without torch and Ultralytics."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from app.convert.child import Channel, child_main
from app.engines.files import sha256_of


def _copy(job: dict[str, Any], channel: Channel) -> dict[str, Any]:
    height, width = job["imgsz"]
    assert (job["batch"], job["head"], job["opset"]) == (1, "raw", None), job
    ready = Path(os.environ["READY_EXPORTS"]) / f"{sha256_of(Path(job['weights']).resolve())}-{height}x{width}"
    shutil.copy(ready.with_suffix(".onnx"), f"{job['stem']}.onnx")
    channel.progress(1.0)
    return {"onnx": f"{job['stem']}.onnx", "traits": json.loads(ready.with_suffix(".json").read_text())}


if __name__ == "__main__":
    child_main(_copy)
