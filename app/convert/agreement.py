"""
How far an engine's answers lie from the FP32 graph's: the figures, and the limits of the gate.

Pure: two sets of arrays in, numbers out. Distances are in pixels of the network's input, so that a large picture
is judged no more harshly than a small one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from app.types import Detections, FloatArray, Precision, Result, Task
from app.vision.decode import rotated_corners
from app.vision.layouts import Layout

CLEAR = 0.3  # both sides are asked for all above 0.25: what lies between may be seen by one alone
_PAIR_IOU = 0.5  # less overlap than this and two boxes are two objects


@dataclass(frozen=True)
class Limits:
    """What an engine of one precision may differ by."""

    tensor_error: float  # median over channels of the relative L2 error
    score_error: float  # the same of a raw head's scores, most of which are near nothing
    lost: float  # share of objects that only one of the two sees; of twenty and more, one may always go
    box_px: float  # 95th percentile
    keypoint_px: float  # 95th percentile, of keypoints that are seen
    mask_iou: float  # 5th percentile
    confidence: float  # 95th percentile of the differences
    probability: float  # largest difference, classification

    def of_tensor(self, name: str) -> float:
        return self.score_error if name.endswith("scores") else self.tensor_error


# FP32 allows for another order of summation and for TF32; FP16 for 11 bits of mantissa over some hundred layers. INT8
# has half as much again as was measured where mAP50-95 stayed above 99 %: boxes 8.1 px, mask IoU 0.90, confidence 0.10.
LIMITS = {
    Precision.FP32: Limits(0.005, 0.005, 0.01, 0.5, 1.0, 0.98, 0.01, 0.005),
    Precision.FP16: Limits(0.03, 0.03, 0.03, 1.0, 2.0, 0.95, 0.05, 0.02),
    Precision.INT8: Limits(0.5, 3.0, 0.15, 12.0, 16.0, 0.80, 0.25, 0.15),
}


def tensor_error(actual: npt.NDArray[Any], expected: npt.NDArray[Any]) -> float:
    """
    Median over the channels (axis 1) of ‖actual − expected‖ / ‖expected‖; infinite where `actual` is not finite.

    By channel, because a score of 1e-5 and a coordinate of 600 stand in one tensor and either may go wrong alone.
    """
    if actual.shape != expected.shape or not np.isfinite(actual).all():
        return float("inf")
    axes = tuple(axis for axis in range(expected.ndim) if axis != 1) if expected.ndim > 2 else None
    difference = np.linalg.norm(_flat(actual.astype(np.float64) - expected, axes), axis=-1)
    size = np.linalg.norm(_flat(expected.astype(np.float64), axes), axis=-1)
    told = (size > 0) | (difference > 0)
    if not told.any():
        return 0.0
    with np.errstate(divide="ignore"):
        return float(np.median(difference[told] / size[told]))


PROBABILITIES = frozenset({"scores", "keypoint confidences"})
"""Judged as one channel: a class that is nowhere in the picture scores 1e-6, and twice that is no error."""


def channel_groups(layout: Layout, task: Task) -> dict[str, list[int]]:
    """
    The channels of a raw head by what they say; each group is judged for itself.

    Of 84 channels four are the box: a median over all of them would not see a box that is wrong.
    """
    first = 4 + layout.classes
    rest = list(range(first, first + layout.extra))
    groups = {"boxes": [0, 1, 2, 3], "scores": list(range(4, first))}
    if task is Task.POSE and layout.keypoints is not None:
        values = layout.keypoints[1]
        groups["keypoints"] = [channel for channel in rest if (channel - first) % values < 2]
        groups["keypoint confidences"] = [channel for channel in rest if (channel - first) % values == 2]
    elif rest:
        groups["angles" if task is Task.OBB else "mask coefficients"] = rest
    return {name: channels for name, channels in groups.items() if channels}


def _flat(array: npt.NDArray[Any], axes: tuple[int, ...] | None) -> npt.NDArray[Any]:
    """(channels, everything else), or one channel of all."""
    return array.reshape(1, -1) if axes is None else np.moveaxis(array, 1, 0).reshape(array.shape[1], -1)


@dataclass
class Agreement:
    """The figures of all pictures together."""

    pictures: int = 0
    expected: int = 0  # objects that the FP32 graph sees
    lost: int = 0  # of the clear ones, those that the engine does not see, or sees and the graph does not
    boxes: list[float] = field(default_factory=list)
    keypoints: list[float] = field(default_factory=list)
    masks: list[float] = field(default_factory=list)
    confidences: list[float] = field(default_factory=list)
    probabilities: list[float] = field(default_factory=list)
    top1_changed: int = 0
    tensors: dict[str, float] = field(default_factory=dict)

    def add_tensor(self, name: str, error: float) -> None:
        self.tensors[name] = max(error, self.tensors.get(name, 0.0))

    def add_probs(self, actual: FloatArray, expected: FloatArray) -> None:
        difference = float(np.max(np.abs(actual - expected)))
        self.probabilities.append(difference if np.isfinite(difference) else float("inf"))
        best, second = np.sort(expected)[::-1][:2] if len(expected) > 1 else (expected[0], 0.0)
        # A tie within the limits may fall either way; a clear winner may not.
        self.top1_changed += int(actual.argmax() != expected.argmax() and best - second > 2 * difference)

    def add_detections(self, actual: Result, expected: Result, gain: float, clear: float = CLEAR) -> None:
        """`gain`: input pixels per picture pixel. `clear`: the confidence from which an object must be seen."""
        ours, theirs = _detections(actual), _detections(expected)
        pairs = _pairs(ours, theirs)
        self.expected += len(theirs)
        self.lost += int((np.delete(theirs.confidence, [j for _, j in pairs]) >= clear).sum())
        self.lost += int((np.delete(ours.confidence, [i for i, _ in pairs]) >= clear).sum())
        for i, j in pairs:
            self.boxes.append(gain * float(np.abs(ours.xyxy[i] - theirs.xyxy[j]).max()))
            self.confidences.append(abs(float(ours.confidence[i] - theirs.confidence[j])))
            self._add_shape(ours, i, theirs, j, gain)

    def _add_shape(self, ours: Detections, i: int, theirs: Detections, j: int, gain: float) -> None:
        if ours.keypoints is not None and theirs.keypoints is not None:
            seen = theirs.keypoints[j, :, 2] >= 0.5
            moved = np.linalg.norm(ours.keypoints[i, seen, :2] - theirs.keypoints[j, seen, :2], axis=1)
            self.keypoints.extend(gain * moved.astype(float))
            surer = np.abs(ours.keypoints[i, :, 2] - theirs.keypoints[j, :, 2])
            self.confidences.extend(surer.astype(float))
        if ours.xywhr is not None and theirs.xywhr is not None:
            corners = rotated_corners(ours.xywhr[i : i + 1]), rotated_corners(theirs.xywhr[j : j + 1])
            # A square turned by a quarter is the same square: each corner against the nearest of the other.
            apart = np.linalg.norm(corners[0][0][:, None] - corners[1][0][None, :], axis=2)
            self.boxes.append(gain * float(apart.min(axis=1).max()))
        if ours.masks is not None and theirs.masks is not None:
            self.masks.append(_mask_iou(ours, i, theirs, j))

    def figures(self) -> dict[str, Any]:
        """What goes into the manifest; only what was measured."""
        table = {
            "pictures": self.pictures,
            "tensor_error": {name: _rounded(error) for name, error in self.tensors.items()},
            "objects": self.expected if not self.probabilities else None,
            "objects_lost": self.lost if not self.probabilities else None,
            "box_px_p95": _percentile(self.boxes, 95),
            "keypoint_px_p95": _percentile(self.keypoints, 95),
            "mask_iou_p5": _percentile(self.masks, 5),
            "confidence_p95": _percentile(self.confidences, 95),
            "probability_max": _percentile(self.probabilities, 100),
            "top1_changed": self.top1_changed if self.probabilities else None,
        }
        return {name: value for name, value in table.items() if value is not None}

    def failures(self, limits: Limits) -> list[str]:
        """What is over the limit, in words; empty for an engine that may be published."""
        rows: Sequence[tuple[str, float | None, float, bool]] = [
            *((f"tensor {name}: error", error, limits.of_tensor(name), True) for name, error in self.tensors.items()),
            ("share of objects lost", self._share_lost(), limits.lost, True),
            ("boxes moved, px", _percentile(self.boxes, 95), limits.box_px, True),
            ("keypoints moved, px", _percentile(self.keypoints, 95), limits.keypoint_px, True),
            ("mask IoU", _percentile(self.masks, 5), limits.mask_iou, False),
            ("confidence changed", _percentile(self.confidences, 95), limits.confidence, True),
            ("probability changed", _percentile(self.probabilities, 100), limits.probability, True),
            ("pictures whose best class changed", float(self.top1_changed), 0.0, True),
        ]
        return [
            f"{name} {value:.4g} (limit {limit:.4g})"
            for name, value, limit, most in rows
            if value is not None and (value > limit if most else value < limit)
        ]

    def _share_lost(self) -> float:
        """Two boxes of one object may win the suppression by a hair: that is chance, and no wrong engine."""
        by_chance = 1 if self.expected >= 20 else 0
        return max(self.lost - by_chance, 0) / max(self.expected, 1)


def row_scores(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(batch, rows): the scores of a head that lists objects. Near ties swap rows, but not their sorted scores."""
    return np.sort(rows[:, :, 4], axis=1)[:, ::-1]


def _detections(result: Result) -> Detections:
    if result.detections is None:
        raise ValueError(f"a {result.task.value} result has no detections to compare")
    return result.detections


def _pairs(ours: Detections, theirs: Detections) -> list[tuple[int, int]]:
    """Objects of one class that overlap, best overlap first, each at most once."""
    overlap = _iou(ours.xyxy, theirs.xyxy) * (ours.class_id[:, None] == theirs.class_id[None, :])
    pairs: list[tuple[int, int]] = []
    while overlap.size and overlap.max() >= _PAIR_IOU:
        i, j = (int(index) for index in np.unravel_index(overlap.argmax(), overlap.shape))
        pairs.append((i, j))
        overlap[i, :] = overlap[:, j] = 0
    return pairs


def _iou(a: FloatArray, b: FloatArray) -> npt.NDArray[np.float64]:
    """Intersection over union of boxes (n, 4) and (m, 4): (n, m)."""
    upper = np.maximum(a[:, None, :2], b[None, :, :2])
    lower = np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.clip(lower - upper, 0, None).prod(axis=2, dtype=np.float64)
    area_a, area_b = ((box[:, 2:] - box[:, :2]).prod(axis=1, dtype=np.float64) for box in (a, b))
    union = np.maximum(area_a[:, None] + area_b[None, :] - both, 1e-9)
    overlap: npt.NDArray[np.float64] = both / union
    return overlap


def _mask_iou(ours: Detections, i: int, theirs: Detections, j: int) -> float:
    assert ours.masks is not None  # noqa: S101 (the caller looked)
    assert theirs.masks is not None  # noqa: S101
    a, b = ours.masks[i], theirs.masks[j]
    top, left = min(a.y, b.y), min(a.x, b.x)
    bottom = max(mask.y + mask.bitmap.shape[0] for mask in (a, b))
    right = max(mask.x + mask.bitmap.shape[1] for mask in (a, b))
    canvas = np.zeros((2, bottom - top, right - left), bool)
    for layer, mask in zip(canvas, (a, b), strict=True):
        height, width = mask.bitmap.shape
        layer[mask.y - top : mask.y - top + height, mask.x - left : mask.x - left + width] = mask.bitmap
    union = (canvas[0] | canvas[1]).sum()
    return 1.0 if union == 0 else float((canvas[0] & canvas[1]).sum() / union)


def _percentile(values: Sequence[float], percent: float) -> float | None:
    return _rounded(float(np.percentile(values, percent))) if values else None


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
