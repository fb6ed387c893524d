"""Time that passes while a library works: the watch is asked all the same, for it keeps the lock."""

import time
from collections.abc import Callable
from threading import Event, Thread
from typing import Generic, TypeVar

from app.errors import FleetError
from app.fleet.host import Watch

T = TypeVar("T")
_TICK_S = 1.0
_LEAVE_S = 10.0  # for a thread to end once it was cancelled; then it is left behind


class Within:
    """A watch for what nobody above waits for: cleaning up, a thread beside the step."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    def update(self, message: str, percent: float | None = None) -> None:
        return None

    def remaining_s(self) -> float:
        left = self._until - time.monotonic()
        if left <= 0:
            raise FleetError("it took longer than it may", hint="Look at the device, then run it again.")
        return left


class _Work(Thread, Generic[T]):
    def __init__(self, work: Callable[[], T]) -> None:
        super().__init__(daemon=True, name="fleet transfer")
        self._work = work
        self.answers: list[T] = []
        self.errors: list[BaseException] = []
        self.ended = Event()

    def run(self) -> None:
        try:
            self.answers.append(self._work())
        except BaseException as error:  # noqa: BLE001 — raised again where it is waited for
            self.errors.append(error)
        finally:
            self.ended.set()


def meanwhile(work: Callable[[], T], watch: Watch, *, tick: Callable[[], None], cancel: Callable[[], None]) -> T:
    """
    What `work` returns, or raises; it is done in a thread of its own.

    Args:
        tick: called each second here.
        cancel: makes `work` end soon, once the watch says that it is over.
    """
    thread = _Work(work)
    thread.start()
    try:
        while not thread.ended.wait(_TICK_S):
            watch.remaining_s()
            tick()
    except BaseException:
        cancel()
        thread.ended.wait(_LEAVE_S)
        raise
    if thread.errors:
        raise thread.errors[0]
    return thread.answers[0]
