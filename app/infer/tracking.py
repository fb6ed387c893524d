"""
Numbers for objects that stay the same from frame to frame, by ByteTrack of the library `trackers`.

Each source is followed by itself. Pictures are not: nothing moves from one to the next.
"""

from collections.abc import Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np

from app.errors import OutputError
from app.infer.frame import Failure, Frame, Kind
from app.infer.sinks.base import Sink, close_all
from app.types import Detections, Result, Task

_USUAL_RATE = 25.0
_REMEMBERED_S = 1.0
"""How long an object may be out of sight and keep its number; ByteTrack's own default."""
_STARTS_AT = 0.25
"""The confidence from which an object may be new; what `--conf` dropped never comes here."""
_SURE_FROM = 0.5
"""Objects from here on are matched first; fainter ones only continue what is known."""
_LEAST_STEP_S = 1e-3


def import_trackers() -> ModuleType:
    """
    Raises:
        OutputError: it is not installed, or does not load here.
    """
    try:
        import trackers
    except ImportError as error:
        raise OutputError(
            f"--track needs the library trackers: {error}",
            hint="Install it: pip install 'jetsmith[track]'; or leave --track out.",
        ) from error
    module: ModuleType = trackers
    return module


class Tracked:
    """Numbers the objects of each source, then hands the result to all of `sinks`."""

    def __init__(self, sinks: Sequence[Sink], task: Task) -> None:
        if task is Task.CLASSIFY:
            raise OutputError(
                "A model that classifies finds no objects to follow", hint="Leave --track out, or take another model."
            )
        import_trackers()
        self._sinks = sinks
        self._tracks: dict[str, Tracks] = {}

    def write(self, frame: Frame, result: Result) -> None:
        if frame.kind is not Kind.PICTURE and result.detections is not None:
            known = self._tracks.get(frame.source)
            if known is None or not known.goes_on(frame):
                known = self._tracks[frame.source] = Tracks(frame.rate)
            result = replace(result, detections=known.number(frame, result.detections))
        for sink in self._sinks:
            sink.write(frame, result)

    def fail(self, failure: Failure) -> None:
        for sink in self._sinks:
            sink.fail(failure)

    def close(self) -> None:
        self._tracks.clear()
        close_all(self._sinks)


class Tracks:
    """The objects of one source."""

    def __init__(self, rate: float | None) -> None:
        rate = rate or _USUAL_RATE
        self._tracker: Any = import_trackers().ByteTrackTracker(
            lost_track_buffer=round(30 * _REMEMBERED_S),  # counted at 30 frames a second, whatever the rate
            frame_rate=rate,
            track_activation_threshold=_STARTS_AT,
            high_conf_det_threshold=_SURE_FROM,
        )
        self._rate = rate
        self._index, self._seconds = -1, float("-inf")

    def goes_on(self, frame: Frame) -> bool:
        return frame.index > self._index

    def number(self, frame: Frame, detections: Detections) -> Detections:
        """The same objects in the same order, with `track_id`."""
        import supervision

        seen = supervision.Detections(
            xyxy=detections.xyxy.astype(np.float32),
            confidence=detections.confidence,
            class_id=detections.class_id.astype(int),
            data={"row": np.arange(len(detections))},
        )
        followed = self._tracker.update(seen, timestamp=self._clock(frame))
        ids = np.full(len(detections), -1, np.int64)
        if len(followed):
            numbers = np.asarray(followed.tracker_id)
            ids[followed.data["row"]] = np.where(numbers < 0, -1, numbers + 1)  # the first object is 1, as people count
        return replace(detections, track_id=ids)

    def _clock(self, frame: Frame) -> float:
        """Seconds that never stand still nor go back, as a camera's clock may."""
        at = frame.index / self._rate if frame.seconds is None else frame.seconds
        if frame.moment is not None:
            at = frame.moment.timestamp()
        self._index, self._seconds = frame.index, max(at, self._seconds + _LEAST_STEP_S)
        return self._seconds
