"""INT8 must know how large a network's inner tensors grow: run the user's pictures through it, in a child process."""

from collections.abc import Sequence
from pathlib import Path

from app.convert.child import run_child
from app.convert.pictures import calibration_pictures, spread
from app.errors import PrecisionFailed
from app.progress import Reporter

PERCENT = 99.999  # of a tensor's values that keep their size; the few beyond are cut off
LEAST_DB = 30.0  # signal to noise below which a layer stays out of INT8
MOST_PICTURES = 256  # more change nothing that can be measured, and take minutes on a small board
ADVISED_PICTURES = 100
METHOD = f"percentile {PERCENT:g}, {LEAST_DB:g} dB, {MOST_PICTURES} pictures"  # enters an INT8 engine's identity


def calibrate_on(onnx: Path, wanted: str, work: Path, reporter: Reporter) -> dict[str, float]:
    """
    The layers of the FP32 graph `onnx` that compute in INT8, and the largest magnitude of each one's input.

    `wanted` is a folder, a glob or a dataset YAML.

    Raises:
        SettingsError: it names no pictures.
        PrecisionFailed: none of them can be read, or no layer can do with INT8.
    """
    pictures = _chosen(calibration_pictures(wanted), reporter)
    result = run_child(
        "app.convert.calibrate_child",
        {"onnx": str(onnx), "pictures": [str(path.absolute()) for path in pictures], "work": str(work)},
        work=work,
        reporter=reporter,
        phase=f"calibrate on {len(pictures)} pictures",
        error=PrecisionFailed,
    )
    ranges = {str(name): float(largest) for name, largest in result["ranges"].items()}
    reporter.note(f"INT8: {len(ranges)} of {result['layers']} layers, the others keep FP16: they would lose accuracy")
    return ranges


def _chosen(pictures: Sequence[Path], reporter: Reporter) -> list[Path]:
    if len(pictures) < ADVISED_PICTURES:
        reporter.warn(
            f"only {len(pictures)} calibration pictures: {ADVISED_PICTURES} or more, of what the model will see, are "
            "advised for INT8"
        )
    return spread(pictures, MOST_PICTURES)
