"""An object keeps its number from frame to frame, in each source by itself."""

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from app.errors import OutputError
from app.infer.frame import Failure, Frame, Kind
from app.infer.tracking import Tracked
from app.types import Detections, Result, Task
from tests.infer.doubles import failure, film, frame, result, result_of

pytest.importorskip("trackers", reason="the extra track is not installed")


class Kept:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.seen: list[tuple[Frame, Result]] = []
        self.failures: list[Failure] = []
        self.closed = 0

    def write(self, frame: Frame, result: Result) -> None:
        self.seen.append((frame, result))

    def fail(self, failure: Failure) -> None:
        self.failures.append(failure)

    def close(self) -> None:
        self.closed += 1

    def ids(self, source: str) -> list[list[int]]:
        return [
            result.detections.track_id.tolist()
            for frame, result in self.seen
            if frame.source == source and result.detections is not None and result.detections.track_id is not None
        ]


def _two(step: float, *, swapped: bool = False) -> Result:
    """One object moves to the right, the other one down; `swapped` changes their order in the list."""
    boxes = np.array([[10 + step, 10, 30 + step, 30], [60, 20 + step, 80, 40 + step]], np.float32)
    order = [1, 0] if swapped else [0, 1]
    return result(
        Task.DETECT,
        detections=Detections(
            boxes[order],
            np.array([0.9, 0.8], np.float32)[order],
            np.array([0, 1])[order],
        ),
    )


def test_numbers_stay_with_their_objects_whatever_their_order() -> None:
    kept = Kept()
    tracked = Tracked([kept], Task.DETECT)
    for moment in film("a.mp4", 8):
        tracked.write(moment, _two(2 * moment.index, swapped=moment.index % 2 == 1))

    ids = kept.ids("a.mp4")
    assert ids[0] == [-1, -1]  # seen once
    assert [sorted(both) for both in ids[1:]] == [[1, 2]] * 7
    assert all(before == after[::-1] for before, after in pairwise(ids[1:]))


def test_each_source_counts_for_itself_and_pictures_are_not_followed() -> None:
    kept = Kept()
    tracked = Tracked([kept], Task.DETECT)
    for one, other in zip(film("a.mp4", 3), film("rtsp://b", 3), strict=True):
        tracked.write(one, _two(one.index))
        tracked.write(other, _two(other.index))
        tracked.write(frame("c.jpg"), _two(0))

    assert kept.ids("a.mp4")[-1] == kept.ids("rtsp://b")[-1] == [1, 2]
    assert kept.ids("c.jpg") == []


def test_an_object_that_hides_for_half_a_second_keeps_its_number_and_after_three_gets_another() -> None:
    kept = Kept()
    tracked = Tracked([kept], Task.DETECT)
    none = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
    nothing = result(Task.DETECT, detections=none)
    for moment in film("a.mp4", 150):
        hidden = 10 <= moment.index < 22 or 30 <= moment.index < 105
        tracked.write(moment, nothing if hidden else _two(0))

    ids = kept.ids("a.mp4")
    assert ids[9] == ids[25] == [1, 2]
    assert ids[15] == []
    assert set(ids[-1]).isdisjoint({1, 2, -1})


def test_a_clock_that_goes_back_or_stands_still_is_no_error() -> None:
    kept = Kept()
    tracked = Tracked([kept], Task.DETECT)
    moments = film("camera:0", 6)
    for index, shown in enumerate([0, 1, 1, 4, 2, 5]):
        tracked.write(replace(moments[index], moment=moments[shown].moment), _two(0))

    assert kept.ids("camera:0")[-1] == [1, 2]


def test_a_file_that_begins_again_is_another_source() -> None:
    kept = Kept()
    tracked = Tracked([kept], Task.DETECT)
    for moment in [*film("a.mp4", 3), *film("a.mp4", 3)]:
        tracked.write(moment, _two(0))

    assert kept.ids("a.mp4") == [[-1, -1], [1, 2], [1, 2]] * 2


def test_failures_and_the_end_reach_every_sink() -> None:
    class Broken(Kept):
        def close(self) -> None:
            raise OutputError("the disk is full")

    first, last = Broken(), Kept()
    tracked = Tracked([first, last], Task.DETECT)
    tracked.fail(failure())
    with pytest.raises(OutputError, match="full"):
        tracked.close()

    assert len(first.failures) == len(last.failures) == last.closed == 1


def test_a_classifier_finds_nothing_to_follow() -> None:
    with pytest.raises(OutputError, match="classifies"):
        Tracked([], Task.CLASSIFY)


def test_without_the_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trackers", None)
    with pytest.raises(OutputError, match="trackers") as caught:
        Tracked([], Task.DETECT)

    assert "jetsmith[track]" in caught.value.hint


@pytest.mark.parametrize("task", [Task.DETECT, Task.SEGMENT, Task.POSE, Task.OBB])
def test_nothing_else_of_a_result_changes(task: Task) -> None:
    kept = Kept()
    answer = result_of(task)
    Tracked([kept], task).write(film("a.mp4", 1)[0], answer)
    (_, numbered) = kept.seen[0]

    assert numbered.detections is not None
    assert answer.detections is not None
    assert replace(numbered.detections, track_id=None).__dict__ == answer.detections.__dict__


def test_cars_on_a_road_keep_their_numbers(exported: Callable[[str], Path], shared_data: Callable[[str], Path]) -> None:
    from app.runtime.onnxruntime import OnnxRuntimeRunner
    from app.vision.decode import Thresholds
    from app.vision.model import Model

    video = cv2.VideoCapture(str(shared_data("video/car-detection.mp4")))
    video.set(cv2.CAP_PROP_POS_FRAMES, 185)
    kept = Kept()
    tracked = Tracked([kept], Task.DETECT)
    with OnnxRuntimeRunner(exported("yolov8n"), optimise=True) as runner:
        model = Model(runner, Thresholds(0.3, 0.7, 300, None))
        for index in range(45):
            _, image = video.read()
            moment = Frame("cars", index, image, seconds=index / 12.5, rate=12.5, kind=Kind.VIDEO)
            tracked.write(moment, model.predict(image))

    counts = Counter(number for ids in kept.ids("cars") for number in ids if number > 0)
    assert len(counts) == 2  # two cars drive by
    assert min(counts.values()) >= 25
