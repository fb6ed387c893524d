"""A sink that is slower than the sources, in a thread of its own."""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable

from app.infer.frame import Failure, Frame, Kind
from app.infer.sinks.base import Sink, closed_at_the_end
from app.progress import Reporter
from app.text import printable
from app.types import Result

_ROOM = 8  # frames; they are whole pictures
_PATIENCE_S = 5.0  # within the ten seconds that Docker gives a container to stop

_Item = Failure | tuple[Frame, Result]


class Queued:
    """
    Lets a sink work beside the run, with room for a few frames.

    Where the room is full, frames of files wait, and of live ones the oldest is left out, counted and told of at the
    end: a camera must not stand still because a disk does. Errors of the sink come out of the next call.

    Args:
        name: of the sink, for messages.
        beside_files: whether frames of files go through the thread too, or are written at once.
        leave: called where the sink stands still at the end of a live run: it makes the sink's own call return.
    """

    def __init__(
        self,
        inner: Sink,
        name: str,
        reporter: Reporter,
        *,
        beside_files: bool = True,
        leave: Callable[[], None] = lambda: None,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self.left_out: Counter[str] = Counter()
        self._inner, self._name, self._reporter = inner, name, reporter
        self._beside_files, self._leave, self._patience_s = beside_files, leave, patience_s
        self._items: deque[_Item] = deque()
        self._changed = threading.Condition()
        self._current: _Item | None = None
        self._closing = self._dead = False
        self._done = 0  # counts, so that a sink that stands still is known from a slow one
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def write(self, frame: Frame, result: Result) -> None:
        self._put((frame, result), live=frame.kind is Kind.LIVE)

    def fail(self, failure: Failure) -> None:
        self._put(failure, live=False)

    def close(self) -> None:
        """
        Write what waits, and close the sink.

        Raises:
            OutputError, BrokenPipeError: the sink's own, if no call has told it yet.
        """
        with closed_at_the_end([self._inner] if self._finish() else []):
            for source, count in self.left_out.items():
                frames = f"{count} frame{'' if count == 1 else 's'}"
                self._reporter.warn(
                    f"{self._name}: {frames} of {printable(source)} left out: it was slower than the camera"
                )
            self._tell()

    def _put(self, item: _Item, *, live: bool) -> None:
        with self._changed:
            if live and not self._has_room_for_live(item):
                return
            if not live:
                self._changed.wait_for(self._has_room if self._beside_files else self._is_idle)
            self._tell()
            if live or self._beside_files:
                self._items.append(item)
                self._start()
                self._changed.notify_all()
                return
        _pass_on(item, self._inner)

    def _has_room(self) -> bool:
        return self._dead or len(self._items) < _ROOM

    def _has_room_for_live(self, item: _Item) -> bool:
        """Leave out the oldest live frame; where only those of files wait, this one."""
        if self._has_room():
            return True
        oldest = next(filter(_is_live, self._items), item)
        self._count(oldest)
        if oldest is not item:
            self._items.remove(oldest)
        return oldest is not item

    def _count(self, item: _Item) -> None:
        if isinstance(item, tuple):
            self.left_out[item[0].source] += 1

    def _tell(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error
        if self._dead and not self._closing:
            raise RuntimeError(f"{self._name}: the thread has ended")  # its error was raised before

    def _is_idle(self) -> bool:
        return self._dead or (not self._items and self._current is None)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()

    def _work(self) -> None:
        try:
            while (item := self._next()) is not None:
                _pass_on(item, self._inner)
        except BaseException as error:  # noqa: BLE001 (the next call raises it, or `close`)
            self._error = error
        finally:
            with self._changed:
                self._dead = True
                self._changed.notify_all()

    def _next(self) -> _Item | None:
        with self._changed:
            self._done += 1
            self._current = None
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._items or self._closing)
            self._current = self._items.popleft() if self._items else None
            return self._current

    def _finish(self) -> bool:
        """Whether the sink came to its end; frames of files are waited for, live ones as long as it moves."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        done, since = -1, time.monotonic()
        while self._thread is not None and self._thread.is_alive():
            self._thread.join(0.1)
            if self._done != done:
                done, since = self._done, time.monotonic()
            if time.monotonic() - since > self._patience_s and self._holds_live_only():
                self._leave_behind()
                self._thread.join(1.0)
                return not self._thread.is_alive()
        return True

    def _holds_live_only(self) -> bool:
        with self._changed:
            return all(item is None or _is_live(item) for item in (self._current, *self._items))

    def _leave_behind(self) -> None:
        with self._changed:
            for item in self._items:
                self._count(item)
            self._items.clear()
        self._leave()


def _is_live(item: _Item) -> bool:
    return isinstance(item, tuple) and item[0].kind is Kind.LIVE


def _pass_on(item: _Item, sink: Sink) -> None:
    if isinstance(item, tuple):
        sink.write(*item)
    else:
        sink.fail(item)
