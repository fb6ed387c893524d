"""A table for people."""

import io
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, cast

from app.infer.frame import Failure, Frame, Kind
from app.infer.records import name_of, top_classes
from app.infer.sinks.base import Stream, stream_errors_as_ours
from app.text import printable
from app.types import Result, Speed

if TYPE_CHECKING:
    from rich.text import Text

_EVERY_S = 1.0
_WIDTH_IN_A_LOG = 120
_CONFIDENCES_SHOWN = 6
_PROBABILITY_SHOWN = 0.005  # less would read 0.00


class Table:
    """One row a picture, shown at once: what was found, best first, and how long it took."""

    def __init__(self, stream: Stream, names: Mapping[int, str]) -> None:
        from rich.console import Console

        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show is no error
        self._stream = stream
        self._names = names
        file = cast(IO[str], stream)  # it is written to below, not by the console
        self._console = Console(file=file, highlight=False, width=None if stream.isatty() else _WIDTH_IN_A_LOG)
        self._headed = False
        self._shown: dict[str, float] = {}  # when a source had its last row

    def write(self, frame: Frame, result: Result) -> None:
        from rich.text import Text

        if not self._is_due(frame):
            return
        height, width = result.shape
        found = Text(_summary(result, self._names))
        self._row(_place_of(frame), f"{width}×{height}", found, f"{_total(result.speed_ms):.0f} ms")

    def _is_due(self, frame: Frame) -> bool:
        """Every picture has its row; a video or a camera one a second, else nobody could read them."""
        if frame.kind is Kind.PICTURE:
            return True
        now = time.monotonic()
        due = now - self._shown.get(frame.source, -_EVERY_S) >= _EVERY_S
        if due:
            self._shown[frame.source] = now
        return due

    def fail(self, failure: Failure) -> None:
        from rich.text import Text

        self._row(failure.source, "", Text(printable(failure.error.message), style="red"), "")

    def close(self) -> None:
        return None

    def _row(self, picture: str, size: str, found: "Text", time: str) -> None:
        from rich.table import Table as Rows
        from rich.text import Text

        # One table a row, all of the same widths: a table of all rows could only be shown at the end.
        name_width = max(12, self._console.width // 3)
        rows = Rows(box=None, expand=True, show_header=not self._headed, header_style="bold", pad_edge=False)
        rows.add_column("picture", width=name_width, no_wrap=True)
        rows.add_column("size", width=11)
        rows.add_column("found", ratio=1, overflow="fold")
        rows.add_column("time", width=8, justify="right")
        rows.add_row(Text(_tail(printable(picture), name_width)), size, found, time)
        with self._console.capture() as capture:  # rich ends the process itself when the reader has gone
            self._console.print(rows)
        with stream_errors_as_ours(self._stream):
            self._stream.write(capture.get())
            self._stream.flush()
        self._headed = True


def _place_of(frame: Frame) -> str:
    """A picture's path; of a video and a camera also where in time it is."""
    if frame.moment is not None:
        return f"{frame.source} {frame.moment.astimezone():%H:%M:%S}"
    if frame.kind is Kind.PICTURE or frame.seconds is None:
        return frame.source
    minutes, seconds = divmod(frame.seconds, 60)
    return f"{frame.source} {minutes:.0f}:{seconds:04.1f}"


def _summary(result: Result, names: Mapping[int, str]) -> str:
    """`person 0.92 0.88 · bus 0.87`: each class with the confidences of its objects."""
    confidences: dict[int, list[float]] = defaultdict(list)
    if result.probs is not None:
        for class_id in top_classes(result.probs):
            if result.probs[class_id] >= _PROBABILITY_SHOWN:
                confidences[class_id].append(float(result.probs[class_id]))
    elif result.detections is not None:
        pairs = zip(result.detections.class_id.tolist(), result.detections.confidence.tolist(), strict=True)
        for class_id, confidence in pairs:
            confidences[class_id].append(confidence)
    parts = [f"{printable(name_of(class_id, names))} {_listed(found)}" for class_id, found in confidences.items()]
    return " · ".join(parts) or "nothing"


def _listed(confidences: list[float]) -> str:
    shown = " ".join(f"{confidence:.2f}" for confidence in confidences[:_CONFIDENCES_SHOWN])
    more = len(confidences) - _CONFIDENCES_SHOWN
    return f"{shown} (+{more})" if more > 0 else shown


def _tail(text: str, width: int) -> str:
    """The end of a path tells pictures apart, its beginning does not."""
    return text if len(text) <= width else "…" + text[1 - width :]


def _total(speed: Speed) -> float:
    return speed.preprocess + speed.inference + speed.postprocess
