"""
Which of the known output layouts a model has: read from its metadata and the shapes, never from its name.

With nc classes, A anchors and E extra values (mask coefficients, keypoints or the angle):

raw          (B, 4 + nc + E, A)   x, y, w, h of the centre, a score per class
end-to-end   (B, N, 6 + E)        corners, score, class; rotated: centre and size, score, class, angle
nms          as end-to-end, padded with zeros
classify     (B, nc)              probabilities

Segmentation adds prototypes (B, channels, h, w). Source: ultralytics 8.4.190, `nn/modules/head.py` and
`engine/exporter.py` (NMSModel).
"""

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from app.errors import ModelError
from app.metadata import ModelMetadata
from app.runtime.base import Tensors
from app.types import Head, Task

_HINT = "Export the model again with `jetsmith convert`, or report the shapes above with the model."
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    head: Head
    classes: int
    extra: int  # values per object beyond box and classes
    keypoints: tuple[int, int] | None = None  # how many, values each


@dataclass(frozen=True)
class Outputs:
    """A model's tensors by what they are."""

    predictions: npt.NDArray[Any]  # (B, …), as in the table above
    prototypes: npt.NDArray[Any] | None  # (B, channels, h, w)
    layout: Layout


def recognise(outputs: Tensors, metadata: ModelMetadata) -> Outputs:
    """
    Tell a model's tensors apart.

    Raises:
        ModelError: they fit none of the known layouts, or more than one.
    """
    _refuse_unknown_models(metadata)
    if metadata.task is Task.CLASSIFY:
        scores = _only(outputs, 2, metadata)
        layout = _classify_layout(tuple(scores.shape), metadata)
        return Outputs(scores, None, layout)
    predictions = _only(outputs, 3, metadata)
    prototypes = _only(outputs, 4, metadata) if metadata.task is Task.SEGMENT else None
    extra = _extra_values(metadata, prototypes)
    head = choose_head(tuple(predictions.shape), extra, metadata)
    keypoints = metadata.kpt_shape if metadata.task is Task.POSE else None
    return Outputs(predictions, prototypes, Layout(head, len(metadata.names), extra, keypoints))


def choose_head(shape: Shape, extra: int, metadata: ModelMetadata) -> Head:
    """
    Choose between the layouts of (B, …, …) predictions with `extra` values beside box and classes.

    Raises:
        ModelError: none fits, or two do and the metadata does not say which.
    """
    classes = len(metadata.names)
    raw, rows = shape[1] == 4 + classes + extra, shape[2] == 6 + extra
    suppressed = metadata.end2end or metadata.nms
    if raw and not rows and not suppressed:
        return Head.RAW
    if rows and (suppressed or not raw):
        return Head.NMS if metadata.nms else Head.END2END
    wanted = (
        f"{metadata.task.value} with {classes} classes: raw (B, {4 + classes + extra}, anchors), "
        f"end-to-end or nms (B, objects, {6 + extra})"
    )
    if not raw and not rows:
        raise ModelError(f"The output {shape} fits no layout of {wanted}", hint=_HINT)
    if raw and rows:
        raise ModelError(f"The output {shape} fits two layouts of {wanted}", hint=_HINT)
    raise ModelError(f"The output {shape} is raw, but the metadata says otherwise; {wanted}", hint=_HINT)


def _classify_layout(shape: Shape, metadata: ModelMetadata) -> Layout:
    if shape[1] != len(metadata.names):
        raise ModelError(f"The output {shape} does not fit {len(metadata.names)} classes", hint=_HINT)
    return Layout(Head.RAW, shape[1], 0)


def _extra_values(metadata: ModelMetadata, prototypes: npt.NDArray[Any] | None) -> int:
    if prototypes is not None:
        return int(prototypes.shape[1])
    if metadata.task is Task.OBB:
        return 1
    if metadata.task is Task.POSE:
        return _keypoint_values(metadata)
    return 0


def _keypoint_values(metadata: ModelMetadata) -> int:
    if metadata.kpt_shape is None:
        raise ModelError("The metadata of this pose model has no `kpt_shape`", hint=_HINT)
    count, values = metadata.kpt_shape
    if count < 1 or values not in (2, 3):
        raise ModelError(f"kpt_shape {count}, {values} is none: a keypoint has 2 or 3 values", hint=_HINT)
    return count * values


def _refuse_unknown_models(metadata: ModelMetadata) -> None:
    if not metadata.names:
        raise ModelError("The metadata names no class", hint=_HINT)
    # RT-DETR's rows look like the end-to-end ones, but hold centres from 0 to 1.
    described = f"{metadata.header.get('head', '')} {metadata.header.get('description', '')}".lower()
    if "rtdetr" in described or "rt-detr" in described:
        raise ModelError("This is an RT-DETR model, which jetsmith does not decode", hint="Use a YOLO model.")


def _only(outputs: Tensors, rank: int, metadata: ModelMetadata) -> npt.NDArray[Any]:
    found = [tensor for tensor in outputs.values() if tensor.ndim == rank]
    if len(found) != 1:
        seen = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in outputs.items())
        raise ModelError(
            f"A {metadata.task.value} model has one output of rank {rank}, but this one has {len(found)}: {seen}",
            hint=_HINT,
        )
    return found[0]
