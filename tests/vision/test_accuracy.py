import numpy as np
import numpy.typing as npt
import pytest

from app.types import Detections, FloatArray, Mask, Task
from app.vision.accuracy import (
    average_precision,
    box_iou,
    keypoint_similarity,
    mask_iou,
    mean_average_precision,
    rotated_iou,
    select,
    similarity_for,
    top1_accuracy,
)


def boxes(xyxy: npt.ArrayLike, confidence: npt.ArrayLike = (), class_id: npt.ArrayLike = ()) -> Detections:
    rows = np.array(xyxy, np.float32).reshape(-1, 4)
    sure = np.array(confidence, np.float32) if np.size(confidence) else np.ones(len(rows), np.float32)
    classes = np.array(class_id, np.int64) if np.size(class_id) else np.zeros(len(rows), np.int64)
    return Detections(rows, sure, classes)


def test_what_is_found_exactly_scores_one() -> None:
    true = boxes([[0, 0, 10, 10], [20, 20, 40, 40]], class_id=[0, 1])

    accuracy = mean_average_precision([(true, true)], box_iou)

    assert [accuracy.map50, accuracy.map50_95] == pytest.approx([1, 1])


def test_nothing_found_scores_nought() -> None:
    assert mean_average_precision([(boxes([]), boxes([[0, 0, 9, 9]]))], box_iou).map50 == 0


def test_nothing_to_find_has_no_score() -> None:
    assert np.isnan(mean_average_precision([(boxes([[0, 0, 9, 9]]), boxes([]))], box_iou).map50)


def test_the_interpolation_has_101_points() -> None:
    """Right, wrong, right of two: precision 1 up to recall 0.5 (51 points), 2/3 beyond (50 points)."""
    score = average_precision(np.array([0.9, 0.8, 0.7], np.float32), np.array([True, False, True]), 2)

    assert score == pytest.approx((51 * 1 + 50 * 2 / 3) / 101)


def test_what_is_found_twice_counts_once() -> None:
    true = boxes([[0, 0, 10, 10]])
    found = boxes([[0, 0, 10, 10], [0, 0, 10, 10]], [0.9, 0.8])
    doubled = boxes([[0, 0, 10, 10], [50, 50, 60, 60]])

    assert mean_average_precision([(found, true)], box_iou).map50 == pytest.approx(1)
    assert mean_average_precision([(found, doubled)], box_iou).map50 == pytest.approx(51 / 101)


def test_a_box_counts_up_to_the_threshold_that_it_reaches() -> None:
    """An IoU of 0.8 passes 0.5 to 0.75 for sure: six or seven of ten thresholds, as floats fall."""
    accuracy = mean_average_precision([(boxes([[0, 0, 10, 8.2]]), boxes([[0, 0, 10, 10]]))], box_iou)

    assert accuracy.map50 == pytest.approx(1)
    assert accuracy.map50_95 == pytest.approx(0.7)


def test_a_class_that_was_never_shown_does_not_count() -> None:
    true = boxes([[0, 0, 10, 10]])
    found = boxes([[0, 0, 10, 10], [0, 0, 10, 10]], [0.5, 0.9], [0, 3])

    assert mean_average_precision([(found, true)], box_iou).map50 == pytest.approx(1)


def test_masks_overlap_pixel_by_pixel() -> None:
    square = Mask(np.ones((10, 10), bool), 5, 5)
    moved = Mask(np.ones((10, 10), bool), 10, 5)
    far = Mask(np.ones((10, 10), bool), 50, 5)
    three = boxes(np.zeros((3, 4)))
    found = Detections(three.xyxy, three.confidence, three.class_id, masks=(square, moved, far))

    assert mask_iou(found, found)[0] == pytest.approx([1, 50 / 150, 0])


def test_turned_boxes_overlap_exactly() -> None:
    shapes = np.array([[50, 50, 20, 20, 0], [50, 50, 20, 20, np.pi / 4], [90, 50, 20, 20, 0]], np.float32)
    three = boxes(np.zeros((3, 4)))
    found = Detections(three.xyxy, three.confidence, three.class_id, xywhr=shapes)
    octagon = 400 * 2 * (np.sqrt(2) - 1)

    assert rotated_iou(found, found)[0] == pytest.approx([1, octagon / (800 - octagon), 0], abs=1e-4)


def test_keypoints_fall_off_with_distance() -> None:
    """One of two labelled points is off by d, the third has no label."""
    true_points = np.array([[[10, 10, 2], [20, 20, 1], [0, 0, 0]]], np.float32)
    found_points = true_points + np.array([[0, 0, 0], [3, 4, 0], [9, 9, 0]], np.float32)
    one = boxes([[0, 0, 40, 40]])
    true = Detections(one.xyxy, one.confidence, one.class_id, keypoints=true_points)
    found = Detections(one.xyxy, one.confidence, one.class_id, keypoints=found_points)
    expected = (1 + np.exp(-25 / (2 * 1600 * 0.53 * (2 / 3) ** 2))) / 2

    assert keypoint_similarity(found, true) == pytest.approx(expected)


def test_every_task_has_its_measure() -> None:
    measures = {task: similarity_for(task) for task in Task}

    assert measures[Task.DETECT] is box_iou
    assert len(set(measures.values())) == 4


def test_likeliest_class() -> None:
    probs: list[FloatArray] = [np.array(p, np.float32) for p in ([0.1, 0.9], [0.6, 0.4], [0.3, 0.7])]

    assert top1_accuracy(probs, [1, 1, 1]) == pytest.approx(2 / 3)


def test_select_keeps_everything_that_belongs_together() -> None:
    mask = Mask(np.ones((1, 1), bool), 0, 0)
    found = Detections(
        np.arange(8, dtype=np.float32).reshape(2, 4),
        np.array([0.9, 0.8], np.float32),
        np.array([3, 4]),
        keypoints=np.zeros((2, 5, 3), np.float32),
        masks=(mask, mask),
        xywhr=np.zeros((2, 5), np.float32),
    )

    assert select(found, np.array([False, True])).class_id.tolist() == [4]


def test_the_score_is_that_of_supervision() -> None:
    """On boxes shaken at random, of three classes, some missed and some invented."""
    supervision = pytest.importorskip("supervision")
    from supervision.metrics import MeanAveragePrecision

    rng = np.random.default_rng(7)
    pairs = [_shaken(rng) for _ in range(30)]

    def theirs(d: Detections) -> object:
        return supervision.Detections(xyxy=d.xyxy, confidence=d.confidence, class_id=d.class_id.astype(int))

    metric = MeanAveragePrecision()
    metric.update([theirs(found) for found, _ in pairs], [theirs(true) for _, true in pairs])
    expected = metric.compute()
    ours = mean_average_precision(pairs, box_iou)

    assert 0.3 < ours.map50 < 0.99
    assert ours.map50 == pytest.approx(expected.map50, abs=1e-6)
    assert ours.map50_95 == pytest.approx(expected.map50_95, abs=1e-6)


def _shaken(rng: np.random.Generator) -> tuple[Detections, Detections]:
    corner, extent = rng.uniform(0, 500, (12, 2)), rng.uniform(30, 150, (12, 2))
    xyxy = np.concatenate([corner, corner + extent], axis=1)
    classes = rng.integers(0, 3, 12)
    true = boxes(xyxy[:9], class_id=classes[:9])
    found = boxes(xyxy[2:] + rng.normal(0, 6, (10, 4)), rng.permutation(100)[:10] / 100, classes[2:])
    return found, true
