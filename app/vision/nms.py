"""
Suppression: of boxes that show the same object, the surest stays.

Both functions work in float32 on boxes moved apart by class, since decisions near the threshold hang on the
last bits, and models are validated with exactly this arithmetic. They return at most `limit` indices, best first;
equal scores keep their order.
"""

from collections.abc import Iterator

import numpy as np

from app.types import BoolArray, FloatArray, IntArray

_CLASS_DISTANCE = np.float32(7680)  # pixels: wider than any input, so that no two classes ever overlap
_CHUNK = 256  # boxes compared at once: large enough for NumPy, small enough for the cache
_EPS = np.float32(1e-7)
_MAX_CANDIDATES = 30000  # the best ones: as many as Ultralytics compares


def suppress_boxes(xyxy: FloatArray, scores: FloatArray, class_ids: IntArray, iou: float, limit: int) -> IntArray:
    """Greedy suppression per class: a box goes when it overlaps a kept one by more than `iou`."""
    order = _best_first(scores)
    apart = xyxy[order]
    apart += (class_ids[order].astype(np.float32) * _CLASS_DISTANCE)[:, None]
    boxes = apart.T
    if len(order) <= _CHUNK:  # of nearly every picture
        return order[_greedy(_overlap(boxes, boxes, iou))][:limit]
    kept: IntArray = np.empty(0, np.int64)
    for start in range(0, len(order), _CHUNK):
        chunk = np.arange(start, min(start + _CHUNK, len(order)))
        if len(kept):
            chunk = chunk[~_overlap(boxes[:, kept], boxes[:, chunk], iou).any(axis=0)]
        candidates = boxes[:, chunk]
        kept = np.concatenate((kept, chunk[_greedy(_overlap(candidates, candidates, iou))]))
        if len(kept) >= limit:
            break
    return order[kept[:limit]]


def suppress_rotated(xywhr: FloatArray, scores: FloatArray, class_ids: IntArray, iou: float, limit: int) -> IntArray:
    """
    Suppression of rotated boxes per class: a box goes when any surer one, kept or not, overlaps it by more than `iou`.

    Overlap is the probabilistic IoU of the boxes seen as Gaussians: one minus their Hellinger distance
    (Llerena et al. 2021, "Gaussian Bounding Boxes and Probabilistic Intersection-over-Union", arXiv:2106.06072).
    """
    order = _best_first(scores)
    boxes = xywhr[order]
    classes = class_ids[order]
    boxes[:, :2] += (classes.astype(np.float32) * _CLASS_DISTANCE)[:, None]
    gaussians = _gaussians(boxes)
    kept = np.ones(len(boxes), np.bool_)
    for start in range(0, len(boxes), _CHUNK):
        stop = min(start + _CHUNK, len(boxes))
        for better, worse in _close_pairs(boxes[:stop], classes[:stop], start, iou):
            overlaps = _gaussian_overlap(gaussians[:, better], gaussians[:, worse])
            kept[worse[overlaps > np.float32(iou)]] = False
        if np.count_nonzero(kept[:stop]) >= limit:
            return order[:stop][kept[:stop]][:limit]
    return order[kept][:limit]


def _best_first(scores: FloatArray) -> IntArray:
    return np.argsort(-scores, kind="stable")[:_MAX_CANDIDATES]


def _greedy(overlap: BoolArray) -> BoolArray:
    """Which of the boxes, best first, survive each other; `overlap` is (n, n)."""
    alive = np.ones(len(overlap), np.bool_)
    better, worse = overlap.nonzero()
    for index in dict.fromkeys(better[better < worse].tolist()):
        if alive[index]:
            alive[index + 1 :] &= ~overlap[index, index + 1 :]
    return alive


def _overlap(first: FloatArray, second: FloatArray, iou: float) -> BoolArray:
    """(4, n) and (4, m) → (n, m): where the boxes overlap by more than `iou`; two boxes without any area do not."""
    sides = np.minimum(first[2:, :, None], second[2:, None, :])
    sides -= np.maximum(first[:2, :, None], second[:2, None, :])
    np.maximum(sides, np.float32(0), out=sides)
    shared = sides[0] * sides[1]
    areas = _areas(first)
    union = areas[:, None] + (areas if second is first else _areas(second))
    union -= shared
    with np.errstate(divide="ignore", invalid="ignore"):
        overlaps: BoolArray = np.divide(shared, union, out=union) > np.float32(iou)
    return overlaps


def _areas(corners: FloatArray) -> FloatArray:
    areas: FloatArray = (corners[2] - corners[0]) * (corners[3] - corners[1])
    return areas


def _close_pairs(boxes: FloatArray, classes: IntArray, start: int, iou: float) -> Iterator[tuple[IntArray, IntArray]]:
    """
    Pairs (better, worse) of one class, the worse from `start` on, near enough to overlap by more than `iou`.

    An overlap above t needs a Bhattacharyya distance below b = −ln(1 − (1 − t)²), and centres d apart give at
    least 3d² / (s₁² + s₂²), s being the longer sides. Twice the bound leaves room for rounding; boxes thinner
    than a pixel, where ε weighs in, are always compared.
    """
    reach = np.float32(2 * max(-np.log(1 - (1 - iou) ** 2 + 1e-7), 1e-5) / 3)
    for class_id in np.unique(classes[start:]):
        rows = np.flatnonzero(classes == class_id)
        columns = rows[np.searchsorted(rows, start) :]
        x, y, width, height = boxes[rows, :4].T
        size = np.maximum(width, height) ** 2 * reach
        size[np.minimum(width, height) < 1] = np.inf
        part = slice(-len(columns), None)
        close = (x[:, None] - x[part]) ** 2 + (y[:, None] - y[part]) ** 2 <= size[:, None] + size[part]
        better, worse = np.divmod(np.flatnonzero(close), len(columns))
        earlier = rows[better] < columns[worse]
        yield rows[better[earlier]], columns[worse[earlier]]


def _gaussian_overlap(first: FloatArray, second: FloatArray) -> FloatArray:
    """Probabilistic IoU of n pairs of Gaussians (5, n): 1 − Hellinger distance, from Bhattacharyya's."""
    x1, y1, a1, b1, c1 = first
    x2, y2, a2, b2, c2 = second
    a, b, c, x, y = a1 + a2, b1 + b2, c1 + c2, x1 - x2, y1 - y2
    determinant = a * b - c * c
    near = (a * (y * y) + b * (x * x)) / (determinant + _EPS) * np.float32(0.25)
    near += c * -x * y / (determinant + _EPS) * np.float32(0.5)
    own = np.maximum(a1 * b1 - c1 * c1, np.float32(0)) * np.maximum(a2 * b2 - c2 * c2, np.float32(0))
    with np.errstate(divide="ignore", invalid="ignore"):  # a negative rest of rounding: no overlap
        alike = np.log(determinant / (np.float32(4) * np.sqrt(own) + _EPS) + _EPS) * np.float32(0.5)
    distance = np.clip(near + alike, _EPS, np.float32(100))
    overlap: FloatArray = np.float32(1) - np.sqrt(np.float32(1) - np.exp(-distance) + _EPS)
    return overlap


def _gaussians(xywhr: FloatArray) -> FloatArray:
    """Rotated boxes as (5, n): centre, variance along x and y, covariance; a side w has the variance w²/12."""
    long, short = (xywhr[:, 2:4] ** 2 / np.float32(12)).T
    cosine, sine = np.cos(xywhr[:, 4]), np.sin(xywhr[:, 4])
    cos2, sin2 = cosine * cosine, sine * sine
    variances = (long * cos2 + short * sin2, long * sin2 + short * cos2, (long - short) * cosine * sine)
    return np.stack((xywhr[:, 0], xywhr[:, 1], *variances))
