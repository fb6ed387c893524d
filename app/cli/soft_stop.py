"""Signals that let the work at hand be finished."""

import signal
import threading
from types import FrameType, TracebackType

_SIGNALS = signal.SIGINT, signal.SIGTERM, signal.SIGHUP


class SoftStop:
    """
    While it is entered, the first signal only sets `event`; a second one acts as it did before.

    What was ignored before stays ignored: whoever started this in the background means it so.
    """

    def __init__(self) -> None:
        self.event = threading.Event()
        self._caught: int | None = None
        self._before = {number: signal.getsignal(number) for number in _SIGNALS}

    @property
    def exit_code(self) -> int | None:
        """As a shell says it of a process that the signal ended; None where none came."""
        return None if self._caught is None else 128 + self._caught

    def __enter__(self) -> "SoftStop":
        for number, handler in self._before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._caught = number
        self._restore()
        self.event.set()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
