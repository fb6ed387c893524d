"""How a run over a fleet shows itself on stderr: a table where a person watches, lines where a log is kept."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from app.fleet.base import Done, Outcome
from app.fleet.device_run import Listener
from app.fleet.report import line_of, shown, state_of
from app.fleet.table import progress_table

if TYPE_CHECKING:
    from rich.console import Console, Group

_INTERVAL_S = 10.0
_FRAME = 6  # lines that are no device's: heads, the summary, room for the prompt
_STOPPING = "stopping: what is under way ends soon and begins nothing more; once more ends it at once"


@contextmanager
def showing(total: int, stop: threading.Event) -> Iterator[Listener]:
    if sys.stderr.isatty():
        with LiveTable(total, stop).shown() as table:
            yield table
    else:
        yield Lines(sys.stderr, total, stop)


class Lines:
    """One line when a step begins, one every ten seconds while it lasts, one when it is done."""

    def __init__(self, stream: IO[str], total: int, stop: threading.Event) -> None:
        self._stream, self._total, self._stop = stream, total, stop
        self._lock = threading.Lock()
        self._last: dict[str, tuple[str, float]] = {}  # device -> step, when it was last told
        self._finished = 0
        self._told_stop = False

    def step(self, device: str, what: str, message: str, percent: float | None) -> None:
        now = time.monotonic()
        with self._lock:
            step, told = self._last.get(device, ("", 0.0))
            if step == what and now - told < _INTERVAL_S:
                return
            self._last[device] = what, now
            amount = "" if percent is None else f" {percent:.0f} %"
            self._say(f"{device} {what}{amount}: {message}")

    def done(self, device: str, done: Done) -> None:
        with self._lock:
            self._say(line_of(device, done))

    def finished(self, outcome: Outcome) -> None:
        with self._lock:
            self._finished += 1
            why = outcome.skipped or outcome.error
            told = f"{state_of(outcome)}: {why}" if why else state_of(outcome)
            self._say(f"{outcome.device.name}: {told} ({self._finished} of {self._total})")

    def _say(self, line: str) -> None:
        with suppress(OSError, ValueError):  # who read this log has gone; the fleet need not suffer for it
            if self._stop.is_set() and not self._told_stop:
                self._told_stop = True
                print(_STOPPING, file=self._stream, flush=True)
            print(shown(line), file=self._stream, flush=True)


@dataclass
class _Row:
    step: str
    message: str
    percent: float | None = None
    is_over: bool = False


@dataclass
class LiveTable:
    """Who is under way, who has failed, and how many are through: as much as the terminal is high."""

    total: int
    stop: threading.Event
    height: Callable[[], int] = lambda: 24
    _rows: dict[str, _Row] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def shown(self, console: "Console | None" = None) -> Iterator["LiveTable"]:
        from rich.console import Console
        from rich.live import Live

        screen = console or Console(stderr=True, highlight=False)
        self.height = lambda: screen.height
        with Live(console=screen, get_renderable=self.renderable, refresh_per_second=4, transient=True):
            yield self

    def step(self, device: str, what: str, message: str, percent: float | None) -> None:
        with self._lock:
            row = self._rows.get(device)
            if row is None or not row.is_over:  # one that was left behind may still speak
                self._rows[device] = _Row(what, message, percent)

    def done(self, device: str, done: Done) -> None:
        if done.error:
            self.step(device, done.step.kind.value, done.error, None)

    def finished(self, outcome: Outcome) -> None:
        state = state_of(outcome)
        with self._lock:
            self._counts[state] = self._counts.get(state, 0) + 1
            self._rows[outcome.device.name] = _Row(state, outcome.skipped or outcome.error, is_over=True)

    def renderable(self) -> "Group":
        from rich.console import Group
        from rich.text import Text

        with self._lock:
            rows = [(name, row.step, row.percent, row.message) for name, row in self._most_urgent()]
            summary = self._summary()
        return Group(progress_table(rows), Text(""), Text(summary))

    def _most_urgent(self) -> list[tuple[str, _Row]]:
        ordered = sorted(self._rows.items(), key=lambda pair: (pair[1].is_over, pair[1].step != "failed"))
        return ordered[: max(1, self.height() - _FRAME)]

    def _summary(self) -> str:
        over = sum(self._counts.values())
        under_way = sum(not row.is_over for row in self._rows.values())
        counts = [f"{count} {state}" for state, count in sorted(self._counts.items())]
        parts = [*counts, f"{under_way} under way", f"{self.total - over - under_way} waiting"]
        return ", ".join(parts) + (f"\n{_STOPPING}" if self.stop.is_set() else "")
