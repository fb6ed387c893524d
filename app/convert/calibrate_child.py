"""The child that runs the calibration pictures through the FP32 graph: its memory is gone before the build begins."""

from pathlib import Path
from typing import Any

from app.convert.calibration import calibrate
from app.convert.child import Channel, child_main
from app.convert.precision import check_graph
from app.convert.quantise import sites


def _calibrate(job: dict[str, Any], channel: Channel) -> dict[str, Any]:
    source = Path(job["onnx"])
    model = check_graph(source)
    pictures = [Path(path) for path in job["pictures"]]
    ranges = calibrate(source, pictures, Path(job["work"]), channel.progress, channel.warn)
    return {"ranges": ranges, "layers": len(sites(model))}


if __name__ == "__main__":
    child_main(_calibrate)
