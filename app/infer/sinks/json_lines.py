"""JSON lines for programs, on a stream or in a file."""

import glob
import json
import os
import stat
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Protocol

from app.errors import OutputError
from app.infer.frame import Failure, Frame
from app.infer.records import record_of, record_of_failure
from app.infer.sinks.base import Stream, stream_errors_as_ours
from app.infer.sinks.files import Inputs, cannot_write, make_writable
from app.infer.sinks.limits import MOMENT, Limits, Shelf, stamp
from app.types import Result

_TAIL = 1 << 20  # bytes in which the last whole line of a file is looked for; no record is as long


class _Outlet(Protocol):
    def put(self, line: str) -> None: ...

    def close(self) -> None: ...


class JsonLines:
    """One JSON object a line, in ASCII: safe for every terminal encoding and file name. Each line is flushed."""

    def __init__(self, outlet: "Stream | LinesFile", names: Mapping[int, str]) -> None:
        self._outlet: _Outlet = outlet if isinstance(outlet, LinesFile) else _StreamOutlet(outlet)
        self._names = names

    def write(self, frame: Frame, result: Result) -> None:
        self._say(record_of(frame, result, self._names))

    def fail(self, failure: Failure) -> None:
        self._say(record_of_failure(failure))

    def close(self) -> None:
        self._outlet.close()

    def _say(self, record: Mapping[str, object]) -> None:
        self._outlet.put(json.dumps(record, allow_nan=False, separators=(",", ":")) + "\n")


class _StreamOutlet:
    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def put(self, line: str) -> None:
        with stream_errors_as_ours(self._stream):
            self._stream.write(line)
            self._stream.flush()

    def close(self) -> None:
        return None


class LinesFile:
    """
    A file of whole lines, even where the disk is full or the process is killed.

    Args:
        inputs: what this run reads: it is not overwritten.
        limits: of a run that never ends. Then the file is continued, and becomes NAME-<moment>.jsonl when it is
            full; without them it is begun anew.

    Raises:
        OutputError: it cannot be opened or written, or is an input.
    """

    def __init__(self, path: Path, inputs: Inputs | None = None, limits: Limits | None = None) -> None:
        if inputs is not None and inputs.hold(path):
            raise OutputError(f"{path} is read by this run", hint="Name another file for the results.")
        make_writable(path.parent)
        self._path, self._limits = path, limits
        pattern = f"{glob.escape(path.stem)}-{MOMENT}{glob.escape(path.suffix)}"
        self._shelf = Shelf(path.parent, limits, pattern, (path.suffix,))
        self._file = self._open()

    def put(self, line: str) -> None:
        data = line.encode("ascii")
        try:
            if self._limits is not None and self._size > 0 and self._size + len(data) > self._limits.rotate_bytes:
                self._rotate()
            self._write(data)
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def close(self) -> None:
        file, self._file = self._file, -1  # its number may be another file's, once it is closed
        if file < 0:
            return
        try:
            os.close(file)
        except OSError as error:  # network file systems say here that there was no room
            raise cannot_write(self._path, error) from error

    def _write(self, data: bytes) -> None:
        done = 0
        try:
            while done < len(data):
                done += os.write(self._file, data[done:])
        except OSError:
            if done > 0:
                os.ftruncate(self._file, os.fstat(self._file).st_size - done)  # half a line would spoil the next
            raise
        self._size += len(data)

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | (0 if self._limits else os.O_TRUNC)
        try:
            file = os.open(self._path, flags, 0o644)
            with ExitStack() as undo:
                undo.callback(os.close, file)
                self._size = _cut_half_line(file, self._path)
                undo.pop_all()
        except OSError as error:
            raise cannot_write(self._path, error) from error
        return file

    def _rotate(self) -> None:
        full = self._path.with_name(f"{self._path.stem}-{stamp()}{self._path.suffix}")
        while full.exists():
            full = self._path.with_name(f"{self._path.stem}-{stamp()}{self._path.suffix}")
        with suppress(FileNotFoundError):  # somebody else has removed it
            self._path.rename(full)
        # The new one first: where it cannot be opened, `close` still has the old one, and closes it once.
        before, self._file = self._file, self._open()
        os.close(before)
        self._shelf.add(full)


def _cut_half_line(file: int, path: Path) -> int:
    """The size of the file, after what a kill left of a line is gone."""
    facts = os.fstat(file)
    if not stat.S_ISREG(facts.st_mode):  # /dev/stdout
        return 0
    tail = os.pread(file, _TAIL, max(0, facts.st_size - _TAIL))
    half = tail[tail.rfind(b"\n") + 1 :]
    if half and not half.startswith(b'{"source":'[: len(half)]):
        raise OutputError(f"{path} holds something else than results", hint="Name another file for the results.")
    if half:
        os.ftruncate(file, facts.st_size - len(half))
    return facts.st_size - len(half)
