"""Pictures into a network's input: (n, 3, height, width), RGB, 0 to 1."""

import threading
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from app.errors import SourceError
from app.types import Image, Task
from app.vision.letterbox import Letterbox

_GREY = 114  # what the models were trained with around the picture
_WHOLE_UP_TO = 64  # longer than 64:1, only the middle is resampled: 1×4000 would become 224×896000 first
Slot = npt.NDArray[np.floating]
"""One picture's place in the input: (3, height, width), float32 or float16."""


class Canvas:
    """A slot that is filled again and again: where pictures of one size follow each other, the grey stays."""

    def __init__(self, slot: Slot) -> None:
        self.slot = slot
        self._framed: Letterbox | None = None

    def prepare(self, picture: Image, task: Task) -> None:
        """As `prepare_into`."""
        if task is Task.CLASSIFY:
            self._framed = None
            classify_into(self.slot, picture)
        else:
            self._framed = letterbox_into(self.slot, picture, self._framed)

    def copy(self, other: "Canvas") -> None:
        self._framed = other._framed
        self.slot[...] = other.slot

    def clear(self) -> None:
        self._framed = None
        self.slot[...] = 0


class _Scratch(threading.local):
    """Memory that is used again: what is new to a process costs more than the work done in it."""

    def __init__(self) -> None:
        self._resized: Image = np.empty((0, 0, 3), np.uint8)
        self._planes: list[npt.NDArray[np.uint8]] = []

    def resized(self, picture: Image, size_hw: tuple[int, int]) -> Image:
        if self._resized.shape[:2] != size_hw:
            self._resized = np.empty((*size_hw, 3), np.uint8)
        cv2.resize(picture, size_hw[::-1], dst=self._resized, interpolation=cv2.INTER_LINEAR)
        return self._resized

    def planes(self, picture: Image) -> list[npt.NDArray[np.uint8]]:
        if not self._planes or self._planes[0].shape != picture.shape[:2]:
            self._planes = [np.empty(picture.shape[:2], np.uint8) for _ in range(3)]
        cv2.split(picture, self._planes)
        return self._planes


_scratch = _Scratch()


def prepare_into(slot: Slot, picture: Image, task: Task) -> None:
    """
    A picture into its slot, as models of `task` were trained.

    Raises:
        SourceError: the array is not a picture of (height, width, 3) bytes.
    """
    if task is Task.CLASSIFY:
        classify_into(slot, picture)
    else:
        letterbox_into(slot, picture)


def letterbox_into(slot: Slot, picture: Image, framed: Letterbox | None = None) -> Letterbox:
    """
    Resize a picture into its slot, with grey around it.

    Args:
        framed: how the picture before lay in this slot, if its grey is still there.

    Raises:
        SourceError: the array is not a picture of (height, width, 3) bytes.
    """
    check_picture(picture)
    place = Letterbox.fit(picture.shape[:2], slot.shape[1:])
    height, width = place.content_hw
    if picture.shape[:2] != place.content_hw:
        picture = _scratch.resized(picture, place.content_hw)
    rows = slice(place.top, place.top + height)
    columns = slice(place.left, place.left + width)
    if place != framed:
        _fill_margins(slot, rows, columns)
    _scale_into(slot[:, rows, columns], picture)
    return place


def classify_into(slot: Slot, picture: Image) -> None:
    """
    Resize a picture's shorter side to a square slot and cut the middle out; a slot that is not square is filled.

    As Ultralytics' `classify_transforms`: Pillow's bilinear filter, which averages where it shrinks.

    Raises:
        SourceError: the array is not a picture of (height, width, 3) bytes.
    """
    from PIL import Image as PilImage  # only classification needs Pillow

    check_picture(picture)
    # Pillow keeps the order of the channels, so BGR passes as RGB.
    whole = PilImage.fromarray(picture)
    height, width = slot.shape[1:]
    (resized_h, resized_w), top, left = classify_place(picture.shape[:2], (height, width))
    if resized_h * resized_w <= _WHOLE_UP_TO * height * width:
        resized = whole.resize((resized_w, resized_h), PilImage.Resampling.BILINEAR)
        middle = resized.crop((left, top, left + width, top + height))
    else:  # the same middle by way of `box`, which Pillow rounds to float32: a byte may differ by one
        y, x = picture.shape[0] / resized_h, picture.shape[1] / resized_w
        right, bottom = min((left + width) * x, whole.width), min((top + height) * y, whole.height)
        middle = whole.resize((width, height), PilImage.Resampling.BILINEAR, (left * x, top * y, right, bottom))
    _scale_into(slot, np.asarray(middle))


def check_picture(picture: Image) -> None:
    shape = picture.shape
    if picture.dtype != np.uint8 or len(shape) != 3 or shape[2] != 3 or 0 in shape:
        raise SourceError(
            f"A picture must be (height, width, 3) bytes, but this is {shape} of {picture.dtype}",
            hint="Decode it with cv2.imread(path, cv2.IMREAD_COLOR), which gives BGR bytes.",
        )


def classify_place(picture_hw: tuple[int, int], target_hw: tuple[int, int]) -> tuple[tuple[int, int], int, int]:
    """To what (height, width) a picture is resized, and where in it the part begins that is cut out: top, left."""
    if target_hw[0] != target_hw[1]:
        return target_hw, 0, 0
    side, short = target_hw[0], min(picture_hw)
    height, width = int(side * picture_hw[0] / short), int(side * picture_hw[1] / short)
    return (height, width), round((height - side) / 2.0), round((width - side) / 2.0)


def _fill_margins(slot: Slot, rows: slice, columns: slice) -> None:
    grey = _bytes_to_unit()[_GREY]
    slot[:, : rows.start] = grey
    slot[:, rows.stop :] = grey
    slot[:, rows, : columns.start] = grey
    slot[:, rows, columns.stop :] = grey


def _scale_into(target: Slot, picture: Image) -> None:
    """Write a BGR picture into (3, h, w) as RGB from 0 to 1, without a float copy on the way."""
    for channel, plane in zip((2, 1, 0), _scratch.planes(picture), strict=True):
        view = target[channel]
        if view.dtype == np.float32:
            cv2.LUT(plane, _bytes_to_unit(), dst=view)
        else:
            view[...] = cv2.LUT(plane, _bytes_to_unit())


@lru_cache(maxsize=1)
def _bytes_to_unit() -> npt.NDArray[np.float32]:
    """x / 255 for every byte: a table gives the same bits as the division, in half the time."""
    return np.arange(256, dtype=np.float32) / np.float32(255)
