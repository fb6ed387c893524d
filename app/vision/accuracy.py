"""
How right detections are: mean average precision as COCO defines it.

Detections of a class, surest first, each take the free true thing that they resemble most, if that is at least
a threshold; precision, made monotonic, is averaged over recall 0, 0.01 … 1, then over classes, and for mAP50-95
over the thresholds 0.5, 0.55 … 0.95. Source: pycocotools' `cocoeval.py` (`evaluateImg`, `accumulate`), with no
crowds and no area ranges. Precision is interpolated at COCO's 101 recalls.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from app.types import BoolArray, Detections, FloatArray, IntArray, Mask, Task

THRESHOLDS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0, 1, 101)
_MOST = 100  # detections a picture and class that count

# Each keypoint's tolerance as a part of the object's size, from COCO's keypoint evaluation.
_PERSON_SIGMAS = np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1000
_BODY_IN_BOX = 0.53  # how much of its box a body fills: Ultralytics' stand-in for COCO's segment area

Similarity = Callable[[Detections, Detections], FloatArray]
"""(found, true) -> (found, true) from 0, unlike, to 1, the same."""


@dataclass(frozen=True)
class Accuracy:
    map50: float
    map50_95: float


def similarity_for(task: Task) -> Similarity:
    """What a task's detections are compared by; boxes where a task has no measure of its own."""
    measures: dict[Task, Similarity] = {
        Task.SEGMENT: mask_iou,
        Task.POSE: keypoint_similarity,
        Task.OBB: rotated_iou,
    }
    return measures.get(task, box_iou)


def mean_average_precision(pictures: Sequence[tuple[Detections, Detections]], similarity: Similarity) -> Accuracy:
    """Score (found, true) pairs, one a picture. Classes that no picture shows do not count; none at all is NaN."""
    classes = sorted({int(c) for _, true in pictures for c in true.class_id})
    if not classes:
        return Accuracy(float("nan"), float("nan"))
    by_class = np.array([_class_precision(pictures, class_id, similarity) for class_id in classes])
    return Accuracy(float(by_class[:, 0].mean()), float(by_class.mean()))


def top1_accuracy(probs: Sequence[FloatArray], true: Sequence[int]) -> float:
    """The part of the pictures whose likeliest class is the true one."""
    return float(np.mean([int(p.argmax()) == t for p, t in zip(probs, true, strict=True)]))


def average_precision(confidence: FloatArray, right: BoolArray, true_count: int) -> float:
    """The 101-point average precision of one class at one threshold; `right` says which detections match."""
    order = np.argsort(-confidence, kind="mergesort")
    hits = np.cumsum(right[order])
    recall = hits / true_count
    precision = hits / np.arange(1, len(hits) + 1)
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, _RECALLS, side="left")
    return float(np.append(falling, 0.0)[np.minimum(at, len(falling))].mean())


def _class_precision(
    pictures: Sequence[tuple[Detections, Detections]], class_id: int, similarity: Similarity
) -> list[float]:
    """One class's average precision at each threshold."""
    confidences, rights, count = [], [], 0
    for found, true in pictures:
        kept = np.flatnonzero(found.class_id == class_id)
        kept = kept[np.argsort(-found.confidence[kept], kind="mergesort")][:_MOST]
        sought = np.flatnonzero(true.class_id == class_id)
        alike = similarity(select(found, kept), select(true, sought))
        confidences.append(found.confidence[kept])
        rights.append(np.array([_match(alike, t) for t in THRESHOLDS]).reshape(len(THRESHOLDS), len(kept)))
        count += len(sought)
    confidence, right = np.concatenate(confidences), np.concatenate(rights, axis=1)
    return [average_precision(confidence, row, count) for row in right]


def _match(alike: FloatArray, threshold: float) -> BoolArray:
    """Which detections, surest first, find a true thing that no surer one has taken."""
    free = np.ones(alike.shape[1], bool)
    right = np.zeros(alike.shape[0], bool)
    for i, row in enumerate(alike):
        candidates = np.where(free, row, -1.0)
        if candidates.size and candidates.max() >= threshold:
            free[candidates.argmax()] = False
            right[i] = True
    return right


def select(detections: Detections, index: IntArray | BoolArray) -> Detections:
    """Some of the detections, by indices or a boolean mask."""
    rows = np.arange(len(detections))[index]
    return Detections(
        detections.xyxy[rows],
        detections.confidence[rows],
        detections.class_id[rows],
        None if detections.keypoints is None else detections.keypoints[rows],
        None if detections.masks is None else tuple(detections.masks[i] for i in rows),
        None if detections.xywhr is None else detections.xywhr[rows],
    )


def box_iou(found: Detections, true: Detections) -> FloatArray:
    """Intersection over union of upright boxes."""
    first, second = found.xyxy[:, None], true.xyxy[None]
    overlap = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2])
    shared = overlap.clip(0).prod(-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).prod(-1) for boxes in (first, second)]
    iou: FloatArray = shared / np.maximum(areas[0] + areas[1] - shared, 1e-9)
    return iou


def mask_iou(found: Detections, true: Detections) -> FloatArray:
    """Intersection over union of masks, pixel by pixel."""
    if found.masks is None or true.masks is None:
        raise ValueError("mask_iou needs detections with masks")
    return _pairwise(found.masks, true.masks, _mask_pair)


def _mask_pair(first: Mask, second: Mask) -> float:
    left, top = max(first.x, second.x), max(first.y, second.y)
    right = min(first.x + first.bitmap.shape[1], second.x + second.bitmap.shape[1])
    bottom = min(first.y + first.bitmap.shape[0], second.y + second.bitmap.shape[0])
    if right <= left or bottom <= top:
        return 0.0
    parts = [m.bitmap[top - m.y : bottom - m.y, left - m.x : right - m.x] for m in (first, second)]
    shared = np.count_nonzero(parts[0] & parts[1])
    either = np.count_nonzero(first.bitmap) + np.count_nonzero(second.bitmap) - shared
    return shared / either if either else 0.0


def rotated_iou(found: Detections, true: Detections) -> FloatArray:
    """Intersection over union of rotated rectangles, exact: not the Gaussian stand-in that suppression uses."""
    if found.xywhr is None or true.xywhr is None:
        raise ValueError("rotated_iou needs detections with oriented boxes")
    return _pairwise(list(found.xywhr), list(true.xywhr), _rotated_pair)


def _rotated_pair(first: FloatArray, second: FloatArray) -> float:
    import cv2

    boxes = [((float(b[0]), float(b[1])), (float(b[2]), float(b[3])), float(np.degrees(b[4]))) for b in (first, second)]
    _, corners = cv2.rotatedRectangleIntersection(*boxes)
    if corners is None or len(corners) < 3:
        return 0.0
    shared = float(cv2.contourArea(cv2.convexHull(corners)))
    either = float(first[2] * first[3] + second[2] * second[3]) - shared
    return shared / either if either > 0 else 0.0


def keypoint_similarity(found: Detections, true: Detections) -> FloatArray:
    """
    Object keypoint similarity: exp(-d² / (2 s² k²)) averaged over labelled keypoints, k = 2 sigma, s² the area.

    17 keypoints have COCO's sigmas, any other number n has 1/n each, as in Ultralytics' validation.
    """
    if found.keypoints is None or true.keypoints is None:
        raise ValueError("keypoint_similarity needs detections with keypoints")
    count = true.keypoints.shape[1]
    sigmas = _PERSON_SIGMAS if count == len(_PERSON_SIGMAS) else np.full(count, 1 / count)
    area = (true.xyxy[:, 2:] - true.xyxy[:, :2]).prod(1) * _BODY_IN_BOX
    apart = ((found.keypoints[:, None, :, :2] - true.keypoints[None, :, :, :2]) ** 2).sum(-1)
    near = np.exp(-apart / (2 * np.maximum(area, 1e-9)[None, :, None] * (2 * sigmas) ** 2))
    labelled = true.keypoints[..., 2] > 0
    similarity: FloatArray = (near * labelled).sum(-1) / np.maximum(labelled.sum(-1), 1)
    return similarity


def _pairwise(found: Sequence[object], true: Sequence[object], pair: Callable[..., float]) -> FloatArray:
    table = [[pair(first, second) for second in true] for first in found]
    return np.array(table, np.float32).reshape(len(found), len(true))
