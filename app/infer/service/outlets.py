"""The sinks of a service: one that fails is told of and tried again, and the others go on."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, TextIO

from app.errors import OutputError
from app.infer.frame import Failure, Frame
from app.infer.service.plan import SinkPlan
from app.infer.sinks.base import Sink, close_all
from app.infer.sinks.json_lines import JsonLines, LinesFile
from app.infer.sinks.open import polled
from app.infer.sinks.queued import Queued
from app.infer.tracking import Tracked
from app.metadata import ModelMetadata
from app.progress import Reporter
from app.types import Result

_STDOUT = "standard output"
_FIRST_RETRY_S, _LAST_RETRY_S = 1.0, 60.0


class Surviving:
    """
    A sink that is opened again, ever less often, when it fails; what comes meanwhile is lost to it and counted.

    Args:
        again: whether it can be opened again at all: standard output cannot.

    Raises:
        OutputError: it cannot even be opened the first time: that is a mistake in the settings.
    """

    def __init__(
        self,
        name: str,
        open_sink: Callable[[], Sink],
        reporter: Reporter,
        first_retry_s: float = _FIRST_RETRY_S,
        *,
        again: bool = True,
    ) -> None:
        self.name = name
        self.error: str | None = None
        self.lost = 0
        self._open, self._reporter = open_sink, reporter
        self._first_retry_s = self._pause_s = first_retry_s
        self._again, self._retry_at = again, 0.0
        self._inner: Sink | None = open_sink()

    def write(self, frame: Frame, result: Result) -> None:
        self._do(lambda sink: sink.write(frame, result))

    def fail(self, failure: Failure) -> None:
        self._do(lambda sink: sink.fail(failure))

    def close(self) -> None:
        if self._inner is not None:
            self._attempt(Sink.close, self._inner)

    def _do(self, action: Callable[[Sink], None]) -> None:
        if not self._attempt(action, self._inner):
            self.lost += 1

    def _attempt(self, action: Callable[[Sink], None], sink: Sink | None) -> bool:
        if sink is None and time.monotonic() < self._retry_at:
            return False
        try:
            self._inner = sink or self._open()
            action(self._inner)
        except (OutputError, BrokenPipeError) as error:
            self._failed(error)
            return False
        self._recovered()
        return True

    def _failed(self, error: OutputError | BrokenPipeError) -> None:
        message = error.message if isinstance(error, OutputError) else "nobody reads it any longer"
        if self.error is None:
            then = "it is tried again for ever" if self._again else "restart the service to mend it"
            self._reporter.warn(f"{message}. {self.name} loses results; {then}.")
        self.error = message
        self._retry_at = time.monotonic() + self._pause_s if self._again else math.inf
        self._pause_s = min(2 * self._pause_s, _LAST_RETRY_S)
        inner, self._inner = self._inner, None
        if inner is not None:
            _close_in_spite(inner)

    def _recovered(self) -> None:
        if self.error is not None:
            self._reporter.note(f"{self.name} works again; {self.lost} results were lost to it")
            self.error, self._pause_s = None, self._first_retry_s


def _close_in_spite(sink: Sink) -> None:
    try:
        sink.close()
    except (OutputError, BrokenPipeError):  # why it cannot be written was told
        return


class Outlets:
    """All sinks of one plan, as one sink."""

    def __init__(self, plan: SinkPlan, model: ModelMetadata, stream: TextIO, reporter: Reporter) -> None:
        self.frames = 0
        self._surviving: list[Surviving] = []
        self._queued: list[Queued] = []
        _check_apart(plan)
        with ExitStack() as opened:
            for name, open_sink, options in _wanted(plan, model, stream):
                surviving = Surviving(name, open_sink, reporter, again=name != _STDOUT)
                queued = Queued(surviving, name, reporter, **options)
                opened.callback(queued.close)
                self._surviving.append(surviving)
                self._queued.append(queued)
            self._sinks: Sequence[Sink] = [Tracked(self._queued, model.task)] if plan.track else self._queued
            opened.pop_all()

    def write(self, frame: Frame, result: Result) -> None:
        self.frames += 1
        for sink in self._sinks:
            sink.write(frame, result)

    def fail(self, failure: Failure) -> None:
        for sink in self._sinks:
            sink.fail(failure)

    def close(self) -> None:
        close_all(self._sinks)

    def states(self) -> list[dict[str, Any]]:
        pairs = zip(self._surviving, self._queued, strict=True)
        return [
            {
                "name": surviving.name,
                "error": surviving.error,
                "lost": surviving.lost,
                "left_out": sum(queued.left_out.values()),
            }
            for surviving, queued in pairs
        ]


def _check_apart(plan: SinkPlan) -> None:
    """The oldest crops are removed by their place, `CROPS/CLASS/`: no picture of another sink may lie there."""
    if plan.save is not None and plan.crops is not None and plan.save.resolve().parent == plan.crops.resolve():
        raise OutputError(
            f"{plan.save} lies in {plan.crops}, like the folders of the crops' classes",
            hint="Name a folder of its own for the crops.",
        )


_Wanted = tuple[str, Callable[[], Sink], dict[str, Any]]


def _wanted(plan: SinkPlan, model: ModelMetadata, stream: TextIO) -> list[_Wanted]:
    names, limits = model.names, plan.limits
    wanted: list[_Wanted] = []
    if plan.jsonl == "-":
        out, leave = polled(stream)
        wanted.append((_STDOUT, lambda: JsonLines(out, names), {"beside_files": False, "leave": leave}))
    elif plan.jsonl is not None:
        path = plan.jsonl
        wanted.append((str(path), lambda: JsonLines(LinesFile(path, limits=limits), names), {}))
    if plan.save is not None:
        save = plan.save
        from app.infer.sinks.annotated import Annotated

        wanted.append((f"annotating into {save}", lambda: Annotated(save, names, limits=limits), {}))
    if plan.crops is not None:
        crops = plan.crops
        from app.infer.sinks.crops import Crops

        wanted.append((f"cutting out into {crops}", lambda: Crops(crops, names, model.task, limits=limits), {}))
    return wanted
