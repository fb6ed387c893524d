"""One source in its own thread, and the few frames of it that wait for the engine."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from enum import Enum
from typing import Any

from app.errors import JetsmithError, SourceError
from app.infer.frame import Failure, Frame, Kind, Pixels
from app.infer.sources.base import Source, Take
from app.progress import Reporter
from app.text import printable

_RATE_OVER = 50  # the frames that a rate or a latency is of
_FAILURES = 64  # that wait beside the frames
_QUEUED_BYTES = 256 << 20  # of one source; a picture may have 800 MB, and then none is read ahead


class Condition(Enum):
    """How a source fares."""

    WAITING = "waiting"  # not begun, or without a frame yet
    RUNNING = "running"
    LOST = "lost"  # and being tried again
    ENDED = "ended"


@dataclass(frozen=True)
class SourceState:
    """One source, as a status file tells it."""

    name: str
    live: bool
    condition: Condition = Condition.WAITING
    frames: int = 0  # that went through the engine
    dropped: int = 0  # that came while the engine was busy with others; of live sources alone
    losses: int = 0
    last_error: str | None = None
    last_frame: datetime | None = None
    rate: float | None = None  # frames a second through the engine, of late
    latency_ms: float | None = None  # from a frame's arrival to the end of its sinks, of late


@dataclass(frozen=True, eq=False)
class Item:
    """A frame on its way, or a failure in its place."""

    what: Frame | Failure
    ready: Any = None  # the frame as the engine takes it, where it could be prepared ahead
    came: float = 0.0  # time.monotonic()

    @property
    def is_frame(self) -> bool:
        return isinstance(self.what, Frame)

    @property
    def for_engine(self) -> Any:
        return self.ready if self.ready is not None or isinstance(self.what, Failure) else self.what.pixels


class Lane:
    """
    The desk of one source. All lanes of a run share one lock, `changed`, which tells of every new item.

    Args:
        prepare: what may be done with a file's frame before its turn comes; live ones are prepared when they go, so
            that they are the newest.
    """

    def __init__(self, source: Source, changed: threading.Condition, reporter: Reporter) -> None:
        self.source = source
        self.stop = threading.Event()
        self.take: Take
        self.prepare: Callable[[Pixels], Any]
        self.room = 2
        self.items: deque[Item] = deque()
        self.ended = False
        self.crashed = False
        self.error: JetsmithError | None = None  # that ended the thread, where it is none of the source's
        self.share = 0.0  # of a file that was read
        self._changed = changed
        self._reporter = reporter
        self._state = SourceState(source.name, source.live)
        self._lost_at: float | None = None
        self._given: deque[tuple[float, float]] = deque(maxlen=_RATE_OVER)  # (when, latency in ms)
        self._thread = threading.Thread(target=self._work, name=f"read {source.name}", daemon=True)

    def start(self, take: Take, prepare: Callable[[Pixels], Any]) -> None:
        self.take, self.prepare = take, prepare
        self._thread.start()

    @property
    def started(self) -> bool:
        return self._thread.ident is not None

    def join(self, timeout_s: float) -> bool:
        """Whether the thread has ended."""
        if self.started:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def progress(self, share: float) -> None:
        self.share = share

    def lost(self, why: SourceError, retry_in_s: float) -> None:
        message = f"{why.message}"
        self._reporter.detail(f"{printable(self.source.name)}: {message}; tried again in {retry_in_s:.1f} s")
        with self._changed:
            first = self._lost_at is None
            if first:
                self._lost_at = time.monotonic()
            self._state = replace(
                self._state, condition=Condition.LOST, last_error=message, losses=self._state.losses + first
            )
        if first:
            self._reporter.warn(f"{printable(self.source.name)} is lost: {message}. It is tried again for ever.")

    def back(self) -> None:
        since, self._lost_at = self._lost_at, None
        if since is not None:
            self._reporter.note(f"{printable(self.source.name)} is back after {time.monotonic() - since:.1f} s")

    def tell(self, message: str) -> None:
        self._reporter.warn(f"{printable(self.source.name)}: {message}")

    @property
    def has_room(self) -> bool:
        """For another frame; the lock is held by the caller."""
        held = [item.what.pixels.nbytes for item in self.items if isinstance(item.what, Frame)]
        return len(held) < self.room and sum(held) < _QUEUED_BYTES and len(self.items) < self.room + _FAILURES

    def pop(self) -> Item:
        """The next item; the lock is held by the caller."""
        item = self.items.popleft()
        self._changed.notify_all()
        return item

    def went_through(self, item: Item) -> None:
        """A frame of this source is done."""
        now = time.monotonic()
        with self._changed:
            self._given.append((now, (now - item.came) * 1e3))
            self._state = replace(self._state, frames=self._state.frames + 1, last_frame=datetime.now(timezone.utc))

    def state(self) -> SourceState:
        with self._changed:
            condition = Condition.ENDED if self.ended else self._state.condition
            given = list(self._given)
            state = self._state
        if not given:
            return replace(state, condition=condition)
        took = given[-1][0] - given[0][0]
        latencies = sorted(latency for _, latency in given)
        rate = (len(given) - 1) / took if took > 0 else None
        return replace(state, condition=condition, rate=rate, latency_ms=latencies[len(latencies) // 2])

    def _work(self) -> None:
        whole = False
        try:
            for what in self.source.read(self):
                came = time.monotonic()
                is_waited_for = isinstance(what, Frame) and what.kind is not Kind.LIVE
                ready = self.prepare(what.pixels) if is_waited_for and isinstance(what, Frame) else None
                if not self._put(Item(what, ready, came)):
                    break
            whole = True
        except JetsmithError as error:  # of the engine, which prepares frames ahead: whoever takes batches gets it
            self.error = error
        finally:
            with self._changed:
                self.ended, self.crashed = True, not whole  # of a bug, the traceback was shown by Python
                self._changed.notify_all()

    def _put(self, item: Item) -> bool:
        """Whether the run goes on. A live frame takes the place of the one before it, any other waits for room."""
        with self._changed:
            if isinstance(item.what, Frame) and item.what.kind is Kind.LIVE:
                if self.items and self.items[-1].is_frame:
                    self.items.pop()
                    self._state = replace(self._state, dropped=self._state.dropped + 1)
            else:
                self._changed.wait_for(lambda: self.has_room or self.stop.is_set())
            self._state = replace(self._state, condition=Condition.RUNNING)
            if isinstance(item.what, Failure):
                self._state = replace(self._state, last_error=item.what.error.message)
            self.items.append(item)
            self._changed.notify_all()
        return not self.stop.is_set()
