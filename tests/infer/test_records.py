"""The JSON object of each task has just these keys."""

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import cv2
import numpy as np
import pytest

from app.infer.frame import Kind
from app.infer.records import polygons_of, record_of, record_of_failure
from app.types import Detections, Mask, Task
from tests.infer.doubles import NAMES, detections, failure, frame, result, result_of

COMMON = {"source", "frame", "shape", "task", "speed_ms"}
DETECTION = {"class_id", "class_name", "confidence", "box"}
EXTRA: dict[Task, set[str]] = {
    Task.DETECT: set(),
    Task.SEGMENT: {"mask"},
    Task.POSE: {"keypoints"},
    Task.OBB: {"obb"},
}


def _record(task: Task) -> dict[str, Any]:
    record = record_of(frame("größe.jpg"), result_of(task), NAMES)
    loaded: dict[str, Any] = json.loads(json.dumps(record, allow_nan=False))
    assert loaded == record
    return record


@pytest.mark.parametrize("task", list(EXTRA))
def test_an_object_has_the_keys_of_its_task_only(task: Task) -> None:
    record = _record(task)

    assert set(record) == COMMON | {"detections"}
    assert [set(detection) for detection in record["detections"]] == [DETECTION | EXTRA[task]] * 2


def test_values_of_a_detection() -> None:
    record = _record(Task.DETECT)

    assert record["source"] == "größe.jpg"
    assert record["frame"] == 0
    assert record["shape"] == [100, 120]
    assert record["task"] == "detect"
    assert record["speed_ms"] == {"preprocess": 1.23, "inference": 50.01, "postprocess": 0.5}
    assert record["detections"][1] == {
        "class_id": 2,
        "class_name": "Größe",
        "confidence": 0.5,
        "box": [40.13, 40.0, 90.0, 95.0],
    }
    assert record["detections"][0]["confidence"] == 0.91234  # five decimals of 0.912345 as a float32


def test_a_frame_of_a_video_has_seconds_and_one_of_a_camera_its_moment() -> None:
    picture, answer = frame(), result_of(Task.DETECT)
    in_a_video = replace(picture, index=7, seconds=0.28, kind=Kind.VIDEO)
    moment = datetime(2026, 1, 31, 13, 0, 0, 125_400, timezone(timedelta(hours=1)))
    of_a_camera = replace(picture, moment=moment, seconds=None, kind=Kind.LIVE)

    assert list(record_of(in_a_video, answer, NAMES))[:3] == ["source", "frame", "seconds"]
    assert record_of(in_a_video, answer, NAMES)["seconds"] == 0.28
    assert record_of(of_a_camera, answer, NAMES)["time"] == "2026-01-31T12:00:00.125Z"
    assert "seconds" not in record_of(of_a_camera, answer, NAMES)


def test_an_object_that_is_followed_has_a_number_from_its_second_frame_on() -> None:
    followed = result(Task.DETECT, detections=detections(track_id=np.array([4, -1])))
    first, second = record_of(frame(), followed, NAMES)["detections"]

    assert first["track_id"] == 4
    assert second["track_id"] is None


def test_keypoints_and_turned_boxes() -> None:
    assert _record(Task.POSE)["detections"][0]["keypoints"] == [[50.0, 50.0, 0.5]] * 17
    assert _record(Task.OBB)["detections"][0]["obb"] == [35.0, 50.0, 40.0, 20.0, 0.5]


def test_classification_gives_the_five_best() -> None:
    record = _record(Task.CLASSIFY)

    assert set(record) == COMMON | {"probs"}
    assert [prob["class_id"] for prob in record["probs"]] == [3, 1, 0, 2, 5]
    assert record["probs"][0] == {"class_id": 3, "class_name": "3", "confidence": 0.6}


def test_fewer_classes_than_five() -> None:
    two = record_of(frame(), result(Task.CLASSIFY, probs=np.array([0.25, 0.75], np.float32)), NAMES)

    assert [prob["class_name"] for prob in two["probs"]] == ["bicycle", "person"]


def test_nothing_found_is_an_empty_list() -> None:
    none = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))

    assert record_of(frame(), result(detections=none), NAMES)["detections"] == []


def test_a_number_that_is_not_finite_is_null() -> None:
    odd = Detections(np.array([[0, np.nan, np.inf, 1]], np.float32), np.array([0.5], np.float32), np.array([0]))

    (detection,) = record_of(frame(), result(detections=odd), NAMES)["detections"]

    assert detection["box"] == [0.0, None, None, 1.0]


def test_a_failure_is_a_record_too() -> None:
    assert record_of_failure(failure("x.jpg")) == {"source": "x.jpg", "error": "the file is empty (0 bytes)"}


def test_polygons_keep_every_part_and_fill_to_the_bitmap() -> None:
    bitmap = np.zeros((40, 50), bool)
    bitmap[2:12, 3:20] = True
    bitmap[20:35, 10:40] = True
    bitmap[38, 48] = True  # one pixel
    bitmap[15:17, 2] = True  # two
    polygons = polygons_of(Mask(bitmap, x=100, y=200))

    assert len(polygons) == 4
    assert min(len(polygon) for polygon in polygons) >= 6
    filled = np.zeros((300, 200), np.uint8)
    cv2.fillPoly(filled, [np.array(polygon).reshape(-1, 2) for polygon in polygons], 1)
    assert np.array_equal(filled[200:240, 100:150].astype(bool), bitmap)
