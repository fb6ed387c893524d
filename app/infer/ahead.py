"""Sources read ahead, each in a thread of its own; their frames in batches, fair among sources, in order in each."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any

from app.infer import memory
from app.infer.frame import Pixels
from app.infer.lane import Item, Lane, SourceState
from app.infer.sources.base import Source, Take
from app.progress import Reporter

READ_AT_ONCE = 4
"""So many sources of files are read at a time; the next begins where one ends."""
GATHER_LIVE_S, GATHER_FILES_S = 0.01, 1.0
"""A batch that is not full waits so long for more frames. Nobody waits for those of files, so they may take longer."""
_POLL_S = 0.1  # how soon a signal is heeded where no frame comes
_LEAVE_S = 2.0  # a thread that waits for a network ends when that answers, or with the process


class Reading:
    """
    All sources of a run. Enter it, take batches until there are none, leave it: that ends the threads.

    Args:
        stop: ends the run; set it from anywhere.
        forever: goes on when all sources have ended: others may come.
        duration: seconds from the beginning, after which live sources are left.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        reporter: Reporter,
        stop: threading.Event | None = None,
        duration: float | None = None,
        *,
        forever: bool = False,
    ) -> None:
        self.stop = stop or threading.Event()
        self._changed = threading.Condition()
        self._reporter, self._forever = reporter, forever
        self._lanes = [Lane(source, self._changed, reporter) for source in sources]
        self.was_stopped = False  # before all sources had ended
        self._turn = 0  # the lane that is asked first
        self._duration = duration
        self._began = 0.0
        self._start: Callable[[Lane], None]

    def start(self, take: Take, prepare: Callable[[Pixels], Any]) -> "Reading":
        """Begin to read: `take` gives the arrays for frames, `prepare` is what may be done with them ahead."""
        memory.prepare_for_frames(live=self._forever or any(lane.source.live for lane in self._lanes))
        self._start = lambda lane: lane.start(take, prepare)
        self._began = time.monotonic()
        self._start_more()
        return self

    def __enter__(self) -> "Reading":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.was_stopped = self.stop.is_set()
        self.stop.set()
        self._leave(self._lanes)

    def change(self, gone: Sequence[Source], new: Sequence[Source]) -> None:
        """While it runs, from another thread: leave some sources, and begin to read others."""
        with self._changed:
            left = [lane for lane in self._lanes if lane.source in gone]
            self._lanes = [lane for lane in self._lanes if lane not in left]
            self._lanes += [Lane(source, self._changed, self._reporter) for source in new]
        self._leave(left)

    def _leave(self, lanes: Sequence[Lane]) -> None:
        with self._changed:
            for lane in lanes:
                lane.stop.set()
            self._changed.notify_all()
        deadline = time.monotonic() + _LEAVE_S
        for lane in lanes:
            lane.join(max(0.0, deadline - time.monotonic()))

    @property
    def title(self) -> str:
        """Of a progress bar."""
        names = [lane.source.name for lane in self._lanes]
        return names[0] if len(names) == 1 else f"{len(names)} sources"

    def states(self) -> tuple[SourceState, ...]:
        """How every source fares now; from any thread."""
        with self._changed:
            lanes = list(self._lanes)
        return tuple(lane.state() for lane in lanes)

    def progress(self) -> float:
        """How much of the files was read, in percent; each counts the same."""
        shares = [1.0 if lane.ended else lane.share for lane in self._lanes if not lane.source.live]
        return 100 * sum(shares) / max(1, len(shares))

    def batches(self, size: Callable[[], int]) -> Iterator[list[tuple[Lane, Item]]]:
        """
        Items in turn of the sources, `size()` frames at most, until all have ended or the run is stopped.

        Raises:
            JetsmithError: the engine could not take a frame.
            RuntimeError: a thread has died of a bug; its traceback was shown.
        """
        while batch := self._gather(size):
            yield batch

    def _gather(self, size_now: Callable[[], int]) -> list[tuple[Lane, Item]]:
        """Empty at the end."""
        deadline: float | None = None
        with self._changed:
            while not self.stop.is_set():
                size = size_now()  # also a sign of life, and the moment for another engine, where no frame comes
                self._look_after_lanes(size)
                open_lanes = self._open_lanes()
                waiting = sum(len(lane.items) for lane in self._lanes)
                if waiting and deadline is None:
                    live = any(lane.source.live for lane in open_lanes)
                    deadline = time.monotonic() + (GATHER_LIVE_S if live else GATHER_FILES_S)
                is_late = deadline is not None and time.monotonic() >= deadline
                frames = self._frames_waiting()
                more_may_come = any(lane.has_room for lane in open_lanes)
                if waiting and (frames == 0 or frames >= size or is_late or not more_may_come):
                    return self._collect(size)
                if not waiting and not open_lanes and not self._forever:
                    return []
                self._changed.wait(min(_POLL_S, max(0.0, (deadline or time.monotonic() + 1) - time.monotonic())))
            return []

    def _look_after_lanes(self, size: int) -> None:
        for lane in self._lanes:
            if lane.error is not None:
                raise lane.error
            if lane.crashed:
                raise RuntimeError(f"the thread that reads {lane.source.name} has died")
        self._start_more()
        readers = sum(lane.started and not lane.ended for lane in self._lanes)
        room = max(2, size // max(1, readers) + 1)
        if any(lane.room != room for lane in self._lanes):
            for lane in self._lanes:
                lane.room = room
            self._changed.notify_all()

    def _start_more(self) -> None:
        running = sum(lane.started and not lane.ended and not lane.source.live for lane in self._lanes)
        for lane in self._lanes:
            if lane.started or (not lane.source.live and running >= READ_AT_ONCE):
                continue
            self._start(lane)
            running += not lane.source.live

    def _open_lanes(self) -> list[Lane]:
        """Those that may still give something; live ones not after the duration, whether or not they answer."""
        over = self._duration is not None and time.monotonic() - self._began >= self._duration
        return [lane for lane in self._lanes if not lane.ended and not (over and lane.source.live)]

    def _frames_waiting(self) -> int:
        return sum(item.is_frame for lane in self._lanes for item in lane.items)

    def _collect(self, size: int) -> list[tuple[Lane, Item]]:
        """One of each lane in turn, and again, until there are `size` frames."""
        batch: list[tuple[Lane, Item]] = []
        frames = 0
        while frames < size:
            lane = next((lane for lane in self._in_turn() if lane.items), None)
            if lane is None:
                break
            item = lane.pop()
            frames += item.is_frame
            batch.append((lane, item))
            self._turn = (self._lanes.index(lane) + 1) % len(self._lanes)
        return batch

    def _in_turn(self) -> list[Lane]:
        return self._lanes[self._turn :] + self._lanes[: self._turn]
