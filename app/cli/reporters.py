"""How work shows itself: bars on a terminal, plain lines in a log. Both on stderr; stdout is for answers."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING

from app.progress import Phase, Reporter
from app.text import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

_PLAIN_INTERVAL_S = 10.0


def make_reporter(*, verbose: bool = False) -> Reporter:
    """Bars where a person watches, lines where a log is kept."""
    if sys.stderr.isatty():
        return _TerminalReporter(sys.stderr, verbose)
    return PlainReporter(sys.stderr, verbose)


class PlainReporter:
    """One line when a step starts, one every ten seconds while it lasts, one when it is done."""

    def __init__(self, stream: IO[str], verbose: bool = False, interval_s: float = _PLAIN_INTERVAL_S) -> None:
        self._stream = stream
        self._verbose = verbose
        self._interval_s = interval_s

    @contextmanager
    def phase(self, name: str, total: float | None = None, unit: str = "") -> Iterator[Phase]:
        started = time.monotonic()
        self._say(f"{name} …")
        step = _PlainPhase(total, unit)
        done = threading.Event()
        watch = threading.Thread(target=self._watch, args=(name, step, started, done), daemon=True)
        watch.start()
        try:
            yield step
        finally:
            done.set()
            watch.join()
        self._say(f"{name}: done in {time.monotonic() - started:.1f} s")

    def note(self, message: str) -> None:
        self._say(message)

    def warn(self, message: str) -> None:
        self._say(f"warning: {message}")

    def detail(self, message: str) -> None:
        if self._verbose:
            self._say(message)

    def _watch(self, name: str, step: "_PlainPhase", started: float, done: threading.Event) -> None:
        """Speak whether or not the work does: TensorRT 8 says nothing for minutes."""
        with suppress(OSError, ValueError):  # who read this log has gone; the work itself will notice or need not
            while not done.wait(self._interval_s):
                elapsed = f"{time.monotonic() - started:.0f} s"
                self._say(f"{name}: " + (f"{step.amount}, {elapsed}" if step.amount else elapsed))

    def _say(self, line: str) -> None:
        print(printable(line, keep="\n"), file=self._stream, flush=True)


class _PlainPhase:
    def __init__(self, total: float | None, unit: str) -> None:
        self._total, self._unit = total, unit
        self.amount = ""  # how far it is, in words; nothing where it has not said

    def update(self, completed: float, total: float | None = None) -> None:
        self._total = self._total if total is None else total
        self.amount = _amount(completed, self._total, self._unit)


def _amount(completed: float, total: float | None, unit: str) -> str:
    if unit == "B":
        done = f"{completed / 1e6:.1f} MB"
        return done if not total else f"{done} of {total / 1e6:.1f} MB ({100 * completed / total:.0f} %)"
    return f"{completed:.0f} {unit}".rstrip() if not total else f"{100 * completed / total:.0f} %"


class _TerminalReporter:
    def __init__(self, stream: IO[str], verbose: bool = False) -> None:
        from rich.console import Console

        self._console: Console = Console(file=stream, highlight=False)
        self._verbose = verbose

    @contextmanager
    def phase(self, name: str, total: float | None = None, unit: str = "") -> Iterator[Phase]:
        from rich.markup import escape

        started = time.monotonic()
        with _progress(self._console, unit) as progress:
            yield _Bar(progress, progress.add_task(escape(printable(name)), total=total))
        self._console.print(f"[green]✓[/] {escape(printable(name))} [dim]{time.monotonic() - started:.1f} s[/]")

    def note(self, message: str) -> None:
        self._say(message, "dim")

    def warn(self, message: str) -> None:
        self._say(f"warning: {message}", "yellow")

    def detail(self, message: str) -> None:
        if self._verbose:
            self._say(message, "dim")

    def _say(self, message: str, style: str) -> None:
        self._console.print(printable(message, keep="\n"), style=style, markup=False)


def _progress(console: "Console", unit: str) -> "Progress":
    from rich import progress as bars

    columns: list[bars.ProgressColumn] = [
        bars.SpinnerColumn(),
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.TaskProgressColumn(),
        bars.TimeElapsedColumn(),
    ]
    if unit == "B":
        columns += [bars.DownloadColumn(), bars.TransferSpeedColumn()]
    return bars.Progress(*columns, console=console, transient=True)


class _Bar:
    def __init__(self, progress: "Progress", task: "TaskID") -> None:
        self._progress, self._task = progress, task

    def update(self, completed: float, total: float | None = None) -> None:
        self._progress.update(self._task, completed=completed, total=total)
