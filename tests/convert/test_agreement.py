from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from app.convert.agreement import Agreement, limits_for
from app.convert.tensor_error import TensorError, channel_groups, row_scores
from app.types import Detections, FloatArray, Head, Mask, Precision, Result, Speed, Task
from app.vision.layouts import Layout

SPEED = Speed(0, 0, 0)
RANDOM = np.random.default_rng(7)
FP16 = limits_for(Task.DETECT, Precision.FP16)


def tensor_error(actual: npt.NDArray[Any], expected: npt.NDArray[Any]) -> float:
    error = TensorError()
    error.add(actual, expected)
    return error.value()


def raw(seed: int = 1) -> FloatArray:
    """A raw head of 2 classes: coordinates of hundreds, scores near nothing."""
    random = np.random.default_rng(seed)
    boxes = random.uniform(0, 640, (1, 4, 200))
    return np.concatenate([boxes, random.uniform(0, 1e-4, (1, 2, 200))], axis=1).astype(np.float32)


@pytest.mark.parametrize(
    ("change", "low", "high"),
    [
        pytest.param(lambda x: x, 0.0, 0.0, id="equal"),
        pytest.param(lambda x: x * 1.01, 0.009, 0.011, id="one-percent"),
        pytest.param(np.zeros_like, 1.0, 1.0, id="zeros"),
        pytest.param(lambda x: np.where(x > 639, np.nan, x), np.inf, np.inf, id="one-nan"),
        pytest.param(lambda x: x[:, :, ::-1], 0.3, np.inf, id="anchors-shuffled"),
        pytest.param(lambda x: x[:, ::-1], 0.3, np.inf, id="channels-shuffled"),
        pytest.param(lambda _: raw(2), 0.3, np.inf, id="other-weights"),
        pytest.param(lambda x: x[:, :-1], np.inf, np.inf, id="another-shape"),
    ],
)
def test_tensor_error(change, low: float, high: float) -> None:  # type: ignore[no-untyped-def]
    assert low <= tensor_error(change(raw()), raw()) <= high


def test_a_picture_with_nothing_on_it_does_not_decide() -> None:
    """There every score is near nothing, and three times that is no error; beside a clear one it is not seen."""
    error = TensorError()
    error.add(np.full((1, 1, 100), 3e-5), np.full((1, 1, 100), 1e-5))
    assert error.value() == pytest.approx(2.0)
    error.add(np.full((1, 1, 100), 0.81), np.full((1, 1, 100), 0.8))
    assert error.value() == pytest.approx(0.0125, rel=1e-3)


def test_one_picture_of_many_that_is_not_finite_decides() -> None:
    error = TensorError()
    error.add(np.array([[np.inf]]), np.array([[1.0]]))
    error.add(np.array([[1.0]]), np.array([[1.0]]))
    assert error.value() == np.inf


@pytest.mark.parametrize("task", list(Task))
def test_every_task_has_limits_that_grow_with_the_loss_of_precision(task: Task) -> None:
    exact, half, int8 = (limits_for(task, precision) for precision in (Precision.FP32, Precision.FP16, Precision.INT8))
    assert exact.tensor_error < half.tensor_error < int8.tensor_error < 0.2
    if task is Task.CLASSIFY:
        assert exact.probability < half.probability < int8.probability < 0.2
    else:
        assert exact.box_px_median < half.box_px_median < int8.box_px_median < 3
        assert exact.score_error < half.score_error < int8.score_error < 0.5


def test_tensor_error_sees_wrong_scores_beside_right_coordinates() -> None:
    wrong = raw()
    wrong[:, 2:] = 0
    assert tensor_error(wrong, raw()) == 1.0


def test_an_output_that_is_all_zero_on_both_sides_is_equal() -> None:
    assert tensor_error(np.zeros((1, 300, 6)), np.zeros((1, 300, 6))) == 0.0


def test_probabilities_are_one_channel() -> None:
    expected = np.array([[0.7, 0.2, 0.1]])
    assert tensor_error(np.array([[0.7, 0.1, 0.2]]), expected) == pytest.approx(0.1414 / 0.7348, rel=1e-3)


def test_row_scores_do_not_mind_rows_that_changed_places() -> None:
    rows = RANDOM.uniform(0, 1, (1, 5, 6))
    assert np.array_equal(row_scores(rows), row_scores(rows[:, [1, 0, 2, 4, 3]]))


def found(
    boxes: Sequence[Sequence[float]], confidence: float = 0.9, classes: list[int] | None = None, **shapes: object
) -> Result:
    n = len(boxes)
    detections = Detections(
        xyxy=np.array(boxes, np.float32).reshape(n, 4),
        confidence=np.full(n, confidence, np.float32),
        class_id=np.array(classes or [0] * n, np.int64),
        **shapes,  # type: ignore[arg-type]
    )
    return Result(Task.DETECT, (480, 640), SPEED, detections)


BOXES: list[list[float]] = [[10, 10, 110, 110], [200, 200, 300, 260], [400, 50, 500, 150]]


@pytest.mark.parametrize(
    ("actual", "failure"),
    [
        pytest.param(found(BOXES), None, id="equal"),
        pytest.param(found(BOXES[::-1]), None, id="another-order"),
        pytest.param(found([[x + 0.3 for x in box] for box in BOXES]), None, id="a-third-of-a-pixel"),
        pytest.param(found([[x + 5 for x in box] for box in BOXES]), "boxes moved", id="five-pixels"),
        pytest.param(found(BOXES[:2]), "objects lost", id="one-lost"),
        pytest.param(found([*BOXES, [500, 300, 600, 400]]), "objects lost", id="one-too-many"),
        pytest.param(found(BOXES, classes=[0, 0, 1]), "objects lost", id="another-class"),
        pytest.param(found([]), "objects lost", id="none"),
        pytest.param(found(BOXES, confidence=0.7), "confidence changed", id="less-sure"),
    ],
)
def test_detections_are_judged(actual: Result, failure: str | None) -> None:
    agreement = Agreement()
    agreement.add_detections(actual, found(BOXES), gain=1.0, clear=0.3)
    failures = " ".join(agreement.failures(FP16))
    assert failures == "" if failure is None else failure in failures


def test_an_object_near_the_threshold_may_be_seen_by_one_side_alone() -> None:
    agreement = Agreement()
    agreement.add_detections(found([]), found(BOXES, confidence=0.27), gain=1.0, clear=0.3)
    assert agreement.lost == 0


def test_distances_are_in_pixels_of_the_input() -> None:
    agreement = Agreement()
    agreement.add_detections(found([[0, 0, 4004, 4000]]), found([[0, 0, 4000, 4000]]), gain=0.16, clear=0.3)
    assert agreement.figures()["box_px_p95"] == pytest.approx(0.64, abs=1e-3)


def test_keypoints_count_where_they_are_seen() -> None:
    keypoints = np.array([[[20, 20, 0.9], [50, 50, 0.1]]], np.float32)
    moved = keypoints.copy()
    moved[0, 0, :2] += [3, 4]
    moved[0, 1, :2] += 100
    agreement = Agreement()
    agreement.add_detections(
        found(BOXES[:1], keypoints=moved), found(BOXES[:1], keypoints=keypoints), gain=1.0, clear=0.3
    )
    assert agreement.keypoints == [5.0]


def test_masks_are_compared_where_they_stand() -> None:
    square = np.ones((10, 10), bool)
    agreement = Agreement()
    for x, areas in ((10, (100, 100)), (15, (50, 150))):
        agreement.add_detections(
            found(BOXES[:1], masks=(Mask(square, x, 10),)),
            found(BOXES[:1], masks=(Mask(square, 10, 10),)),
            gain=1.0,
            clear=0.3,
        )
        assert agreement.masks[-1] == areas
    assert agreement.figures()["mask_iou"] == pytest.approx(150 / 250)


@pytest.mark.parametrize(
    ("actual", "changed"),
    [
        pytest.param([0.69, 0.21, 0.1], 0, id="same-winner"),
        pytest.param([0.1, 0.8, 0.1], 1, id="another-winner"),
    ],
)
def test_classes_are_judged(actual: list[float], changed: int) -> None:
    agreement = Agreement()
    agreement.add_probs(np.array(actual, np.float32), np.array([0.7, 0.2, 0.1], np.float32))
    assert bool(agreement.failures(FP16)) == bool(changed)


def test_a_tie_may_fall_either_way() -> None:
    agreement = Agreement()
    agreement.add_probs(np.array([0.499, 0.501], np.float32), np.array([0.501, 0.499], np.float32))
    assert agreement.failures(FP16) == []


def test_of_many_objects_one_may_go_by_chance() -> None:
    many = [[100.0 * x, 100.0 * y, 100.0 * x + 80, 100.0 * y + 80] for x in range(5) for y in range(5)]
    for lost, failed in ((1, False), (2, True)):
        agreement = Agreement()
        agreement.add_detections(found(many[lost:]), found(many), gain=1.0)
        assert bool(agreement.failures(FP16)) == failed


@pytest.mark.parametrize(
    ("task", "layout", "groups"),
    [
        pytest.param(Task.DETECT, Layout(Head.RAW, 2, 0), {"boxes": 4, "scores": 2}, id="detect"),
        pytest.param(Task.OBB, Layout(Head.RAW, 3, 1), {"boxes": 4, "scores": 3, "angles": 1}, id="obb"),
        pytest.param(
            Task.SEGMENT, Layout(Head.RAW, 1, 32), {"boxes": 4, "scores": 1, "mask coefficients": 32}, id="segment"
        ),
        pytest.param(
            Task.POSE,
            Layout(Head.RAW, 1, 51, (17, 3)),
            {"boxes": 4, "scores": 1, "keypoints": 34, "keypoint confidences": 17},
            id="pose",
        ),
        pytest.param(
            Task.POSE, Layout(Head.RAW, 1, 10, (5, 2)), {"boxes": 4, "scores": 1, "keypoints": 10}, id="pose-without"
        ),
    ],
)
def test_every_channel_is_judged_in_its_group(task: Task, layout: Layout, groups: dict[str, int]) -> None:
    found_groups = channel_groups(layout, task)
    assert {name: len(channels) for name, channels in found_groups.items()} == groups
    every = sorted(channel for channels in found_groups.values() for channel in channels)
    assert every == list(range(4 + layout.classes + layout.extra))


@pytest.mark.parametrize(
    ("angle", "failed"),
    [pytest.param(0.5, False, id="equal"), pytest.param(-0.5, True, id="negated")],
)
def test_the_angle_of_a_rotated_box_is_judged(angle: float, failed: bool) -> None:
    def turned(by: float) -> Result:
        return found(BOXES[:1], xywhr=np.array([[60, 60, 90, 30, by]], np.float32))

    agreement = Agreement()
    agreement.add_detections(turned(angle), turned(0.5), gain=1.0)
    assert bool(agreement.failures(FP16)) == failed


def test_the_confidence_of_keypoints_is_judged() -> None:
    keypoints = np.array([[[20, 20, 0.9], [50, 50, 0.8]]], np.float32)
    agreement = Agreement()
    silent = keypoints * np.array([1, 1, 0], np.float32)
    agreement.add_detections(found(BOXES[:1], keypoints=silent), found(BOXES[:1], keypoints=keypoints), gain=1.0)
    assert agreement.failures(FP16)
