"""How a frame lies in the network's input, as the kernels want to know it."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from app.infer.gpu.layout import FRAME
from app.types import Task
from app.vision.letterbox import Letterbox
from app.vision.masks import MaskGrid
from app.vision.preprocess import classify_place


def frame_record(
    frame_hw: tuple[int, int], input_hw: tuple[int, int], task: Task, proto_hw: tuple[int, int] | None
) -> npt.NDArray[Any]:
    """A frame's record but for its addresses: one element of FRAME."""
    record = np.zeros(1, FRAME)
    record["used"] = 1
    record["height"], record["width"] = frame_hw
    if task is Task.CLASSIFY:
        _place(record, *classify_place(frame_hw, input_hw), sign=-1)
        return record
    letterbox = Letterbox.fit(frame_hw, input_hw)
    _place(record, letterbox.content_hw, letterbox.top, letterbox.left, sign=1)
    record["gain_x"] = np.float32(letterbox.content_hw[1] / frame_hw[1])
    record["gain_y"] = np.float32(letterbox.content_hw[0] / frame_hw[0])
    if proto_hw is not None:
        _place_masks(record, MaskGrid.of(frame_hw, proto_hw))
    return record


def _place(record: Any, content_hw: tuple[int, int], top: int, left: int, *, sign: int) -> None:
    """For classification the input lies in the picture and not the picture in the input: both places are negative."""
    record["content_height"], record["content_width"] = content_hw
    record["top"], record["left"] = sign * top, sign * left


def _place_masks(record: Any, grid: MaskGrid) -> None:
    height, width = grid.content_hw
    record["mask_factor"], record["mask_height"], record["mask_width"] = grid.factor, height, width
    record["mask_top"], record["mask_left"] = grid.top, grid.left
    record["mask_ratio_y"] = np.float32(height) / np.float32(grid.picture_hw[0])
    record["mask_ratio_x"] = np.float32(width) / np.float32(grid.picture_hw[1])


def filter_taps(frame_hw: tuple[int, int], input_hw: tuple[int, int]) -> int:
    """How many samples a row or column of the input is made of at most, where a picture is classified."""
    resized_hw, _, _ = classify_place(frame_hw, input_hw)
    scale = max(1.0, *(size / resized for size, resized in zip(frame_hw, resized_hw, strict=True)))
    return 2 * math.ceil(scale) + 2
