"""What the host and the kernels say to each other: `app/infer/kernels/types.cuh` as NumPy types."""

from typing import Any

import numpy as np

from app.types import Task

_ADDRESS, _LONG, _INT, _FLOAT = "u8", "i8", "i4", "f4"


def _structure(*kinds_and_names: tuple[str, str]) -> np.dtype[Any]:
    return np.dtype([(name, kind) for kind, names in kinds_and_names for name in names.split()], align=True)


FRAME = _structure(
    (_ADDRESS, "pixels chroma near_pixels near_chroma"),
    (_LONG, "pitch chroma_pitch"),
    (_ADDRESS, "room"),
    (_LONG, "room_size"),
    (_INT, "used height width content_height content_width top left"),
    (_FLOAT, "gain_x gain_y"),
    (_INT, "mask_factor mask_height mask_width mask_top mask_left"),
    (_FLOAT, "mask_ratio_x mask_ratio_y"),
)
STATE = _structure((_ADDRESS, "mask_units"), (_INT, "candidates count"))
BOX = _structure((_FLOAT, "left top right bottom"))
CANDIDATE = _structure((_FLOAT, "left top right bottom score angle"), (_INT, "class_id row"))
GAUSSIAN = _structure((_FLOAT, "x y a b c reach"))
OBJECT = _structure((_LONG, "offset"), (_INT, "row left top width height padding"))
JOB = _structure(
    (_ADDRESS, "frames input predictions prototypes wanted states keys found sorted gaussians dead kept kept_boxes"),
    (_ADDRESS, "objects logits records"),
    (_INT, "batch input_height input_width input_is_half predictions_are_half prototypes_are_half task head"),
    (_INT, "rows classes extra keypoint_values limit record_words channels proto_height proto_width"),
    (_FLOAT, "confidence iou reach"),
)
STRUCTURES = {
    "Frame": FRAME,
    "State": STATE,
    "Candidate": CANDIDATE,
    "Gaussian": GAUSSIAN,
    "Object": OBJECT,
    "Box": BOX,
}

TASKS = {Task.DETECT: 0, Task.SEGMENT: 1, Task.POSE: 2, Task.OBB: 3, Task.CLASSIFY: 4}
RAW, SUPPRESSED = 0, 1
FIXED_WORDS = 6  # of a record: box, score, class
MASK_WORDS = 6  # left, top, width, height, offset in units, whether a pixel is set
MASK_UNIT = 16  # bytes: where a mask begins, and the least that is written
ROTATED_WORDS = 5
