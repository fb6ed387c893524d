"""
Which precision a TensorRT engine computes in, decided in one place.

Strongly typed networks (TensorRT 10 and newer, TensorRT for RTX) take it from the graph's own types, so for them an
FP16 graph is written, and for INT8 one whose pairs of QuantizeLinear and DequantizeLinear stand in FP16. TensorRT 8
has no such networks: it is told by flags, and gets the FP32 graph, for INT8 with the pairs. Which of the two holds is
asked of the library (`has_strong_types`), never read from its version.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from app.errors import EngineDamaged, ModelError, PrecisionFailed
from app.types import Precision

_EXPORT_AGAIN = "Export the model again: --force-convert. If it fails again, take --precision FP32."


Ranges = Mapping[str, float]
"""The layers that compute in INT8, and the largest magnitude of each one's input."""


def typed_graph(source: Path, precision: Precision, destination: Path, ranges: Ranges | None = None) -> Path:
    """
    The graph to build from: `source` itself for FP32, else a typed one, written to `destination`.

    Raises:
        PrecisionFailed: `source` is no valid graph or cannot be written so, or INT8 was asked for without `ranges`.
    """
    require_ranges(precision, ranges)
    model = check_graph(source)
    if precision is Precision.FP32:
        return source
    half = _half(model, source)
    return _write(half if precision is Precision.FP16 else _quantised(half, ranges or {}, source), destination)


def weakly_typed_graph(source: Path, precision: Precision, destination: Path, ranges: Ranges | None = None) -> Path:
    """As `typed_graph`, for a library that is told FP16 by flags: only the pairs of INT8 stand in the graph."""
    require_ranges(precision, ranges)
    model = check_graph(source)
    if precision is not Precision.INT8:
        return source
    return _write(_quantised(model, ranges or {}, source), destination)


def _half(model: Any, source: Path) -> Any:
    import onnx

    from app.convert.half_graph import to_half

    try:
        half = to_half(model)
    except onnx.shape_inference.InferenceError as error:
        raise PrecisionFailed(
            f"{source.name} cannot be written in FP16: {_first_line(error)}", hint=_EXPORT_AGAIN
        ) from error
    if not half.half:
        raise PrecisionFailed(
            f"{source.name} has no layer that FP16 would speed up", hint="Build it with --precision FP32."
        )
    return half.model


def _quantised(model: Any, ranges: Ranges, source: Path) -> Any:
    import onnx

    from app.convert.quantise import quantised

    try:
        return quantised(model, ranges)
    except (onnx.shape_inference.InferenceError, RuntimeError) as error:  # ONNX's version converter raises the latter
        raise PrecisionFailed(
            f"{source.name} cannot be written in INT8: {_first_line(error)}", hint=_EXPORT_AGAIN
        ) from error


def _write(model: Any, destination: Path) -> Path:
    import onnx

    onnx.save(model, destination)
    check_graph(destination)
    return destination


def require_ranges(precision: Precision, ranges: Ranges | None) -> None:
    if precision is Precision.INT8 and not ranges:
        raise PrecisionFailed(
            "INT8 needs calibration on pictures, and calibration.images names none",
            hint="Set vision.yolo.calibration.images to a folder, a glob or a dataset YAML with 100 or more pictures "
            "of what the model will see, or take --precision FP16.",
        )


def check_graph(path: Path) -> Any:
    """
    Load a graph that ONNX's own checker and ONNX Runtime accept: builders take graphs that are not valid.

    Returns:
        onnx.ModelProto.

    Raises:
        PrecisionFailed: with the checker's words.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    from app.runtime.onnxruntime import OnnxRuntimeRunner

    try:
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
        with OnnxRuntimeRunner(path):
            pass
    except (DecodeError, OSError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise PrecisionFailed(
            f"{path.name} is no valid ONNX graph: {_first_line(error)}", hint=_EXPORT_AGAIN
        ) from error
    except (EngineDamaged, ModelError) as error:
        raise PrecisionFailed(f"{path.name} is refused: {error.message}", hint=_EXPORT_AGAIN) from error
    return model


def has_strong_types(trt: Any) -> bool:
    return hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")


def is_told_by_flags(trt: Any) -> bool:
    """Whether it can be told the precision by flags, though it may have strongly typed networks as well."""
    return hasattr(trt.BuilderFlag, "FP16")


def fp32_layers(source: Path) -> frozenset[str]:
    """The names of the nodes that an FP16 engine computes in FP32, for `set_weak_types`."""
    from app.convert.half_graph import to_half

    return frozenset(to_half(check_graph(source)).kept)


def set_weak_types(trt: Any, network: Any, config: Any, kept: Iterable[str], *, int8: bool = False) -> None:
    """
    Allow FP16 in a network that is not strongly typed, except in the layers named in `kept`; and INT8 where it is told
    by pairs in the graph.

    The parser names layers by their nodes, so the layers that a typed graph keeps in FP32 are pinned to it here.
    """
    flags = trt.BuilderFlag
    if not hasattr(flags, "FP16") or not hasattr(flags, "OBEY_PRECISION_CONSTRAINTS"):
        raise PrecisionFailed(
            "This TensorRT has neither strongly typed networks nor a flag for FP16",
            hint="Take --precision FP32, or install a TensorRT that jetsmith supports: 8.6 or newer.",
        )
    config.set_flag(flags.FP16)
    config.set_flag(flags.OBEY_PRECISION_CONSTRAINTS)
    if int8 and hasattr(flags, "INT8"):
        config.set_flag(flags.INT8)
    pinned = frozenset(kept)
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        if layer.name in pinned:
            _pin_to_fp32(trt, layer)


def _pin_to_fp32(trt: Any, layer: Any) -> None:
    if not hasattr(layer, "precision") or not hasattr(layer, "set_output_type"):
        return
    outputs = [index for index in range(layer.num_outputs) if layer.get_output(index).dtype == trt.DataType.FLOAT]
    if outputs:  # indices and shapes are integers, which no constraint may turn into floats
        layer.precision = trt.DataType.FLOAT
    for index in outputs:
        layer.set_output_type(index, trt.DataType.FLOAT)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
