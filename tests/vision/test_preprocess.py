"""What the network sees of a picture."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PilImage

from app.errors import SourceError
from app.types import Image, Task
from app.vision.preprocess import Canvas, classify_into, letterbox_into, prepare_into

GREY = np.float32(114) / np.float32(255)


def _picture(height: int, width: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_channels_become_rgb_planes_from_0_to_1() -> None:
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[:, :] = (0, 51, 255)  # blue, green, red
    slot = np.full((3, 32, 32), np.nan, np.float32)
    letterbox_into(slot, picture)
    assert [float(plane.min()) for plane in slot] == [float(plane.max()) for plane in slot]
    np.testing.assert_array_equal(slot[:, 0, 0], np.array([1, 0.2, 0], np.float32))


def test_every_byte_is_divided_exactly() -> None:
    picture = np.arange(256, dtype=np.uint8).repeat(3).reshape(8, 32, 3)
    slot = np.empty((3, 8, 32), np.float32)
    letterbox_into(slot, picture)
    np.testing.assert_array_equal(slot[0].ravel(), np.arange(256, dtype=np.float32) / np.float32(255))


def test_the_rest_is_grey_whatever_was_there() -> None:
    slot = np.full((3, 64, 64), np.nan, np.float32)
    place = letterbox_into(slot, np.zeros((16, 32, 3), np.uint8))
    assert (place.top, place.left, place.content_hw) == (16, 0, (32, 64))
    assert (slot[:, 16:48] == 0).all()
    assert (slot[:, :16] == GREY).all()
    assert (slot[:, 48:] == GREY).all()


@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (1, 4000), (4000, 1), (4097, 3), (3, 4097), (33, 47), (2160, 3840)]
)
@pytest.mark.parametrize("input_hw", [(64, 64), (32, 96), (320, 192)], ids=str)
def test_any_size_of_picture_fills_its_slot(height: int, width: int, input_hw: tuple[int, int]) -> None:
    picture = np.full((height, width, 3), 255, np.uint8)
    slot = np.full((3, *input_hw), np.nan, np.float32)
    place = letterbox_into(slot, picture)
    assert int((slot == 1).sum()) == 3 * place.content_hw[0] * place.content_hw[1]
    assert int((slot == GREY).sum()) + int((slot == 1).sum()) == slot.size


def test_half_precision_holds_the_rounded_values() -> None:
    picture = _picture(40, 50)
    whole, half = np.empty((3, 64, 64), np.float32), np.empty((3, 64, 64), np.float16)
    letterbox_into(whole, picture)
    letterbox_into(half, picture)
    np.testing.assert_array_equal(half, whole.astype(np.float16))


@pytest.mark.parametrize(
    "array",
    [
        pytest.param(np.zeros((4, 4), np.uint8), id="grey"),
        pytest.param(np.zeros((4, 4, 4), np.uint8), id="alpha"),
        pytest.param(np.zeros((4, 4, 3), np.float32), id="floats"),
        pytest.param(np.zeros((0, 4, 3), np.uint8), id="empty"),
    ],
)
def test_what_is_no_picture_is_refused(array: Image) -> None:
    with pytest.raises(SourceError, match=r"must be \(height, width, 3\) bytes, but this is"):
        letterbox_into(np.empty((3, 32, 32), np.float32), array)
    with pytest.raises(SourceError, match="but this is"):
        classify_into(np.empty((3, 32, 32), np.float32), array)


@pytest.mark.parametrize(("height", "width"), [(50, 80), (80, 50), (300, 200), (64, 64), (7, 400)])
def test_classification_sees_the_middle_of_the_resized_picture(height: int, width: int) -> None:
    picture = _picture(height, width)
    slot = np.empty((3, 64, 64), np.float32)
    classify_into(slot, picture)

    short = min(height, width)
    new_height, new_width = int(64 * height / short), int(64 * width / short)
    rgb = np.ascontiguousarray(picture[:, :, ::-1])
    whole = PilImage.fromarray(rgb).resize((new_width, new_height), PilImage.Resampling.BILINEAR)
    top, left = round((new_height - 64) / 2), round((new_width - 64) / 2)
    expected = np.asarray(whole)[top : top + 64, left : left + 64].transpose(2, 0, 1)
    np.testing.assert_array_equal(np.rint(slot * 255), expected)


def test_an_oblong_classifier_sees_the_whole_picture() -> None:
    slot = np.empty((3, 32, 64), np.float32)
    classify_into(slot, _picture(64, 32))
    assert slot.std() > 0


def test_a_thin_strip_is_not_blown_up_to_be_classified() -> None:
    strip = np.zeros((1, 6400, 3), np.uint8)
    strip[:, 3200:] = 255  # the middle of the resized strip shows half a pixel either side of the step
    slot = np.empty((3, 64, 64), np.float32)
    classify_into(slot, strip)
    columns = slot[0].mean(axis=0)
    assert columns[0] < 0.5 < columns[-1]
    assert (np.diff(columns) >= 0).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 200), st.integers(1, 200), st.sampled_from([(32, 32), (32, 64), (96, 32)]))
def test_both_ways_in_give_values_from_0_to_1(height: int, width: int, input_hw: tuple[int, int]) -> None:
    for into in (letterbox_into, classify_into):
        slot = np.full((3, *input_hw), np.nan, np.float32)
        into(slot, _picture(height, width, seed=height * width))
        assert slot.min() >= 0
        assert slot.max() <= 1


@pytest.mark.parametrize("task", [Task.DETECT, Task.CLASSIFY])
def test_a_canvas_shows_nothing_of_the_pictures_before(task: Task) -> None:
    random = np.random.default_rng(0)
    canvas, other = Canvas(np.empty((3, 64, 64), np.float32)), Canvas(np.empty((3, 64, 64), np.float32))

    def show(height: int, width: int) -> None:
        picture = random.integers(0, 256, (height, width, 3), np.uint8)
        fresh = np.empty((3, 64, 64), np.float32)
        prepare_into(fresh, picture, task)
        canvas.prepare(picture, task)
        np.testing.assert_array_equal(canvas.slot, fresh)

    for height, width in [(32, 64), (32, 64), (64, 32), (100, 200), (32, 64), (64, 64)]:
        show(height, width)
    canvas.clear()
    assert not canvas.slot.any()
    show(64, 64)
    show(32, 64)
    other.prepare(random.integers(0, 256, (64, 20, 3), np.uint8), task)
    canvas.copy(other)
    np.testing.assert_array_equal(canvas.slot, other.slot)
    show(32, 64)
