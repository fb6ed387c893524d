"""
How far an engine's raw tensors lie from the FP32 graph's, over all pictures together.

By channel, because a score of 1e-5 and a coordinate of 600 stand in one tensor and either may go wrong alone. Squares
are summed over the pictures before they are divided: on a picture that shows nothing every score is near nothing, and
twice that is no error.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from app.types import Task
from app.vision.layouts import Layout

PROBABILITIES = frozenset({"scores", "keypoint confidences"})
"""Judged as one channel: a class that is nowhere in the picture scores 1e-6, and twice that is no error."""


@dataclass
class TensorError:
    """‖actual − expected‖ / ‖expected‖ of each channel (axis 1); infinite once anything was not finite."""

    _difference: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))  # squares, by channel
    _size: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))
    _broken: bool = False

    def add(self, actual: npt.NDArray[Any], expected: npt.NDArray[Any]) -> None:
        if actual.shape != expected.shape or not np.isfinite(actual).all():
            self._broken = True
            return
        self._difference = self._difference + _squares(actual.astype(np.float64) - expected)
        self._size = self._size + _squares(expected.astype(np.float64))

    def value(self) -> float:
        """The median over the channels."""
        if self._broken:
            return float("inf")
        told = (self._size > 0) | (self._difference > 0)
        if not told.any():
            return 0.0
        with np.errstate(divide="ignore"):
            return float(np.median(np.sqrt(self._difference[told] / self._size[told])))


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


def row_scores(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(batch, rows): the scores of a head that lists objects. Near ties swap rows, but not their sorted scores."""
    return np.sort(rows[:, :, 4], axis=1)[:, ::-1]


def _squares(array: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Summed by channel; what has no more than two dimensions is one channel."""
    if array.ndim < 3:
        return np.atleast_1d(np.square(array).sum())
    axes = tuple(axis for axis in range(array.ndim) if axis != 1)
    summed: npt.NDArray[np.float64] = np.square(array).sum(axis=axes)
    return summed
