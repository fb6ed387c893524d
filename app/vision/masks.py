"""
Masks from prototypes and coefficients, at picture size.

This is Ultralytics' `retina_masks=True` (8.4.190, `utils/ops.py` process_mask_native): the logits grow to the size
of the picture, are cut at zero, and only then to the box. Its default mode works at the size of the
network's input and would have to be scaled again. Here each object computes the pixels of its own box only.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from app.types import BoolArray, FloatArray, IntArray, Mask
from app.vision.letterbox import content_size, leading_margin

_OBJECTS_AT_ONCE = 32  # prototypes' logits held at a time: 3 MB at 160×160
_PIXELS_AT_ONCE = 1 << 20
_PROTO_STRIDE = 4  # pixels of the input per pixel of a prototype


def masks_of(
    coefficients: FloatArray, prototypes: FloatArray, xyxy: FloatArray, picture_hw: tuple[int, int]
) -> Iterator[Mask]:
    """
    The masks of n objects.

    Args:
        coefficients: (n, channels).
        prototypes: (channels, height, width), covering the letterboxed input.
        xyxy: (n, 4), in pixels of the picture and within it.
    """
    grid = MaskGrid.of(picture_hw, prototypes.shape[1:])
    flat = prototypes.reshape(len(prototypes), -1)
    for start in range(0, len(coefficients), _OBJECTS_AT_ONCE):
        with np.errstate(invalid="ignore", over="ignore"):  # NaN is not above zero: no pixel
            logits = coefficients[start : start + _OBJECTS_AT_ONCE] @ flat
        for row, box in zip(logits, xyxy[start:], strict=False):
            yield _mask(row.reshape(prototypes.shape[1:]), grid, box)


def mask_polygons(mask: Mask) -> list[IntArray]:
    """
    The outlines of a mask, one polygon (k, 2) of x, y for every part, however small.

    Points are centres of pixels: `cv2.fillPoly` over all of them draws the mask again, save that holes are
    filled, as a list of outlines cannot say which way is in. Bitmaps keep the holes.
    """
    contours, _ = cv2.findContours(
        mask.bitmap.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=(mask.x, mask.y)
    )
    return [contour.reshape(-1, 2).astype(np.int64) for contour in contours]


@dataclass(frozen=True)
class _Axis:
    """Which two samples of the grown prototypes each pixel of the picture lies between, along one axis."""

    first: npt.NDArray[np.intp]
    second: npt.NDArray[np.intp]
    weight: FloatArray  # of the second

    @classmethod
    def of(cls, pixels: range, picture: int, content: int, margin: int) -> "_Axis":
        centre = np.arange(pixels.start, pixels.stop, dtype=np.float32) + np.float32(0.5)
        place = np.maximum(centre * (np.float32(content) / np.float32(picture)) - np.float32(0.5), np.float32(0))
        first = np.minimum(place.astype(np.intp), content - 1)
        second = np.minimum(first + 1, content - 1)
        return cls(first + margin, second + margin, place - first.astype(np.float32))

    def part(self, rows: slice) -> "_Axis":
        return _Axis(self.first[rows], self.second[rows], self.weight[rows])


@dataclass(frozen=True)
class MaskGrid:
    """
    The prototypes, grown by a whole factor, and the picture's place in them.

    The factor is the smallest of 1, 2 and 4 that puts the letterbox's margins on whole samples.
    """

    picture_hw: tuple[int, int]
    factor: int
    content_hw: tuple[int, int]
    top: int
    left: int

    @classmethod
    def of(cls, picture_hw: tuple[int, int], proto_hw: tuple[int, int]) -> "MaskGrid":
        input_hw = _PROTO_STRIDE * proto_hw[0], _PROTO_STRIDE * proto_hw[1]
        content = content_size(picture_hw, input_hw)
        spare = (input_hw[0] - content[0]) | (input_hw[1] - content[1])
        factor = _PROTO_STRIDE // math.gcd(_PROTO_STRIDE, spare | spare // 2)
        grown_hw = factor * proto_hw[0], factor * proto_hw[1]
        content = content_size(picture_hw, grown_hw)
        return cls(
            picture_hw,
            factor,
            content,
            top=leading_margin(grown_hw[0] - content[0]),
            left=leading_margin(grown_hw[1] - content[1]),
        )

    def rows(self, pixels: range) -> _Axis:
        return _Axis.of(pixels, self.picture_hw[0], self.content_hw[0], self.top)

    def columns(self, pixels: range) -> _Axis:
        return _Axis.of(pixels, self.picture_hw[1], self.content_hw[1], self.left)


def _mask(logits: FloatArray, grid: MaskGrid, box: FloatArray) -> Mask:
    left, top, right, bottom = (math.ceil(edge) for edge in box.tolist())  # a pixel belongs by its corner
    x, y = range(left, max(right, left)), range(top, max(bottom, top))
    if not x or not y:
        return Mask(np.zeros((len(y), len(x)), np.bool_), left, top)
    return Mask(_sample(logits, grid, grid.rows(y), grid.columns(x)), left, top)


def _sample(logits: FloatArray, grid: MaskGrid, rows: _Axis, columns: _Axis) -> BoolArray:
    """Where the logits, bilinearly between their samples, are above zero."""
    patch, y, x = _grown_patch(logits, grid.factor, rows, columns)
    across = _between(patch, columns, x, axis=1)
    bitmap = np.empty((len(rows.first), len(columns.first)), np.bool_)
    step = max(1, _PIXELS_AT_ONCE // len(columns.first))
    for start in range(0, len(bitmap), step):
        part = slice(start, start + step)
        np.greater(_between(across, rows.part(part), y, axis=0), 0, out=bitmap[part])
    return bitmap


def _grown_patch(logits: FloatArray, factor: int, rows: _Axis, columns: _Axis) -> tuple[FloatArray, int, int]:
    """The samples that rows and columns ask for, grown by `factor`, and the first one's place."""
    y, x = (slice(max(axis.first[0] // factor - 1, 0), axis.second[-1] // factor + 2) for axis in (rows, columns))
    patch = np.ascontiguousarray(logits[y, x])  # one more on each side: growing bends the edges
    if factor > 1:
        patch = cv2.resize(patch, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
    return patch, y.start * factor, x.start * factor


def _between(samples: FloatArray, at: _Axis, origin: int, axis: int) -> FloatArray:
    first = samples.take(at.first - origin, axis=axis)
    step = samples.take(at.second - origin, axis=axis)
    with np.errstate(invalid="ignore", over="ignore"):
        step -= first
        step *= at.weight[:, None] if axis == 0 else at.weight
        first += step
    return first
