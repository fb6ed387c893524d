"""Tensors made by hand, in every layout, and what must come out of them."""

from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import ModelError
from app.types import Detections
from app.vision.decode import Thresholds, decode, rotated_corners
from tests.vision.doubles import metadata, raw, rows

PICTURE = (128, 64)  # in an input of 64×64: half size, 16 columns of grey on either side
INPUT = (64, 64)
END2END: dict[str, Any] = {"end2end": True}
NMS: dict[str, Any] = {"args": {"nms": True}}


def _detections(outputs: Any, described: Any, thresholds: Thresholds | None = None) -> Detections:
    tensors = outputs if isinstance(outputs, dict) else {"output0": outputs}
    (prediction,) = decode(tensors, described, [PICTURE], INPUT, thresholds or Thresholds())
    assert prediction.detections is not None
    return prediction.detections


# Two objects of different classes, the second less sure, the third under the threshold.
DETECT_RAW = raw(
    [
        [32, 32, 16, 8, 0.0, 0.6, 0.1],
        [30, 20, 10, 10, 0.9, 0.3, 0.2],
        [30, 20, 10, 10, 0.2, 0.1, 0.2],
    ]
)
DETECT_ROWS = rows([[25, 15, 35, 25, 0.9, 0], [24, 28, 40, 36, 0.6, 1], [25, 15, 35, 25, 0.2, 0]])


@pytest.mark.parametrize(
    ("tensor", "more"),
    [
        pytest.param(DETECT_RAW, {}, id="raw"),
        pytest.param(DETECT_ROWS, END2END, id="end-to-end"),
        pytest.param(DETECT_ROWS, NMS, id="nms"),
        pytest.param(DETECT_RAW.astype(np.float16), {}, id="raw in half precision"),
        pytest.param(DETECT_RAW.astype(np.float64), {}, id="raw in double precision"),
    ],
)
def test_detect(tensor: npt.NDArray[Any], more: dict[str, Any]) -> None:
    found = _detections(tensor, metadata(**more))
    np.testing.assert_allclose(found.xyxy, [[18, 30, 38, 50], [16, 56, 48, 72]])
    np.testing.assert_allclose(found.confidence, [0.9, 0.6], rtol=1e-3)
    assert found.class_id.tolist() == [0, 1]
    assert [str(a.dtype) for a in (found.xyxy, found.confidence, found.class_id)] == ["float32", "float32", "int64"]
    assert (found.keypoints, found.masks, found.xywhr) == (None, None, None)


POSE_RAW = raw([[32, 32, 16, 8, 0.8, 30, 30, 0.9, 10, 70, 0.1]])
POSE_ROWS = rows([[24, 28, 40, 36, 0.8, 0, 30, 30, 0.9, 10, 70, 0.1]])


@pytest.mark.parametrize(
    ("tensor", "more"),
    [
        pytest.param(POSE_RAW, {}, id="raw"),
        pytest.param(POSE_ROWS, END2END, id="end-to-end"),
        pytest.param(POSE_ROWS, NMS, id="nms"),
    ],
)
def test_pose(tensor: npt.NDArray[Any], more: dict[str, Any]) -> None:
    found = _detections(tensor, metadata("pose", 1, kpt_shape=[2, 3], **more))
    np.testing.assert_allclose(found.xyxy, [[16, 56, 48, 72]])
    assert found.keypoints is not None  # the second one lies outside and is brought to the edge
    np.testing.assert_allclose(found.keypoints, [[[28, 60, 0.9], [0, 128, 0.1]]], rtol=1e-6)


def test_keypoints_without_confidence_are_taken_to_be_sure() -> None:
    tensor = raw([[32, 32, 16, 8, 0.8, 30, 30, 20, 20]])
    found = _detections(tensor, metadata("pose", 1, kpt_shape=[2, 2]))
    assert found.keypoints is not None
    np.testing.assert_allclose(found.keypoints, [[[28, 60, 1], [8, 40, 1]]])


OBB_RAW = raw([[32, 32, 16, 8, 0.1, 0.7, np.pi / 2], [20, 20, 8, 4, 0.8, 0.1, 0.0]])
OBB_ROWS = rows([[20, 20, 8, 4, 0.8, 0, 0.0], [32, 32, 16, 8, 0.7, 1, np.pi / 2]])


@pytest.mark.parametrize(
    ("tensor", "more"),
    [
        pytest.param(OBB_RAW, {}, id="raw"),
        pytest.param(OBB_ROWS, END2END, id="end-to-end"),
        pytest.param(OBB_ROWS, NMS, id="nms"),
    ],
)
def test_obb(tensor: npt.NDArray[Any], more: dict[str, Any]) -> None:
    found = _detections(tensor, metadata("obb", 2, **more))
    assert found.xywhr is not None
    expected: Any = [[8, 40, 16, 8, 0], [32, 64, 32, 16, np.pi / 2]]
    np.testing.assert_allclose(found.xywhr, expected, rtol=1e-6)
    np.testing.assert_allclose(found.xyxy, [[0, 36, 16, 44], [24, 48, 40, 80]], atol=1e-4)
    assert found.class_id.tolist() == [0, 1]


def _prototypes() -> npt.NDArray[np.float32]:
    """Two prototypes of 16×16: above zero in the left and in the upper half."""
    prototypes = np.full((1, 2, 16, 16), -1, np.float32)
    prototypes[0, 0, :, :8] = 1
    prototypes[0, 1, :8] = 1
    return prototypes


SEGMENT_RAW = raw([[32, 32, 16, 16, 0.8, 1, 0], [32, 32, 32, 32, 0.6, 0, -1]])
SEGMENT_ROWS = rows([[24, 24, 40, 40, 0.8, 0, 1, 0], [16, 16, 48, 48, 0.6, 0, 0, -1]])


@pytest.mark.parametrize(
    ("tensor", "more"),
    [
        pytest.param(SEGMENT_RAW, {}, id="raw"),
        pytest.param(SEGMENT_ROWS, END2END, id="end-to-end"),
        pytest.param(SEGMENT_ROWS, NMS, id="nms"),
    ],
)
def test_segment(tensor: npt.NDArray[Any], more: dict[str, Any]) -> None:
    outputs = {"output0": tensor, "output1": _prototypes()}
    found = _detections(outputs, metadata("segment", 1, **more))
    assert found.masks is not None
    left, lower = found.masks
    assert (left.x, left.y, left.bitmap.shape) == (16, 48, (32, 32))
    assert left.bitmap[:, :16].all()
    assert not left.bitmap[:, 16:].any()
    assert (lower.x, lower.y, lower.bitmap.shape) == (0, 32, (64, 64))
    assert lower.bitmap[32:].all()
    assert not lower.bitmap[:32].any()


def test_an_object_without_a_pixel_is_none() -> None:
    tensor = rows([[24, 24, 40, 40, 0.8, 0, 0, 0], [16, 16, 48, 48, 0.6, 0, 0, 1]])
    outputs = {"output0": tensor, "output1": _prototypes()}
    found = _detections(outputs, metadata("segment", 1, **NMS))
    np.testing.assert_allclose(found.confidence, [0.6])


def test_classify_gives_every_probability() -> None:
    outputs = {"output0": np.array([[0.1, 0.7, np.nan]], np.float32)}
    (prediction,) = decode(outputs, metadata("classify"), [PICTURE], INPUT, Thresholds())
    assert prediction.detections is None
    assert prediction.probs is not None
    np.testing.assert_allclose(prediction.probs, [0.1, 0.7, 0])


@pytest.mark.parametrize(
    ("tensor", "more"), [pytest.param(DETECT_RAW, {}, id="raw"), pytest.param(DETECT_ROWS, NMS, id="nms")]
)
@pytest.mark.parametrize(
    ("thresholds", "classes"),
    [
        pytest.param(Thresholds(), [0, 1], id="defaults"),
        pytest.param(Thresholds(classes=(1, 2)), [1], id="classes"),
        pytest.param(Thresholds(classes=()), [], id="no class at all"),
        pytest.param(Thresholds(max_detections=1), [0], id="max_detections"),
        pytest.param(Thresholds(classes=(1,), max_detections=1), [1], id="classes before max_detections"),
        pytest.param(Thresholds(confidence=0.7), [0], id="confidence"),
        pytest.param(Thresholds(confidence=1.0), [], id="nothing is surer than 1"),
    ],
)
def test_thresholds(tensor: npt.NDArray[Any], more: dict[str, Any], thresholds: Thresholds, classes: list[int]) -> None:
    assert _detections(tensor, metadata(**more), thresholds).class_id.tolist() == classes


def test_a_score_at_the_threshold_is_not_above_it() -> None:
    tensor = raw([[32, 32, 16, 8, 0.5, 0, 0]])
    assert len(_detections(tensor, metadata(), Thresholds(confidence=0.5))) == 0


@pytest.mark.parametrize(
    ("task", "outputs", "more"),
    [
        pytest.param("detect", {"a": np.zeros((1, 7, 21))}, {}, id="detect"),
        pytest.param("pose", {"a": np.zeros((1, 13, 21))}, {"kpt_shape": [2, 3]}, id="pose"),
        pytest.param("obb", {"a": np.zeros((1, 8, 21))}, {}, id="obb"),
        pytest.param("segment", {"a": np.zeros((1, 9, 21)), "b": np.zeros((1, 2, 16, 16))}, {}, id="segment"),
        pytest.param("detect", {"a": np.zeros((1, 7, 0))}, {}, id="no anchors"),
        pytest.param("detect", {"a": np.zeros((1, 0, 6))}, NMS, id="no rows"),
    ],
)
def test_nothing_found_has_the_tasks_shapes(task: str, outputs: Any, more: dict[str, Any]) -> None:
    found = _detections(outputs, metadata(task, **more))
    assert len(found) == 0
    assert found.xyxy.shape == (0, 4)
    assert (found.keypoints is not None) == (task == "pose")
    assert (found.xywhr is not None) == (task == "obb")
    assert found.masks == (() if task == "segment" else None)


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf, 3e38, -3e38], ids=str)
@pytest.mark.parametrize("task", ["detect", "pose", "obb", "segment"])
@pytest.mark.parametrize("head", ["raw", "nms"])
def test_what_is_no_number_is_no_detection(poison: float, task: str, head: str) -> None:
    """Each value of a good object is spoilt in turn; only the other object remains, or both, if it is a class."""
    extra = {"detect": 0, "pose": 3, "obb": 1, "segment": 2}[task]
    more: dict[str, Any] = {"kpt_shape": [1, 3], **(NMS if head == "nms" else {})}
    good = [32, 32, 16, 8, 0.9, 0.1] if head == "raw" else [24, 28, 40, 36, 0.9, 0]
    for spoilt in range(6 + extra):
        objects = [[*good, *[1.0] * extra], [*good, *[1.0] * extra]]
        objects[1][0] += 12
        objects[1][spoilt] = poison
        outputs = {"output0": raw(objects) if head == "raw" else rows(objects)}
        if task == "segment":
            outputs["output1"] = np.ones((1, 2, 16, 16), np.float32)
        found = _detections(outputs, metadata(task, 2, **more))
        spoilt_score_of_the_other_class = head == "raw" and spoilt == 5 and poison < 0
        assert len(found) == 1 + spoilt_score_of_the_other_class, spoilt
        assert np.isfinite(found.xyxy).all()


def test_prototypes_that_are_no_numbers_show_no_pixel() -> None:
    for poison in (np.nan, -np.inf):
        outputs = {"output0": SEGMENT_RAW, "output1": np.full((1, 2, 16, 16), poison, np.float32)}
        assert len(_detections(outputs, metadata("segment", 1))) == 0


def test_each_picture_of_a_batch_has_its_own_place() -> None:
    tensor = np.concatenate((DETECT_RAW, np.zeros_like(DETECT_RAW), DETECT_RAW))
    shapes = [PICTURE, (64, 64), (64, 64)]
    found = [p.detections for p in decode({"o": tensor}, metadata(), shapes, INPUT, Thresholds())]
    assert [len(d) for d in found if d is not None] == [2, 0, 2]
    assert found[2] is not None
    np.testing.assert_allclose(found[2].xyxy[0], [25, 15, 35, 25])
    assert len(decode({"o": tensor}, metadata(), shapes[:2], INPUT, Thresholds())) == 2  # an unused slot
    with pytest.raises(ModelError, match="smaller than the batch of 4"):
        decode({"o": tensor}, metadata(), [*shapes, PICTURE], INPUT, Thresholds())


def test_corners_start_at_the_positive_sides_and_go_against_the_clock() -> None:
    corners = rotated_corners(np.array([[10, 20, 8, 4, 0], [10, 20, 8, 4, np.pi / 2]], np.float32))
    np.testing.assert_allclose(corners[0], [[14, 22], [14, 18], [6, 18], [6, 22]])
    np.testing.assert_allclose(corners[1], [[8, 24], [12, 24], [12, 16], [8, 16]], atol=1e-5)


TASKS = st.sampled_from(["detect", "segment", "pose", "obb", "classify"])
DIMENSION = st.integers(0, 14)
SHAPES = st.lists(st.lists(DIMENSION, min_size=1, max_size=4).map(tuple), min_size=0, max_size=3)
VALUES = st.sampled_from([0.0, 0.5, 1.0, 40.0, -7.0, 1e20, 3e38, np.nan, np.inf, -np.inf])


@settings(max_examples=300, deadline=None)
@given(TASKS, SHAPES, st.integers(0, 9), st.booleans(), st.lists(VALUES, min_size=1, max_size=9))
def test_any_tensors_decode_or_are_refused(
    task: str, shapes: list[tuple[int, ...]], classes: int, end2end: bool, values: list[float]
) -> None:
    outputs = {str(i): np.resize(np.array(values, np.float32), shape) for i, shape in enumerate(shapes)}
    described = metadata(task, classes, end2end=end2end, kpt_shape=[1, 3])
    with suppress(ModelError):
        decode(outputs, described, [(30, 50)], INPUT, Thresholds(confidence=0.01))


@settings(max_examples=150, deadline=None)
@given(
    TASKS.filter(lambda task: task != "classify"),
    st.booleans(),
    st.integers(0, 2**32 - 1),
    st.floats(0, 1),
    st.tuples(st.integers(1, 300), st.integers(1, 300)),
    st.lists(VALUES, max_size=5),
)
def test_any_values_give_sound_detections(
    task: str, end2end: bool, seed: int, confidence: float, shape: tuple[int, int], spoilt: list[float]
) -> None:
    random = np.random.default_rng(seed)
    extra = {"detect": 0, "segment": 4, "pose": 3, "obb": 1}[task]
    tensor = random.uniform(0, 64, (1, 30, 6 + extra) if end2end else (1, 7 + extra, 84)).astype(np.float32)
    scores = tensor[:, :, 4] if end2end else tensor[:, 4:7]
    scores /= 64
    tensor.ravel()[random.integers(0, tensor.size, len(spoilt))] = spoilt
    outputs = {"0": tensor}
    if task == "segment":
        outputs["1"] = random.normal(0, 1, (1, 4, 16, 16)).astype(np.float32)
    described = metadata(task, 3, end2end=end2end, kpt_shape=[1, 3])
    (prediction,) = decode(outputs, described, [shape], INPUT, Thresholds(confidence=confidence))
    found = prediction.detections
    assert found is not None
    assert np.isfinite(found.xyxy).all()
    assert (found.confidence > np.float32(confidence)).all()
    assert ((found.class_id >= 0) & (found.class_id < 3)).all()
    if task != "obb":
        assert (found.xyxy >= 0).all()
        assert (found.xyxy <= [shape[1], shape[0]] * 2).all()
    for mask in found.masks or ():
        assert mask.bitmap.any()
        assert mask.y + mask.bitmap.shape[0] <= shape[0]
        assert mask.x + mask.bitmap.shape[1] <= shape[1]
