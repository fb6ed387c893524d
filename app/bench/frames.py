"""The frames that are measured: few, read beforehand, and the same for every program."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from app.convert.pictures import spread, verification_pictures
from app.errors import SourceError
from app.infer.frame import Failure
from app.infer.sources.base import Selection, Take, fresh
from app.infer.sources.choose import open_sources
from app.infer.sources.files import Files
from app.types import Image

MOST_FRAMES = 32
MOST_BYTES = 24 << 20  # every program keeps them all, and its memory is measured
_EVERY = 5  # of a video's frames: neighbours are too much alike


@dataclass(frozen=True)
class Frames:
    source: str  # as the user named it
    images: tuple[Image, ...]
    failures: tuple[Failure, ...] = ()

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        return tuple((image.shape[0], image.shape[1]) for image in self.images)

    @property
    def nbytes(self) -> int:
        return sum(image.nbytes for image in self.images)

    def save(self, folder: Path) -> list[str]:
        folder.mkdir()
        paths = [folder / f"{number:02}.npy" for number in range(len(self.images))]
        for path, image in zip(paths, self.images, strict=True):
            np.save(path, image)
        return [str(path) for path in paths]


@dataclass
class _Desk:
    """Where the source is read: nobody watches, and no buffers are special."""

    stop: threading.Event = field(default_factory=threading.Event)
    take: Take = fresh

    def progress(self, share: float) -> None:
        return None

    def lost(self, why: SourceError, retry_in_s: float) -> None:
        return None

    def back(self) -> None:
        return None

    def tell(self, message: str) -> None:
        return None


def read_frames(source: str | None, demo_scenes: Path) -> Frames:
    """
    Frames of a picture, a folder, a pattern or a video; without a source, of the pictures that engines are verified on.

    Raises:
        SourceError: nothing in it can be read, or it is a camera or a stream.
    """
    if source is None:
        names = [str(path) for path in verification_pictures(None, demo_scenes)]
        if not names:
            raise SourceError("There are no pictures to measure with", hint="Name some: --source PICTURE")
        return _read("the demo scenes and Ultralytics' photographs", names)
    return _read(source, [source])


def _read(shown: str, names: Sequence[str]) -> Frames:
    images: list[Image] = []
    failures: list[Failure] = []
    for source in open_sources(names, Selection(stride=_EVERY)):
        if not isinstance(source, Files):
            raise SourceError(
                f"{source.name} is live: what it shows, and when, would be measured with it",
                hint="Measure on a picture, a folder or a video file.",
            )
        source.found = spread(source.found, MOST_FRAMES)
        for item in source.read(_Desk()):
            if isinstance(item, Failure):
                failures.append(item)
                continue
            if images and (len(images) == MOST_FRAMES or _bytes(images) + item.image.nbytes > MOST_BYTES):
                break
            images.append(item.image)
    if not images:
        raise _nothing(shown, failures)
    return Frames(shown, tuple(images), tuple(failures))


def _bytes(images: Sequence[Image]) -> int:
    return sum(image.nbytes for image in images)


def _nothing(shown: str, failures: Sequence[Failure]) -> SourceError:
    if failures:
        error = failures[0].error
        return SourceError(f"{failures[0].source}: {error.message}", hint=error.hint)
    return SourceError(f"{shown} holds no frame", hint="Name a picture, a folder or a video.")
