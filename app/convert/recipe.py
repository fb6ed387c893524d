"""What an engine is made of, in words: the half of its identity that the user decides."""

from app.convert.calibrate import METHOD
from app.convert.export import EMBEDDED_NMS, exporter_versions
from app.convert.options import ConvertOptions
from app.convert.weights import Weights
from app.types import Backend, Head, Precision


def recipe_of(options: ConvertOptions, weights: Weights, backend: Backend, calibration: str) -> dict[str, str]:
    """
    Every choice that changes the engine's bytes or what they mean; by which name the weights were given does not.

    The precision is the one asked for, so that a backend that builds another does not rebuild at every start.
    """
    height, width = options.imgsz
    recipe = {
        "weights": weights.sha256,
        "imgsz": f"{height}x{width}",
        "batch": str(options.batch),
        "head": options.head.value,
        "precision": options.precision.value,
        **exporter_versions(),
    }
    if options.head is Head.NMS:
        recipe["nms"] = " ".join(f"{name}={value:g}" for name, value in EMBEDDED_NMS.items())
    if options.precision is Precision.INT8:
        recipe["calibration"] = calibration
        if backend is not Backend.ONNXRUNTIME:  # which builds FP32 all the same
            recipe["calibration_method"] = METHOD
    if backend is not Backend.ONNXRUNTIME:  # it has no such limit
        recipe["workspace"] = "auto" if options.workspace_gb is None else f"{options.workspace_gb:g} GB"
        if options.optimization_level is not None:
            recipe["optimization_level"] = str(options.optimization_level)
        if options.dla_core is not None:
            recipe["dla_core"] = str(options.dla_core)
    return recipe
