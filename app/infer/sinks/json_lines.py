"""JSON lines for programs."""

import json
from collections.abc import Mapping
from typing import IO

from app.infer.frame import Failure, Frame
from app.infer.records import record_of, record_of_failure
from app.infer.sinks.base import stream_errors_as_ours
from app.types import Result


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
        with stream_errors_as_ours(self._stream):
            self._stream.write(line_of(record))
            self._stream.flush()


def line_of(record: Mapping[str, object]) -> str:
    return json.dumps(record, allow_nan=False, separators=(",", ":")) + "\n"
