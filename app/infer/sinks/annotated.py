"""Annotated pictures and videos in a folder: no two under one name, no input overwritten, none half written."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from app.errors import OutputError
from app.infer.draw import Drawer
from app.infer.frame import Failure, Frame, Kind
from app.infer.sinks.files import (
    PICTURE_SUFFIXES,
    FreeNames,
    Inputs,
    encoded,
    make_writable,
    picture_suffix,
    stem_of,
    write_atomically,
)
from app.infer.sinks.limits import Limits, Shelf, StampedNames
from app.infer.sinks.video import SUFFIX, VideoFile, import_av
from app.types import Image, Result

_USUAL_RATE = 25.0
_LONGEST_GAP_S = 60.0  # after which a camera that was lost begins a new video
_FORGOTTEN_AFTER = 256  # frames of other sources: then a video file has come to its end


class Annotated:
    """
    Draws each result and saves it in `folder`: a picture as PNG for PNG, else JPEG; frames as a video a source.

    A second x.jpg becomes x-2.jpg. A file of an earlier run under the same name is replaced. A source whose frames
    change their size, or start again, gets another video.

    Args:
        inputs: every file that this run reads: none of them is overwritten, even if it lies in `folder`.
        limits: for a run that never ends.

    Raises:
        OutputError: supervision is not installed, or the folder cannot be made or written.
    """

    def __init__(
        self, folder: Path, names: Mapping[int, str], inputs: Iterable[Path] = (), limits: Limits | None = None
    ) -> None:
        self._drawer = Drawer(names)
        make_writable(folder)
        self._names = FreeNames(folder, Inputs(inputs)) if limits is None else StampedNames(folder)
        self._limits, self._shelf = limits, Shelf(folder, limits, "*", (SUFFIX, *PICTURE_SUFFIXES), (SUFFIX,))
        self._films: dict[str, _Film] = {}
        self._frames = 0

    def write(self, frame: Frame, result: Result) -> None:
        image = self._drawer.draw(frame.image, result)
        if frame.kind is Kind.PICTURE:
            suffix = picture_suffix(frame, frame.image)
            target = self._names.take(stem_of(frame), suffix)
            write_atomically(target, encoded(image, suffix))
            self._shelf.add(target)
        else:
            self._frames += 1
            try:
                self._film(frame, image).write(image, seconds_of(frame), self._frames)
            except OutputError:
                self._films.pop(frame.source, None)
                raise
            self._end_forgotten()

    def fail(self, failure: Failure) -> None:
        return None

    def close(self) -> None:
        """
        Raises:
            OutputError: a video could not be finished; the others are all the same.
        """
        try:
            while self._films:
                self._end(next(iter(self._films)))
        finally:
            for film in self._films.values():
                film.video.abandon()

    def _film(self, frame: Frame, image: Image) -> "_Film":
        known = self._films.get(frame.source)
        if known is not None and (not known.goes_on(frame, image) or self._is_full(known)):
            self._end(frame.source)
        if frame.source not in self._films:
            import_av()
            target = self._names.take(stem_of(frame), SUFFIX)
            video = VideoFile(target, image, frame.rate)
            self._films[frame.source] = _Film(target, video, seconds_of(frame))
        return self._films[frame.source]

    def _is_full(self, film: "_Film") -> bool:
        return self._limits is not None and film.video.bytes > self._limits.rotate_bytes

    def _end_forgotten(self) -> None:
        for source, film in list(self._films.items()):
            if not film.live and self._frames - film.seen > _FORGOTTEN_AFTER:
                self._end(source)

    def _end(self, source: str) -> None:
        film = self._films.pop(source)
        film.video.close()
        self._shelf.add(film.target)


@dataclass
class _Film:
    """A video under way."""

    target: Path
    video: VideoFile
    began: float
    last: float = float("-inf")
    seen: int = 0
    live: bool = False

    def goes_on(self, frame: Frame, image: Image) -> bool:
        self.live = frame.kind is Kind.LIVE
        passed = seconds_of(frame) - self.last
        return image.shape[:2] == self.video.shape and passed > 0 and not (self.live and passed > _LONGEST_GAP_S)

    def write(self, image: Image, seconds: float, number: int) -> None:
        self.video.write(image, seconds - self.began)
        self.last, self.seen = seconds, number


def seconds_of(frame: Frame) -> float:
    """A clock for the frames of one source."""
    if frame.moment is not None:
        return frame.moment.timestamp()
    return frame.index / (frame.rate or _USUAL_RATE) if frame.seconds is None else frame.seconds
