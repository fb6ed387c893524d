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

from app.convert.tensor_error import TensorError
from app.types import Detections, FloatArray, Precision, Result, Task
from app.vision.decode import rotated_corners

CLEAR = 0.3  # both sides are asked for all above 0.25: what lies between may be seen by one alone
_PAIR_IOU = 0.5  # less overlap than this and two boxes are two objects


@dataclass(frozen=True)
class Limits:
    """What an engine of one precision may differ by."""

    tensor_error: float  # median over channels of the relative L2 error
    score_error: float  # the same of a raw head's scores
    lost: float  # share of objects that only one of the two sees; of ten and more, one may always go
    box_px_median: float
    box_px: float  # 95th percentile
    keypoint_px: float = 0.0  # 95th percentile, of keypoints that are seen
    mask_iou: float = 1.0  # of all masks together
    confidence: float = 0.0  # 95th percentile of the differences
    probability: float = 0.0  # largest difference, classification

    def of_tensor(self, name: str) -> float:
        return self.score_error if name.endswith("scores") else self.tensor_error


def limits_for(task: Task, precision: Precision) -> Limits:
    return _INT8[task] if precision is Precision.INT8 else _LIMITS[precision]


# Measured by `python -m scripts.gate_limits` on 12 models, 2026-11-22, ONNX Runtime on 16 processors. FP32 allows for
# another order of summation and for TF32. FP16, worst of good engines: tensors 0.005, scores 0.008, boxes 0.16 px
# (median) and 0.57 px, confidence 0.006, probability 0.002; a GPU's own kernels round more. INT8 may differ by twice
# the worst of its good engines, task by task. Good ones use at most half of what is allowed. Zeros, NaN, shuffled
# places or classes and other weights use 4.7 times it or more, one step of INT8 spoilt 1.35 times. Not seen in INT8 is
# noise in a layer that moves the answers less than INT8 itself does (demo-detect's and demo-pose's largest). INT8 of
# yolo26n-seg, which loses a quarter of the objects, is refused.
_LIMITS = {
    Precision.FP32: Limits(0.005, 0.005, 0.01, 0.1, 0.5, 1.0, 0.98, 0.01, 0.005),
    Precision.FP16: Limits(0.02, 0.03, 0.03, 0.4, 1.2, 1.0, 0.95, 0.03, 0.01),
}
_INT8 = {
    Task.DETECT: Limits(0.11, 0.4, 0.16, 1.7, 11.0, confidence=0.28),
    Task.SEGMENT: Limits(0.19, 0.3, 0.1, 1.7, 14.0, mask_iou=0.94, confidence=0.22),
    Task.POSE: Limits(0.035, 0.27, 0.16, 2.8, 27.0, keypoint_px=22.0, confidence=0.11),
    Task.OBB: Limits(0.11, 0.37, 0.1, 1.7, 12.5, confidence=0.15),
    Task.CLASSIFY: Limits(0.07, 0.0, 0.0, 0.0, 0.0, probability=0.11),
}


@dataclass(frozen=True)
class Row:
    """One figure and what it may be."""

    name: str
    value: float
    limit: float

    @property
    def share(self) -> float:
        """How much of what is allowed is used up; more than 1 is too much."""
        used, allowed = (1 - self.value, 1 - self.limit) if self.name == "mask IoU" else (self.value, self.limit)
        return used / allowed if allowed else float("inf") if used else 0.0


@dataclass
class Agreement:
    """The figures of all pictures together."""

    pictures: int = 0
    expected: int = 0  # objects that the FP32 graph sees
    lost: int = 0  # of the clear ones, those that the engine does not see, or sees and the graph does not
    boxes: list[float] = field(default_factory=list)
    keypoints: list[float] = field(default_factory=list)
    masks: list[tuple[int, int]] = field(default_factory=list)  # pixels that both, and that either of them has
    confidences: list[float] = field(default_factory=list)
    probabilities: list[float] = field(default_factory=list)
    top1_changed: int = 0
    tensors: dict[str, TensorError] = field(default_factory=dict)

    def add_tensor(self, name: str, actual: npt.NDArray[Any], expected: npt.NDArray[Any]) -> None:
        self.tensors.setdefault(name, TensorError()).add(actual, expected)

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
            self.masks.append(_mask_areas(ours, i, theirs, j))

    def figures(self) -> dict[str, Any]:
        """What goes into the manifest; only what was measured."""
        table = {
            "pictures": self.pictures,
            "tensor_error": {name: _rounded(error.value()) for name, error in self.tensors.items()},
            "objects": self.expected if not self.probabilities else None,
            "objects_lost": self.lost if not self.probabilities else None,
            "box_px_p50": _percentile(self.boxes, 50),
            "box_px_p95": _percentile(self.boxes, 95),
            "keypoint_px_p95": _percentile(self.keypoints, 95),
            "mask_iou": self._mask_iou(),
            "confidence_p95": _percentile(self.confidences, 95),
            "probability_max": _percentile(self.probabilities, 100),
            "top1_changed": self.top1_changed if self.probabilities else None,
        }
        return {name: value for name, value in table.items() if value is not None}

    def failures(self, limits: Limits) -> list[str]:
        """What is over the limit, in words; empty for an engine that may be published."""
        return [f"{row.name} {row.value:.4g} (limit {row.limit:.4g})" for row in self.rows(limits) if row.share > 1]

    def rows(self, limits: Limits) -> list[Row]:
        """What was measured, each beside its limit."""
        rows: Sequence[tuple[str, float | None, float]] = [
            *((f"tensor {name}: error", e.value(), limits.of_tensor(name)) for name, e in self.tensors.items()),
            ("share of objects lost", self._share_lost(), limits.lost),
            ("boxes moved, px (median)", _percentile(self.boxes, 50), limits.box_px_median),
            ("boxes moved, px", _percentile(self.boxes, 95), limits.box_px),
            ("keypoints moved, px", _percentile(self.keypoints, 95), limits.keypoint_px),
            ("mask IoU", self._mask_iou(), limits.mask_iou),
            ("confidence changed", _percentile(self.confidences, 95), limits.confidence),
            ("probability changed", _percentile(self.probabilities, 100), limits.probability),
            ("pictures whose best class changed", float(self.top1_changed), 0.0),
        ]
        return [Row(name, value, limit) for name, value, limit in rows if value is not None]

    def _mask_iou(self) -> float | None:
        """Of all together: of a mask of twenty pixels, a quarter may go and nothing is wrong."""
        union = sum(either for _, either in self.masks)
        return _rounded(sum(both for both, _ in self.masks) / union) if union else None

    def _share_lost(self) -> float:
        """Two boxes of one object may win the suppression by a hair: that is chance, and no wrong engine."""
        by_chance = 1 if self.expected >= 10 else 0
        return max(self.lost - by_chance, 0) / max(self.expected, 1)


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


def _mask_areas(ours: Detections, i: int, theirs: Detections, j: int) -> tuple[int, int]:
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
    return int((canvas[0] & canvas[1]).sum()), int((canvas[0] | canvas[1]).sum())


def _percentile(values: Sequence[float], percent: float) -> float | None:
    return _rounded(float(np.percentile(values, percent))) if values else None


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
