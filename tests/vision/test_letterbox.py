"""A picture's place in the input, and the way back."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.vision.letterbox import Letterbox

SIDES = st.integers(1, 5000)
INPUTS = st.tuples(st.integers(1, 20), st.integers(1, 20)).map(lambda pair: (32 * pair[0], 32 * pair[1]))


@pytest.mark.parametrize(
    ("picture", "network", "content", "margins"),
    [
        pytest.param((640, 640), (640, 640), (640, 640), (0, 0), id="same size"),
        pytest.param((1080, 810), (640, 640), (640, 480), (0, 80), id="portrait"),
        pytest.param((720, 1280), (640, 640), (360, 640), (140, 0), id="landscape"),
        pytest.param((320, 320), (640, 640), (640, 640), (0, 0), id="small pictures grow"),
        pytest.param((480, 639), (640, 640), (481, 640), (79, 0), id="odd rest: the larger margin is below"),
        pytest.param((1, 1), (640, 640), (640, 640), (0, 0), id="one pixel"),
        pytest.param((1, 4000), (640, 640), (1, 640), (319, 0), id="never thinner than a pixel"),
        pytest.param((4097, 3), (320, 640), (320, 1), (0, 319), id="tall into wide"),
    ],
)
def test_a_picture_is_centred_at_its_largest(
    picture: tuple[int, int], network: tuple[int, int], content: tuple[int, int], margins: tuple[int, int]
) -> None:
    place = Letterbox.fit(picture, network)
    assert (place.content_hw, (place.top, place.left)) == (content, margins)


@given(st.tuples(SIDES, SIDES), INPUTS)
def test_the_content_lies_inside_the_input(picture: tuple[int, int], network: tuple[int, int]) -> None:
    place = Letterbox.fit(picture, network)
    for start, length, whole in zip((place.top, place.left), place.content_hw, network, strict=True):
        assert start >= 0
        assert start + length <= whole
        assert abs((whole - length - start) - start) <= 1  # centred


@settings(max_examples=50)
@given(st.tuples(SIDES, SIDES), INPUTS, st.integers(0, 2**32 - 1))
def test_points_come_back_to_where_they_were(picture: tuple[int, int], network: tuple[int, int], seed: int) -> None:
    place = Letterbox.fit(picture, network)
    height, width = picture
    points = (np.random.default_rng(seed).random((20, 2)) * (width, height)).astype(np.float32)
    gain = np.array([place.content_hw[1] / width, place.content_hw[0] / height], np.float32)
    moved = points * gain + np.array([place.left, place.top], np.float32)
    back = place.points_to_picture(moved)
    np.testing.assert_allclose(back, points, atol=1e-3 * max(1, *(1 / gain)))


def test_boxes_are_cut_at_the_edges_of_the_picture() -> None:
    place = Letterbox.fit((1080, 810), (640, 640))
    boxes = np.array([[0, -10, 640, 700], [80, 0, 560, 640], [100, 64, 110, 128]], np.float32)
    expected: Any = [[0, 0, 810, 1080], [0, 0, 810, 1080], [33.75, 108, 50.625, 216]]
    np.testing.assert_allclose(place.boxes_to_picture(boxes), expected, rtol=1e-6)


def test_rotated_boxes_may_reach_beyond_the_picture() -> None:
    place = Letterbox.fit((1080, 810), (640, 640))
    moved = place.rotated_to_picture(np.array([[70, 320, 64, 32, 0.5]], np.float32))
    np.testing.assert_allclose(moved, [[-16.875, 540, 108, 54, 0.5]], rtol=1e-6)
