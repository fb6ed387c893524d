"""What the kernels wrote of one frame, as detections."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from app.infer.gpu.layout import FIXED_WORDS, MASK_UNIT
from app.infer.gpu.workspace import Plan
from app.types import Detections, Mask, Task

Words = npt.NDArray[np.int32]


def detections_of(words: Words, plan: Plan, masks: npt.NDArray[np.uint8] | None) -> Detections:
    """
    Args:
        words: the records of one frame, the first of which counts the others; they may be overwritten later.
        masks: where the masks of this frame are; they stay there.
    """
    records = words[1 : 1 + int(words[0, 0])].copy()
    if masks is not None:
        records = records[records[:, FIXED_WORDS + 5] != 0]  # an object without a single pixel is none
    numbers = records.view(np.float32)
    class_ids = records[:, 5].astype(np.int64)
    more: dict[str, Any] = {}
    if plan.task is Task.POSE:
        more["keypoints"] = numbers[:, FIXED_WORDS:].reshape(len(records), (plan.record_words - FIXED_WORDS) // 3, 3)
    elif plan.task is Task.OBB:
        more["xywhr"] = numbers[:, FIXED_WORDS:]
    elif masks is not None:
        more["masks"] = tuple(_masks(records, masks))
    return Detections(numbers[:, :4], numbers[:, 4], class_ids, **more)


def _masks(records: Words, masks: npt.NDArray[np.uint8]) -> Iterator[Mask]:
    pixels = masks.view(np.bool_)
    for left, top, width, height, offset in records[:, FIXED_WORDS : FIXED_WORDS + 5].tolist():
        start = offset * MASK_UNIT
        yield Mask(pixels[start : start + width * height].reshape(height, width), left, top)
