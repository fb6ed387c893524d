"""Sources that give what they are told, for tests of what comes after them."""

import threading
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone

import numpy as np

from app.infer.frame import Failure, Frame, Kind
from app.infer.sources.base import Desk


class Given:
    """A source of fixed frames."""

    def __init__(self, items: Iterable[Frame | Failure], name: str = "given", live: bool = False) -> None:
        self.name, self.live = name, live
        self._items = items

    def read(self, desk: Desk) -> Iterator[Frame | Failure]:
        yield from self._items


class Endless:
    """A camera that gives a frame every `period_s`, as long as it is let."""

    live = True

    def __init__(self, period_s: float, name: str = "camera") -> None:
        self.name = name
        self.given = 0
        self._period_s = period_s

    def read(self, desk: Desk) -> Iterator[Frame | Failure]:
        while not desk.stop.wait(self._period_s):
            yield live_frame(self.name, self.given)
            self.given += 1


def video_frame(source: str, index: int) -> Frame:
    return Frame(source, index, np.zeros((100, 120, 3), np.uint8), seconds=index / 25, rate=25.0, kind=Kind.VIDEO)


def live_frame(source: str, index: int) -> Frame:
    return Frame(source, index, np.zeros((100, 120, 3), np.uint8), moment=datetime.now(timezone.utc), kind=Kind.LIVE)


def threads_of_sources() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("read ")]
