"""
True answers in Ultralytics' text form: one file a picture, one line a thing, a class number and then, as parts of
the picture's width and height: `cx cy w h` (detect), that and `x y [v]` a keypoint (pose), a polygon's `x y` …
(segment), four corners (obb). For classification the name of a picture's folder is its class.
Source: the dataset pages of docs.ultralytics.com.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from app.errors import SourceError
from app.types import Detections, FloatArray, Mask, Task

_Row = npt.NDArray[np.float64]


def read_labels(path: Path, task: Task, image_hw: tuple[int, int], keypoints: int = 0) -> Detections:
    """
    Read one picture's label file; a picture without a file, or with an empty one, shows nothing.

    Raises:
        SourceError: the file cannot be read, or a line is not of the task's form.
    """
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        return parse_labels(text, task, image_hw, keypoints)
    except (OSError, ValueError) as error:
        raise SourceError(
            f"{path} is no label file for {task.value}: {error}",
            hint="Each line is a class number and numbers from 0 to 1, as Ultralytics' dataset pages show.",
        ) from error


def parse_labels(text: str, task: Task, image_hw: tuple[int, int], keypoints: int = 0) -> Detections:
    """
    The things of one picture in its pixels, with confidence 1; `keypoints` is how many a pose has.

    A keypoint's third number is its visibility: 0 not labelled, 1 covered, 2 seen.

    Raises:
        ValueError: a line is not of the task's form.
    """
    rows = [np.array(line.split(), np.float64) for line in text.splitlines() if line.strip()]
    class_id = np.array([row[0] for row in rows], np.int64)
    confidence = np.ones(len(rows), np.float32)
    size = np.array([image_hw[1], image_hw[0]], np.float64)
    if task is Task.OBB:
        corners = [_pairs(row[1:], 4) * size for row in rows]
        xywhr = np.array([_rectangle(four) for four in corners], np.float32).reshape(-1, 5)
        return Detections(_around(corners), confidence, class_id, xywhr=xywhr)
    if task is Task.SEGMENT:
        polygons = [_pairs(row[1:], len(row) // 2) * size for row in rows]
        masks = tuple(_bitmap(polygon, image_hw) for polygon in polygons)
        return Detections(_around(polygons), confidence, class_id, masks=masks)
    boxes = [_box(row[1:5], size) for row in rows]
    xyxy = np.array(boxes, np.float32).reshape(-1, 4)
    points = None
    if task is Task.POSE:
        shown = [_keypoints(row[5:], keypoints, size) for row in rows]
        points = np.array(shown, np.float32).reshape(-1, keypoints, 3)
    return Detections(xyxy, confidence, class_id, keypoints=points)


def class_of_folder(picture: Path, names: Mapping[int, str]) -> int:
    """
    The class of a classification picture: the name of its folder, or the folder's number.

    Raises:
        SourceError: the folder names no class of the model.
    """
    folder = picture.parent.name
    for class_id, name in names.items():
        if folder in (name, str(class_id)):
            return class_id
    raise SourceError(
        f"{picture} lies in the folder {folder!r}, which is no class of this model.",
        hint=f"The classes are {', '.join(names.values())}.",
    )


def _pairs(values: _Row, count: int) -> _Row:
    if count < 3 or len(values) != 2 * count:
        raise ValueError(f"{len(values)} numbers after the class make no polygon")
    return values.reshape(count, 2)


def _box(values: _Row, size: _Row) -> _Row:
    if len(values) != 4:
        raise ValueError(f"{len(values)} numbers after the class make no box")
    centre, extent = values[:2] * size, values[2:] * size
    return np.concatenate([centre - extent / 2, centre + extent / 2])


def _keypoints(values: _Row, count: int, size: _Row) -> _Row:
    if count == 0 or len(values) not in (2 * count, 3 * count):
        raise ValueError(f"{len(values)} numbers after the box make no {count} keypoints")
    points = values.reshape(count, -1)
    # Without a visibility, Ultralytics takes a keypoint at the origin for one that is not labelled.
    seen = points[:, 2:] if points.shape[1] == 3 else 2.0 * points.any(axis=1, keepdims=True)
    return np.concatenate([points[:, :2] * size, seen], axis=1)


def _around(shapes: list[_Row]) -> FloatArray:
    boxes = [np.concatenate([shape.min(0), shape.max(0)]) for shape in shapes]
    return np.array(boxes, np.float32).reshape(-1, 4)


def _rectangle(corners: _Row) -> tuple[float, ...]:
    """The smallest rectangle around the corners: centre, width, height, angle in radians."""
    import cv2

    (x, y), (width, height), degrees = cv2.minAreaRect(corners.astype(np.float32))
    return x, y, width, height, float(np.radians(degrees))


def _bitmap(polygon: _Row, image_hw: tuple[int, int]) -> Mask:
    import cv2

    corners = polygon.astype(np.int32)
    x, y, width, height = cv2.boundingRect(corners)
    bitmap = np.zeros((height, width), np.uint8)
    cv2.fillPoly(bitmap, [corners - (x, y)], 1)
    left, top = max(0, -x), max(0, -y)
    inside = bitmap[top : image_hw[0] - y, left : image_hw[1] - x]
    return Mask(inside.astype(bool), x + left, y + top)
