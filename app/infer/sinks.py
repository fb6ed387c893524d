"""Where results go: JSON lines for programs, a table for people. Both write to the stream they are given."""

import io
import json
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Protocol

from app.errors import OutputError
from app.infer.frame import Failure, Frame
from app.infer.records import name_of, record_of, record_of_failure, top_classes
from app.text import printable
from app.types import Result, Speed

if TYPE_CHECKING:
    from rich.text import Text

_WIDTH_IN_A_LOG = 120
_CONFIDENCES_SHOWN = 6
_PROBABILITY_SHOWN = 0.005  # less would read 0.00


class Sink(Protocol):
    """
    Takes the results of a run, in order.

    Raises:
        OutputError: the result cannot be written, so the run is worth nothing more.
        BrokenPipeError: nobody reads any longer.
    """

    def write(self, frame: Frame, result: Result) -> None: ...

    def fail(self, failure: Failure) -> None: ...

    def close(self) -> None:
        """Called once, however the run ended: finish the files that are open."""
        ...


class JsonLines:
    """One JSON object a line, in ASCII: safe for every terminal encoding and file name. Each line is flushed."""

    def __init__(self, stream: IO[str], names: Mapping[int, str]) -> None:
        self._stream = stream
        self._names = names

    def write(self, frame: Frame, result: Result) -> None:
        self._say(record_of(frame, result, self._names))

    def fail(self, failure: Failure) -> None:
        self._say(record_of_failure(failure))

    def close(self) -> None:
        return None

    def _say(self, record: Mapping[str, object]) -> None:
        line = json.dumps(record, allow_nan=False, separators=(",", ":"))
        with _stream_errors_as_ours(self._stream):
            self._stream.write(line + "\n")
            self._stream.flush()


class Table:
    """One row a picture, shown at once: what was found, best first, and how long it took."""

    def __init__(self, stream: IO[str], names: Mapping[int, str]) -> None:
        from rich.console import Console

        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show is no error
        self._stream = stream
        self._names = names
        self._console = Console(file=stream, highlight=False, width=None if stream.isatty() else _WIDTH_IN_A_LOG)
        self._headed = False

    def write(self, frame: Frame, result: Result) -> None:
        from rich.text import Text

        height, width = result.shape
        found = Text(_summary(result, self._names))
        self._row(frame.source, f"{width}×{height}", found, f"{_total(result.speed_ms):.0f} ms")

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
        with _stream_errors_as_ours(self._stream):
            self._stream.write(capture.get())
            self._stream.flush()
        self._headed = True


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


@contextmanager
def _stream_errors_as_ours(stream: IO[str]) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        _send_the_rest_nowhere(stream)
        raise
    except OSError as error:
        _send_the_rest_nowhere(stream)
        raise OutputError(
            f"The results cannot be written: {error.strerror}", hint="Free some space, or write them elsewhere."
        ) from error


def _send_the_rest_nowhere(stream: IO[str]) -> None:
    """Else Python would try to flush the rest at exit, and complain."""
    try:
        descriptor = stream.fileno()
    except io.UnsupportedOperation:  # a stream in memory holds nothing back
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
