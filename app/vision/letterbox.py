"""
How a picture lies inside a network's input, and how to find the way back.

The picture keeps its aspect ratio, is centred, and the rest is grey. Sizes and margins are rounded as in
Ultralytics 8.4.190 (`data/augment.py` LetterBox, `utils/ops.py` scale_boxes), each side for itself, so the
two axes may scale by slightly different factors.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from app.types import FloatArray


@dataclass(frozen=True)
class Letterbox:
    """The place of one picture in the input; all sizes are (height, width) in pixels."""

    picture_hw: tuple[int, int]
    input_hw: tuple[int, int]
    content_hw: tuple[int, int]  # the picture as it is resized
    top: int
    left: int

    @staticmethod
    @lru_cache(maxsize=256)
    def fit(picture_hw: tuple[int, int], input_hw: tuple[int, int]) -> "Letterbox":
        """Frames of one size follow each other, so the last places are remembered."""
        content = content_size(picture_hw, input_hw)
        return Letterbox(
            picture_hw,
            input_hw,
            content,
            top=leading_margin(input_hw[0] - content[0]),
            left=leading_margin(input_hw[1] - content[1]),
        )

    def boxes_to_picture(self, xyxy: FloatArray) -> FloatArray:
        """Corners (n, 4) in pixels of the input → of the picture, none outside it."""
        return self.points_to_picture(xyxy.reshape(-1, 2, 2)).reshape(-1, 4)

    def points_to_picture(self, xy: FloatArray) -> FloatArray:
        """Points (…, 2) in pixels of the input → of the picture, none outside it."""
        points: FloatArray = (xy - self._offset) / self._gain
        return points.clip(np.float32(0), self._edge, out=points)

    def rotated_to_picture(self, xywhr: FloatArray) -> FloatArray:
        """Rotated boxes (n, 5) in pixels of the input → of the picture; they may reach beyond its edges."""
        moved = xywhr.copy()
        moved[:, 0:2] = (xywhr[:, 0:2] - self._offset) / self._gain
        moved[:, 2:4] = xywhr[:, 2:4] / self._gain
        return moved

    @cached_property
    def _edge(self) -> FloatArray:
        height, width = self.picture_hw
        return np.array([width, height], np.float32)

    @cached_property
    def _offset(self) -> FloatArray:
        return np.array([self.left, self.top], np.float32)

    @cached_property
    def _gain(self) -> FloatArray:
        """Pixels of the input per pixel of the picture, along x and y."""
        (height, width), (content_height, content_width) = self.picture_hw, self.content_hw
        return np.array([content_width / width, content_height / height], np.float32)


def content_size(picture_hw: tuple[int, int], frame_hw: tuple[int, int]) -> tuple[int, int]:
    """The largest size of the picture's own shape that fits into the frame; never less than one pixel."""
    gain = min(frame_hw[0] / picture_hw[0], frame_hw[1] / picture_hw[1])
    return max(round(picture_hw[0] * gain), 1), max(round(picture_hw[1] * gain), 1)


def leading_margin(spare: int) -> int:
    """The margin above or to the left, given both together: an odd pixel goes to the other side."""
    return round(spare / 2 - 0.1)
