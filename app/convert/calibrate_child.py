"""The child that runs the calibration pictures through the FP32 graph: its memory is gone before the build begins."""

from pathlib import Path
from typing import Any

from app.convert.calibration import calibrate
from app.convert.child import Channel, child_main
from app.convert.precision import check_graph


def _calibrate(job: dict[str, Any], channel: Channel) -> dict[str, Any]:
    source = Path(job["onnx"])
    check_graph(source)
    pictures = [Path(path) for path in job["pictures"]]
    return {"ranges": calibrate(source, pictures, Path(job["work"]), channel.progress, channel.warn)}


if __name__ == "__main__":
    child_main(_calibrate)
