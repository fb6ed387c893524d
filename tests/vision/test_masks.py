"""Masks against the same steps done on the whole picture, and polygons that draw them again."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.types import FloatArray, Mask
from app.vision.masks import mask_polygons, masks_of


def _whole_picture(
    logits: FloatArray, factor: int, content: tuple[slice, slice], picture: tuple[int, int]
) -> FloatArray:
    """Grow the logits, cut the picture's place out, and scale that to the picture's size, with OpenCV alone."""
    grown = cv2.resize(logits, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
    part = np.ascontiguousarray(grown[content])
    return np.asarray(cv2.resize(part, picture[::-1], interpolation=cv2.INTER_LINEAR))


# The picture, the prototypes' factor that puts its margins on whole samples, and its place among the grown samples.
PLACES = [
    pytest.param((128, 128), 1, (slice(0, 16), slice(0, 16)), id="square: no margins"),
    pytest.param((64, 128), 1, (slice(4, 12), slice(0, 16)), id="margins of whole samples"),
    pytest.param((60, 128), 4, (slice(17, 47), slice(0, 64)), id="odd margins"),
    pytest.param((120, 128), 2, (slice(1, 31), slice(0, 32)), id="half samples"),
    pytest.param((123, 50), 4, (slice(0, 64), slice(19, 45)), id="odd picture"),
    pytest.param((7, 20), 4, (slice(21, 43), slice(0, 64)), id="small picture"),
    pytest.param((600, 500), 4, (slice(0, 64), slice(5, 58)), id="large picture"),
    pytest.param((16, 16), 1, (slice(0, 16), slice(0, 16)), id="as large as the prototypes"),
]


@pytest.mark.parametrize(("picture", "factor", "content"), PLACES)
def test_each_box_has_the_pixels_of_the_whole_picture(
    picture: tuple[int, int], factor: int, content: tuple[slice, slice]
) -> None:
    random = np.random.default_rng(3)
    prototypes = random.normal(0, 1, (4, 16, 16)).astype(np.float32)
    coefficients = random.normal(0, 1, (40, 4)).astype(np.float32)
    height, width = picture
    corners = np.sort(random.random((40, 2, 2)), axis=1) * (width, height)
    boxes = corners.reshape(40, 4).astype(np.float32)
    boxes[0] = (0, 0, width, height)

    masks = list(masks_of(coefficients, prototypes, boxes, picture))
    assert len(masks) == 40
    for mask, box, weights in zip(masks, boxes, coefficients, strict=True):
        logits = np.tensordot(weights, prototypes, 1)
        whole = _whole_picture(logits, factor, content, picture)
        left, top, right, bottom = np.ceil(box).astype(int)
        expected = whole[top:bottom, left:right]
        assert (mask.x, mask.y, mask.bitmap.shape) == (left, top, (bottom - top, right - left))
        clear = np.abs(expected) > 1e-4  # nearer to zero, rounding decides
        assert ((expected > 0) == mask.bitmap)[clear].all()


def test_a_picture_larger_than_a_block_is_sampled_in_parts() -> None:
    prototypes = np.ones((1, 16, 16), np.float32)
    prototypes[:, 8:] = -1
    (mask,) = masks_of(
        np.ones((1, 1), np.float32), prototypes, np.array([[0, 0, 1500, 1500]], np.float32), (1500, 1500)
    )
    assert mask.bitmap[:750].all()
    assert not mask.bitmap[750:].any()


@pytest.mark.parametrize(
    ("box", "shape"),
    [
        pytest.param((3.2, 3.2, 3.8, 9), (5, 0), id="between two columns"),
        pytest.param((3, 3, 4, 4), (1, 1), id="one pixel"),
        pytest.param((5, 5, 5, 5), (0, 0), id="nothing"),
    ],
)
def test_a_pixel_belongs_to_a_box_by_its_corner(box: tuple[float, float, float, float], shape: tuple[int, int]) -> None:
    (mask,) = masks_of(
        np.ones((1, 1), np.float32), np.ones((1, 8, 8), np.float32), np.array([box], np.float32), (32, 32)
    )
    assert mask.bitmap.shape == shape
    assert mask.bitmap.all()


def test_polygons_keep_every_part_and_fill_holes() -> None:
    bitmap = np.zeros((9, 12), np.bool_)
    bitmap[1:6, 1:6] = True
    bitmap[3, 3] = False  # a hole
    bitmap[8, 11] = True  # one pixel
    bitmap[0, 8:10] = True  # two of them
    polygons = mask_polygons(Mask(bitmap, x=100, y=200))
    assert sorted(len(polygon) for polygon in polygons) == [1, 2, 4]
    assert {tuple(point) for polygon in polygons for point in polygon.tolist()} == {
        *[(101, 201), (105, 201), (101, 205), (105, 205)],
        *[(111, 208), (108, 200), (109, 200)],
    }


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40), st.floats(0, 1))
def test_polygons_draw_the_mask_again(seed: int, height: int, width: int, density: float) -> None:
    bitmap = np.random.default_rng(seed).random((height, width)) < density
    polygons = mask_polygons(Mask(bitmap, x=5, y=7))
    canvas = np.zeros((height + 20, width + 20), np.uint8)
    for polygon in polygons:
        cv2.fillPoly(canvas, [polygon.astype(np.int32)], 1)
    drawn = canvas[7 : 7 + height, 5 : 5 + width].astype(bool)
    assert int(canvas.sum()) == int(drawn.sum())
    assert drawn[bitmap].all()
    outside = _reached_from_the_border(~bitmap)
    assert not drawn[outside].any()  # what was filled beside the mask are its holes


def _reached_from_the_border(free: np.ndarray) -> np.ndarray:
    """Where one comes from the border without crossing the mask, stepping to the four neighbours."""
    padded = np.pad(free, 1, constant_values=True).astype(np.uint8)
    cv2.floodFill(padded, None, (0, 0), 2, flags=4)
    return np.asarray(padded[1:-1, 1:-1] == 2)
