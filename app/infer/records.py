"""
A result as plain values for JSON: the same keys for every backend, and only those of the model's task.

Pixels have 2 decimals, confidences and radians 5, milliseconds 2. A number that is not finite becomes null:
JSON has no NaN, and a line that other programs cannot parse would be worse.
"""

import math
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import numpy as np

from app.infer.frame import Failure, Frame
from app.types import Detections, FloatArray, Mask, Result

TOP = 5
"""How many classes a classification names."""

_PIXEL_DECIMALS = 2
_FINE_DECIMALS = 5


def record_of(frame: Frame, result: Result, names: Mapping[int, str]) -> dict[str, Any]:
    record: dict[str, Any] = {
        "source": frame.source,
        "frame": frame.index,
        **_place_in_time(frame),
        "shape": [int(side) for side in result.shape],
        "task": result.task.value,
    }
    if result.detections is not None:
        detections = result.detections
        record["detections"] = [_detection(detections, row, names) for row in range(len(detections))]
    if result.probs is not None:
        record["probs"] = [
            _named(class_id, float(result.probs[class_id]), names) for class_id in top_classes(result.probs)
        ]
    speed = result.speed_ms
    record["speed_ms"] = {
        "preprocess": _number(speed.preprocess, 2),
        "inference": _number(speed.inference, 2),
        "postprocess": _number(speed.postprocess, 2),
    }
    return record


def _place_in_time(frame: Frame) -> dict[str, Any]:
    """Seconds from the beginning of a video, or the moment at which a live frame came; a picture has neither."""
    if frame.moment is not None:
        return {"time": utc(frame.moment)}
    return {} if frame.seconds is None else {"seconds": _number(frame.seconds, 3)}


def utc(moment: datetime) -> str:
    """2026-11-22T10:00:00.125Z"""
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def record_of_failure(failure: Failure) -> dict[str, Any]:
    return {"source": failure.source, "error": failure.error.message}


def name_of(class_id: int, names: Mapping[int, str]) -> str:
    """The model's own name of a class; its number where the model's table has a gap."""
    return names.get(class_id, str(class_id))


def top_classes(probs: FloatArray) -> list[int]:
    """The `TOP` most probable classes, best first; of equals the first."""
    return [int(class_id) for class_id in np.argsort(-probs, kind="stable")[:TOP]]


def track_of(detections: Detections, row: int) -> int | None:
    """The object's number within its source; None as long as it was seen in one frame only, or was not followed."""
    track = -1 if detections.track_id is None else int(detections.track_id[row])
    return None if track < 0 else track


def polygons_of(mask: Mask) -> list[list[int]]:
    """The outline of each part of a mask as x1, y1, x2, y2, …; a part of one or two pixels repeats its last point."""
    from app.vision.masks import mask_polygons

    return [_three_points(polygon.reshape(-1).tolist()) for polygon in mask_polygons(mask)]


def _three_points(points: list[int]) -> list[int]:
    """Readers of polygons (COCO's among them) refuse fewer than three points."""
    return points + points[-2:] * (3 - len(points) // 2)


def _detection(detections: Detections, row: int, names: Mapping[int, str]) -> dict[str, Any]:
    entry = _named(int(detections.class_id[row]), float(detections.confidence[row]), names)
    if detections.track_id is not None:
        entry["track_id"] = track_of(detections, row)
    entry["box"] = _numbers(detections.xyxy[row], _PIXEL_DECIMALS)
    if detections.keypoints is not None:
        entry["keypoints"] = [
            [*_numbers(point[:2], _PIXEL_DECIMALS), _number(float(point[2]), _FINE_DECIMALS)]
            for point in detections.keypoints[row]
        ]
    if detections.masks is not None:
        entry["mask"] = {"polygons": polygons_of(detections.masks[row])}
    if detections.xywhr is not None:
        *box, angle = detections.xywhr[row]
        entry["obb"] = [
            *(_number(float(value), _PIXEL_DECIMALS) for value in box),
            _number(float(angle), _FINE_DECIMALS),
        ]
    return entry


def _named(class_id: int, confidence: float, names: Mapping[int, str]) -> dict[str, Any]:
    return {
        "class_id": class_id,
        "class_name": name_of(class_id, names),
        "confidence": _number(confidence, _FINE_DECIMALS),
    }


def _numbers(values: FloatArray, decimals: int) -> list[float | None]:
    return [_number(value, decimals) for value in values.tolist()]


def _number(value: float, decimals: int) -> float | None:
    return round(value, decimals) if math.isfinite(value) else None
