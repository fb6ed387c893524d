"""Pictures and videos on this machine, named beforehand or one a line on standard input."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from app.errors import SourceError
from app.infer.frame import Failure, Frame
from app.infer.sources.base import Desk, Selection
from app.infer.sources.listing import find
from app.infer.sources.video import VIDEO_SUFFIXES, looks_like_video, read_video
from app.vision.picture_header import HEAD_BYTES
from app.vision.pictures import read_picture

_LONGEST_LINE = 1 << 16


class Files:
    """Files in order, each read when its turn comes."""

    live = False

    def __init__(self, name: str, found: Iterable[Path | Failure], selection: Selection) -> None:
        self.name = name
        self.found = list(found)
        self._selection = selection

    def read(self, desk: Desk) -> Iterator[Frame | Failure]:
        """What cannot be read is a `Failure`, never the end."""
        for number, item in enumerate(self.found):
            if isinstance(item, Failure):
                yield item
            else:
                yield from read_file(item, self._selection, _OneOf(desk, number, len(self.found)))
            desk.progress((number + 1) / len(self.found))


def has_video(found: Iterable[Path | Failure]) -> bool:
    """By the names: nothing is opened."""
    return any(isinstance(item, Path) and item.suffix.lower() in VIDEO_SUFFIXES for item in found)


class _OneOf:
    """The desk of one file among several: its progress is a part of theirs."""

    def __init__(self, desk: Desk, number: int, count: int) -> None:
        self.stop, self.take, self.lost, self.back, self.tell = desk.stop, desk.take, desk.lost, desk.back, desk.tell
        self._desk, self._number, self._count = desk, number, count

    def progress(self, share: float) -> None:
        self._desk.progress((self._number + share) / self._count)


class Listed:
    """Paths on a stream, one a line, as they come: `find … | jetsmith infer -`."""

    live = True

    def __init__(self, stream: BinaryIO, selection: Selection) -> None:
        self.name = "-"
        self._stream = stream
        self._selection = selection

    def read(self, desk: Desk) -> Iterator[Frame | Failure]:
        while (line := self._stream.readline(_LONGEST_LINE)) and not desk.stop.is_set():
            if len(line) == _LONGEST_LINE and not line.endswith(b"\n"):
                error = SourceError(f"a line of more than {_LONGEST_LINE} bytes", hint="Write one path a line.")
                yield Failure(self.name, error)
                return
            named = os.fsdecode(line.rstrip(b"\r\n"))
            for item in find(named) if named else []:
                if isinstance(item, Failure):
                    yield item
                else:
                    yield from read_file(item, self._selection, desk)


def read_file(path: Path, selection: Selection, desk: Desk) -> Iterator[Frame | Failure]:
    """A picture gives one frame, a video all that are wanted."""
    try:
        if looks_like_video(path, _head(path)):
            yield from read_video(path, selection, desk)
        else:
            yield Frame(str(path), 0, read_picture(path))
    except SourceError as error:
        yield Failure(str(path), error)


def _head(path: Path) -> bytes:
    """Nothing where there is nothing to read: the picture reader says why."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except (OSError, ValueError):
        return b""
