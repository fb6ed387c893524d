"""Suppression against plain loops that can be read at a glance."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.types import FloatArray, IntArray
from app.vision.nms import suppress_boxes, suppress_rotated

SEEDS = st.integers(0, 2**32 - 1)


def _iou(first: FloatArray, second: FloatArray) -> np.float32:
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return np.float32(0)
    shared = width * height
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return np.float32(shared / (areas[0] + areas[1] - shared))


def _plain_nms(boxes: FloatArray, scores: FloatArray, classes: IntArray, iou: float) -> list[int]:
    kept: list[int] = []
    moved = boxes + classes[:, None].astype(np.float32) * np.float32(7680)
    for index in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if all(_iou(moved[index], moved[other]) <= np.float32(iou) for other in kept):
            kept.append(index)
    return kept


def _scene(seed: int, count: int, classes: int) -> tuple[FloatArray, FloatArray, IntArray]:
    """Boxes in clusters, so that many overlap, and scores of which some are equal."""
    random = np.random.default_rng(seed)
    centre = random.integers(1, 4, (count, 2)) * 100 + random.normal(0, 8, (count, 2))
    size = random.uniform(20, 90, (count, 2))
    boxes = np.concatenate((centre - size / 2, centre + size / 2), axis=1).astype(np.float32)
    scores = (random.integers(1, 50, count) / 50).astype(np.float32)
    return boxes, scores, random.integers(0, classes, count)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(0, 90), st.integers(1, 80), st.sampled_from([0.0, 0.3, 0.45, 0.7, 1.0]))
def test_it_keeps_what_the_plain_loop_keeps(seed: int, count: int, classes: int, iou: float) -> None:
    boxes, scores, class_ids = _scene(seed, count, classes)
    kept = suppress_boxes(boxes, scores, class_ids, iou, limit=300)
    assert kept.tolist() == _plain_nms(boxes, scores, class_ids, iou)


@pytest.mark.parametrize("count", [255, 256, 257, 700])
def test_chunks_know_of_each_other(count: int) -> None:
    boxes, scores, class_ids = _scene(1, count, 2)
    kept = suppress_boxes(boxes, scores, class_ids, 0.6, limit=1000)
    assert kept.tolist() == _plain_nms(boxes, scores, class_ids, 0.6)


@pytest.mark.parametrize(
    ("iou", "kept"),
    [
        pytest.param(0.49, [0], id="above the threshold it goes"),
        pytest.param(0.5, [0, 1], id="at the threshold it stays"),
    ],
)
def test_only_more_than_the_threshold_suppresses(iou: float, kept: list[int]) -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 5]], np.float32)  # IoU 0.5
    scores = np.array([0.9, 0.8], np.float32)
    assert suppress_boxes(boxes, scores, np.zeros(2, np.int64), iou, 300).tolist() == kept


def test_classes_do_not_suppress_each_other() -> None:
    boxes = np.array([[0, 0, 10, 10]] * 3, np.float32)
    scores = np.array([0.7, 0.9, 0.8], np.float32)
    assert suppress_boxes(boxes, scores, np.array([0, 1, 0]), 0.5, 300).tolist() == [1, 2]


def test_equal_scores_keep_their_order() -> None:
    boxes = np.array([[i * 20, 0, i * 20 + 10, 10] for i in range(6)], np.float32)
    scores = np.array([0.5, 0.9, 0.5, 0.9, 0.5, 0.9], np.float32)
    assert suppress_boxes(boxes, scores, np.zeros(6, np.int64), 0.5, 300).tolist() == [1, 3, 5, 0, 2, 4]


def test_the_limit_takes_the_best() -> None:
    boxes = np.array([[i * 20, 0, i * 20 + 10, 10] for i in range(600)], np.float32)
    scores = np.linspace(0.1, 0.9, 600).astype(np.float32)
    kept = suppress_boxes(boxes, scores, np.zeros(600, np.int64), 0.5, 7)
    assert kept.tolist() == list(range(599, 592, -1))


def test_boxes_without_area_suppress_nothing() -> None:
    boxes = np.array([[5, 5, 5, 5], [5, 5, 5, 5], [0, 0, 10, 10]], np.float32)
    scores = np.array([0.9, 0.8, 0.7], np.float32)
    assert suppress_boxes(boxes, scores, np.zeros(3, np.int64), 0.5, 300).tolist() == [0, 1, 2]


def _hellinger_iou(first: FloatArray, second: FloatArray) -> float:
    """The paper's formulas with matrices, in double precision."""
    covariances = []
    for _, _, width, height, angle in (first.astype(float), second.astype(float)):
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        covariances.append(turn @ np.diag([width**2 / 12, height**2 / 12]) @ turn.T)
    mean = (covariances[0] + covariances[1]) / 2
    apart = (first[:2] - second[:2]).astype(float)
    distance = apart @ np.linalg.inv(mean) @ apart / 8
    determinants = [np.linalg.det(matrix) for matrix in (mean, *covariances)]
    distance += 0.5 * math.log(determinants[0] / math.sqrt(determinants[1] * determinants[2]))
    return 1 - math.sqrt(max(0.0, 1 - math.exp(-distance)))


def _plain_rotated(boxes: FloatArray, scores: FloatArray, classes: IntArray, iou: float) -> list[int] | None:
    """None when a pair lies so near the threshold that rounding decides."""
    order = sorted(range(len(boxes)), key=lambda i: -scores[i])
    kept = []
    for place, index in enumerate(order):
        better = [other for other in order[:place] if classes[other] == classes[index]]
        overlaps = [_hellinger_iou(boxes[index], boxes[other]) for other in better]
        if any(abs(overlap - iou) < 2e-3 for overlap in overlaps):
            return None
        if not any(overlap > iou for overlap in overlaps):
            kept.append(index)
    return kept


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(0, 30), st.integers(1, 15), st.sampled_from([0.1, 0.3, 0.7, 0.9]))
def test_rotated_boxes_overlap_as_the_paper_says(seed: int, count: int, classes: int, iou: float) -> None:
    random = np.random.default_rng(seed)
    boxes = np.column_stack(
        (
            random.integers(1, 3, (count, 2)) * 100 + random.normal(0, 6, (count, 2)),
            random.uniform(2, 90, (count, 2)),
            random.uniform(-np.pi / 4, np.pi * 3 / 4, count),
        )
    ).astype(np.float32)
    scores = (random.permutation(count) / max(count, 1)).astype(np.float32)
    class_ids = random.integers(0, classes, count)
    expected = _plain_rotated(boxes, scores, class_ids, iou)
    if expected is not None:
        assert suppress_rotated(boxes, scores, class_ids, iou, 300).tolist() == expected


def test_a_suppressed_rotated_box_still_suppresses() -> None:
    """Each of three boxes in a row overlaps its neighbour only: greedy suppression would keep the third."""
    boxes = np.array([[100 + 12 * i, 100, 60, 20, 0] for i in range(3)], np.float32)
    overlaps = [_hellinger_iou(a, b) for a, b in pairwise(boxes)]
    assert min(overlaps) > 0.6 > _hellinger_iou(boxes[0], boxes[2])
    scores = np.array([0.9, 0.8, 0.7], np.float32)
    assert suppress_rotated(boxes, scores, np.zeros(3, np.int64), 0.6, 300).tolist() == [0]


def test_a_quarter_turn_with_swapped_sides_is_the_same_box() -> None:
    boxes = np.array([[50, 50, 40, 10, 0.3], [50, 50, 10, 40, 0.3 + np.pi / 2]], np.float32)
    scores = np.array([0.8, 0.9], np.float32)
    assert suppress_rotated(boxes, scores, np.zeros(2, np.int64), 0.9, 300).tolist() == [1]


@pytest.mark.parametrize("count", [254, 256, 258, 700])
def test_rotated_chunks_know_of_each_other(count: int) -> None:
    random = np.random.default_rng(2)
    boxes = np.column_stack((random.uniform(0, 4000, (count, 2)), np.full((count, 2), 30), np.zeros(count))).astype(
        np.float32
    )
    boxes[count // 2 :] = boxes[: count - count // 2]  # the later half repeats the earlier one
    scores = np.linspace(1, 0.1, count).astype(np.float32)
    kept = suppress_rotated(boxes, scores, np.zeros(count, np.int64), 0.95, limit=1000)
    assert kept.tolist() == list(range(count // 2))


@pytest.mark.parametrize("limit", [0, 1, 5, 400])
def test_the_limit_takes_the_best_rotated_boxes(limit: int) -> None:
    random = np.random.default_rng(4)
    boxes = np.column_stack((random.uniform(0, 300, (600, 2)), random.uniform(5, 40, (600, 2)), np.zeros(600)))
    scores, class_ids = random.random(600).astype(np.float32), random.integers(0, 3, 600)
    all_of_them = suppress_rotated(boxes.astype(np.float32), scores, class_ids, 0.3, limit=600)
    assert len(all_of_them) > 100
    some = suppress_rotated(boxes.astype(np.float32), scores, class_ids, 0.3, limit=limit)
    assert some.tolist() == all_of_them[:limit].tolist()
