"""A model's tensors into detections: one decoder per output layout, one finish per task."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from app.errors import ModelError
from app.metadata import ModelMetadata
from app.runtime.base import Tensors
from app.types import BoolArray, Detections, FloatArray, Head, IntArray, Mask, Task
from app.vision.layouts import Layout, Outputs, recognise
from app.vision.letterbox import Letterbox
from app.vision.masks import masks_of
from app.vision.nms import suppress_boxes, suppress_rotated

_LIMIT = 1e9  # beyond it float32 overflows in the arithmetic of boxes; NaN fails the comparison too


@dataclass(frozen=True)
class Thresholds:
    """Which objects are reported."""

    confidence: float = 0.25  # objects must be surer than this
    iou: float = 0.7  # a raw head's boxes that overlap by more than this show one object
    max_detections: int = 300  # per picture
    classes: tuple[int, ...] | None = None  # None: all of them


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the tensors say of one picture: `detections`, or for classification `probs`."""

    detections: Detections | None = None
    probs: FloatArray | None = None  # (number of classes,)


@dataclass(frozen=True, eq=False)
class _Candidates:
    """Objects in pixels of the input, best first once they are suppressed."""

    boxes: FloatArray  # (n, 4): corners; for obb centre and size
    scores: FloatArray  # (n,)
    class_ids: IntArray  # (n,)
    extra: FloatArray  # (n, E)

    def take(self, which: IntArray | BoolArray) -> "_Candidates":
        return _Candidates(self.boxes[which], self.scores[which], self.class_ids[which], self.extra[which])


def decode(
    outputs: Tensors,
    metadata: ModelMetadata,
    shapes: Sequence[tuple[int, int]],
    input_hw: tuple[int, int],
    thresholds: Thresholds,
) -> list[Prediction]:
    """
    Decode a batch.

    Args:
        outputs: the tensors of one run, all on the host.
        shapes: (height, width) of the pictures, in the order of the batch; it may have more slots than pictures.
        input_hw: (height, width) of the network's input.

    Raises:
        ModelError: the tensors are of no layout that jetsmith knows.
    """
    known = recognise(outputs, metadata)
    _check_batch(known, len(shapes))
    return [
        _decode_one(known, index, metadata, Letterbox.fit(shape, input_hw), thresholds)
        for index, shape in enumerate(shapes)
    ]


def _check_batch(known: Outputs, pictures: int) -> None:
    for tensor in (known.predictions, known.prototypes):
        if tensor is not None and len(tensor) < pictures:
            raise ModelError(f"The output {tensor.shape} is smaller than the batch of {pictures}")


def _decode_one(
    known: Outputs, index: int, metadata: ModelMetadata, place: Letterbox, thresholds: Thresholds
) -> Prediction:
    rows = _float32(known.predictions[index])
    if metadata.task is Task.CLASSIFY:
        return Prediction(probs=np.where(np.isfinite(rows), rows, np.float32(0)))
    if known.layout.head is not Head.RAW:
        found = _from_rows(rows, known.layout, thresholds)
    elif metadata.task is Task.OBB:
        found = _suppress_rotated(_from_raw(rows, known.layout, thresholds), thresholds)
    else:
        found = _suppress(_from_raw(rows, known.layout, thresholds), thresholds)
    prototypes = None if known.prototypes is None else _float32(known.prototypes[index])
    return Prediction(_finish(found, metadata.task, known.layout, place, prototypes))


def _float32(tensor: npt.NDArray[Any]) -> FloatArray:
    if tensor.dtype == np.float32:
        return tensor
    with np.errstate(over="ignore"):  # what does not fit becomes infinite, and no detection
        return tensor.astype(np.float32, copy=False)


def _from_raw(columns: FloatArray, layout: Layout, thresholds: Thresholds) -> _Candidates:
    """From (4 + nc + E, A): only the columns that pass are ever looked at or moved."""
    end = 4 + layout.classes
    best = columns[4:end].max(axis=0)
    (sure,) = (best > thresholds.confidence).nonzero()
    picked = columns[:, sure]
    found = _Candidates(picked[:4].T, best[sure], picked[4:end].argmax(axis=0), picked[end:].T)
    usable = _usable(found, thresholds)
    return found if usable.all() else found.take(usable)


def _suppress(found: _Candidates, thresholds: Thresholds) -> _Candidates:
    corners = _corners(found.boxes)
    kept = suppress_boxes(corners, found.scores, found.class_ids, thresholds.iou, thresholds.max_detections)
    return _Candidates(corners[kept], found.scores[kept], found.class_ids[kept], found.extra[kept])


def _suppress_rotated(found: _Candidates, thresholds: Thresholds) -> _Candidates:
    xywhr = np.concatenate((found.boxes, found.extra), axis=1)
    return found.take(suppress_rotated(xywhr, found.scores, found.class_ids, thresholds.iou, thresholds.max_detections))


def _from_rows(rows: FloatArray, layout: Layout, thresholds: Thresholds) -> _Candidates:
    """From (N, 6 + E), suppressed already: in the order they came, without the padding, which scores zero."""
    with np.errstate(invalid="ignore"):
        known = (rows[:, 5] >= 0) & (rows[:, 5] < layout.classes) & (rows[:, 4] > thresholds.confidence)
    rows = rows[known]
    found = _Candidates(rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int64), rows[:, 6:])
    return found.take(np.flatnonzero(_usable(found, thresholds))[: thresholds.max_detections])


def _usable(found: _Candidates, thresholds: Thresholds) -> BoolArray:
    """Of a wanted class, and made of numbers that can be reckoned with."""
    usable: BoolArray = (np.abs(found.boxes) < _LIMIT).all(axis=1) & (np.abs(found.scores) < _LIMIT)
    if found.extra.size:
        usable &= (np.abs(found.extra) < _LIMIT).all(axis=1)
    if thresholds.classes is not None:
        usable &= np.isin(found.class_ids, thresholds.classes)
    return usable


def _corners(boxes: FloatArray) -> FloatArray:
    """Centre and size → left, top, right, bottom."""
    half = boxes[:, 2:] / np.float32(2)
    return np.concatenate((boxes[:, :2] - half, boxes[:, :2] + half), axis=1)


def _finish(
    found: _Candidates, task: Task, layout: Layout, place: Letterbox, prototypes: FloatArray | None
) -> Detections:
    if task is Task.OBB:
        return _rotated_detections(found, place)
    boxes = place.boxes_to_picture(found.boxes)
    if prototypes is not None:
        return _masked_detections(found, boxes, place, prototypes)
    keypoints = None if layout.keypoints is None else _keypoints(found.extra, layout.keypoints, place)
    return Detections(boxes, found.scores, found.class_ids, keypoints=keypoints)


def _rotated_detections(found: _Candidates, place: Letterbox) -> Detections:
    xywhr = place.rotated_to_picture(np.concatenate((found.boxes, found.extra), axis=1))
    corners = rotated_corners(xywhr)
    around = np.concatenate((corners.min(axis=1), corners.max(axis=1)), axis=1)
    return Detections(around, found.scores, found.class_ids, xywhr=xywhr)


def _masked_detections(found: _Candidates, boxes: FloatArray, place: Letterbox, prototypes: FloatArray) -> Detections:
    """An object without a single pixel is none, as in Ultralytics."""
    masks: list[Mask] = []
    seen = np.zeros(len(boxes), np.bool_)
    for index, mask in enumerate(masks_of(found.extra, prototypes, boxes, place.picture_hw)):
        if mask.bitmap.any():
            masks.append(mask)
            seen[index] = True
    return Detections(boxes[seen], found.scores[seen], found.class_ids[seen], masks=tuple(masks))


def _keypoints(values: FloatArray, shape: tuple[int, int], place: Letterbox) -> FloatArray:
    """(n, K·2 or K·3) → (n, K, 3); a model that gives no confidence is taken to be sure."""
    raw = values.reshape(len(values), *shape)
    keypoints = np.ones((*raw.shape[:2], 3), np.float32)
    keypoints[:, :, :2] = place.points_to_picture(raw[:, :, :2])
    if shape[1] == 3:
        keypoints[:, :, 2] = raw[:, :, 2]
    return keypoints


def rotated_corners(xywhr: FloatArray) -> FloatArray:
    """Rotated boxes (n, 5) → their corners (n, 4, 2), the one at +w/2, +h/2 first, then against the clock."""
    cosine, sine = np.cos(xywhr[:, 4:5]), np.sin(xywhr[:, 4:5])
    along = xywhr[:, 2:3] / 2 * np.concatenate((cosine, sine), axis=1)
    across = xywhr[:, 3:4] / 2 * np.concatenate((-sine, cosine), axis=1)
    arms = np.stack((along + across, along - across, -along - across, across - along), axis=1)
    corners: FloatArray = xywhr[:, None, :2] + arms
    return corners
