"""What every source can do, and what it is given to do it with."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from app.errors import SourceError
from app.infer.frame import Failure, Frame, Pixels
from app.types import Image

Take = Callable[[tuple[int, ...]], Image]
"""Gives an array of bytes for a frame to be written into: (height, width, 3), or the rows of NV12's planes."""

Shot = Callable[[Take], Pixels]
"""A frame that was received but not yet decoded: those that are left out cost nothing more."""


class Desk(Protocol):
    """Where a source works: one for each, in the thread that reads the source."""

    @property
    def stop(self) -> threading.Event:
        """Set when the run is over."""
        ...

    def take(self, shape: tuple[int, ...]) -> Image:
        """An array for a frame; where the engine has buffers of its own, one of those."""
        ...

    def progress(self, share: float) -> None:
        """From 0 to 1: so much of this source was read."""

    def lost(self, why: SourceError, retry_in_s: float) -> None:
        """The source gives nothing any more; it will be tried again."""

    def back(self) -> None:
        """It gives frames again."""

    def tell(self, message: str) -> None:
        """What the user should know, though nothing is lost by it."""


class Source(Protocol):
    @property
    def name(self) -> str:
        """As the user named it, without passwords; no two sources of a run have the same."""
        ...

    @property
    def live(self) -> bool:
        """Whether it is read beside all others, from the start: it does not wait for anybody."""
        ...

    def read(self, desk: Desk) -> Iterator[Frame | Failure]:
        """Its frames in order. Ends at the source's end, or soon after `desk.stop`."""
        ...


@dataclass(frozen=True)
class Selection:
    """Which frames of videos and streams are wanted, and who may decode them; pictures are always all wanted."""

    fps: float | None = None  # at most so many a second
    stride: int = 1  # every so manieth
    duration: float | None = None  # the first seconds of a video, or so long from a live source
    hardware: bool = True  # whether a chip may decode them, where there is one

    def rate(self, of_source: float | None) -> float | None:
        """Frames a second that are left of a source's."""
        rates = [rate for rate in (of_source and of_source / self.stride, self.fps) if rate]
        return min(rates, default=None)

    def sieve(self) -> "Sieve":
        return Sieve(self)


class Sieve:
    """Applies a selection to one source's frames, in their order."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._due: float | None = None

    def wants(self, index: int, seconds: float | None) -> bool:
        """`seconds`: where the frame lies in its video, or on any clock for a live one."""
        if index % self._selection.stride:
            return False
        if self._selection.fps is None or seconds is None:
            return True
        period = 1 / self._selection.fps
        if self._due is None or seconds < self._due - 2 * period:  # a clock that jumped back starts anew
            self._due = seconds
        if seconds < self._due - 0.1 * period:  # a camera's frames come a little early and a little late
            return False
        self._due = max(self._due + period, seconds - period)  # after a gap there is no rush to make up for it
        return True

    def over(self, seconds: float | None) -> bool:
        limit = self._selection.duration
        return limit is not None and seconds is not None and seconds >= limit


def fresh(shape: tuple[int, ...]) -> Image:
    """`Take` where nobody has buffers of their own."""
    return np.empty(shape, np.uint8)
