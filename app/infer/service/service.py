"""The service itself: one thread runs frames through the engine, another one takes new settings and new engines in."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, TextIO

from app.engines.engine import Engine
from app.errors import JetsmithError, SettingsError, SourceError
from app.infer.ahead import Reading
from app.infer.frame import Failure, Frame
from app.infer.lane import SourceState
from app.infer.pipeline import Predictor, Summary, run
from app.infer.service.outlets import Outlets
from app.infer.service.plan import Plan
from app.infer.service.report import Report
from app.infer.service.switch import LEAVE_S, Loaded, Switch
from app.infer.sources.base import Source
from app.infer.sources.choose import open_sources
from app.infer.sources.files import Files
from app.infer.sources.live import Patience
from app.progress import Reporter
from app.types import Result

_TICK_S = 0.2
_LOOK_EVERY = 5  # ticks between two looks for a newer engine


@dataclass(frozen=True)
class Signals:
    """Set from outside, by signal handlers for one."""

    stop: threading.Event
    reload: threading.Event


@dataclass
class _Change:
    """What the running thread takes over between two batches."""

    loaded: Loaded | None = None
    outlets: Outlets | None = None


class Service:
    """
    Runs a plan until it is stopped.

    Args:
        load: reads the settings anew, for a reload.
        stream: standard output.

    Raises:
        JetsmithError: what the plan asks for cannot be had at the start.
    """

    def __init__(
        self, plan: Plan, load: Callable[[], Plan], stream: TextIO, reporter: Reporter, report: Report
    ) -> None:
        self._plan, self._load = plan, load
        self._stream, self._reporter, self._report = stream, reporter, report
        self._runner = threading.get_ident()
        self._lock = threading.Lock()
        self._pending: _Change | None = None
        self._retired: list[Loaded | Outlets] = []
        self._crash: BaseException | None = None
        self._reading: Reading
        self._alive_at = time.monotonic()
        self.frames = 0
        self._over = threading.Event()
        self._sources = _opened(plan.sources, plan)
        with ExitStack() as stack:
            self._seen = plan.model.stamp()
            self._switch = Switch(Loaded(plan.model.find(), plan.model))
            stack.callback(self._switch.close)
            self._outlets = Outlets(plan.sinks, self._switch.metadata, stream, reporter)
            stack.pop_all()

    def run(self, signals: Signals) -> Summary:
        """Until `signals.stop`."""
        self._reading = Reading([*self._sources.values()], self._reporter, signals.stop, forever=True)
        control = threading.Thread(target=self._control, args=(signals,), name="control", daemon=True)
        self._report.watch(self)
        control.start()
        try:
            return run(self._reading, self._between_batches, [self], self._reporter)
        finally:
            self._over.set()
            control.join()
            self._close_retired(LEAVE_S)
            self._switch.close()
            if self._crash is not None:
                raise self._crash

    # --- in the thread that runs the engine ---

    def _between_batches(self) -> Predictor:
        """The pipeline asks here before each batch, and while it waits; the threads that read ask here too."""
        if threading.get_ident() == self._runner:
            self._alive_at = time.monotonic()
            self._take_over()
        return self._switch

    def write(self, frame: Frame, result: Result) -> None:
        self.frames += 1
        self._outlets.write(frame, result)

    def fail(self, failure: Failure) -> None:
        self._outlets.fail(failure)

    def close(self) -> None:
        """The run is over; a change that came too late is given up."""
        with self._lock:
            change, self._pending = self._pending, None
        if change is not None:
            self._retired += [one for one in (change.loaded, change.outlets) if one is not None]
        self._outlets.close()

    def _take_over(self) -> None:
        with self._lock:
            change, self._pending = self._pending, None
            if change is None:
                return
            if change.loaded is not None:
                self._retired.append(self._switch.turn(change.loaded))
            if change.outlets is not None:
                self._retired.append(self._outlets)
                self._outlets = change.outlets
        if change.loaded is not None:
            self._reporter.note(f"runs on {change.loaded.engine.path.name} from now on")

    # --- in the thread that takes changes in ---

    def _control(self, signals: Signals) -> None:
        try:
            self._take_changes_in(signals)
        except BaseException as error:  # noqa: BLE001 (`run` raises it: a service must not go on that heeds nothing)
            self._crash = error
            signals.stop.set()

    def _take_changes_in(self, signals: Signals) -> None:
        ticks = 0
        while not self._over.wait(_TICK_S):
            ticks += 1
            if signals.reload.is_set():
                signals.reload.clear()
                self._wait_until_taken()
                self._reload()
            elif ticks % _LOOK_EVERY == 0:
                self._look_for_engine()
            self._close_retired(0.0)

    def _reload(self) -> None:
        with ExitStack() as undo:
            try:
                plan = self._load()
                change, added = self._prepared(plan, undo)
            except JetsmithError as error:
                self._report.reloaded(error)
                self._reporter.warn(f"the old settings stay in force: {error.message} {error.hint}".rstrip())
                return
            undo.pop_all()
        self._offer(change)
        self._change_sources(plan, added)
        self._plan = plan
        self._report.reloaded()
        self._reporter.note("the new settings are in force")

    def _prepared(self, plan: Plan, undo: ExitStack) -> tuple[_Change, dict[str, Source]]:
        """Everything that the new plan needs, opened; so it works before anything of the old one is given up."""
        if plan.name != self._plan.name:
            raise SettingsError("infer.name cannot change while the service runs", hint="Restart the service.")
        again = plan.selection != self._plan.selection
        kept = set() if again else self._sources.keys()
        added = _opened([source for source in plan.sources if source not in kept], plan)
        change = _Change()
        stamp = plan.model.stamp()
        if plan.model.key != self._plan.model.key:
            change.loaded = Loaded(plan.model.find(), plan.model)
            undo.callback(change.loaded.close)
            self._seen = stamp
        metadata = self._switch.metadata if change.loaded is None else change.loaded.model.metadata
        if plan.sinks != self._plan.sinks or not self._same_classes(change.loaded):
            change.outlets = Outlets(plan.sinks, metadata, self._stream, self._reporter)
            undo.callback(change.outlets.close)
        return change, added

    def _change_sources(self, plan: Plan, added: dict[str, Source]) -> None:
        gone = [source for name, source in self._sources.items() if name not in plan.sources or name in added]
        stayed = {name: source for name, source in self._sources.items() if source not in gone}
        self._sources = {**stayed, **added}
        self._reading.change(gone, [*added.values()])

    def _look_for_engine(self) -> None:
        """Whether a converter has published another engine for this model."""
        stamp = self._plan.model.stamp()
        if stamp == self._seen or stamp is None:
            return
        self._wait_until_taken()
        self._seen = stamp
        with ExitStack() as undo:
            try:
                engine = self._plan.model.find()
                if engine.manifest == self._switch.engine.manifest:
                    return
                change = self._changeover(engine, undo)
            except JetsmithError as error:
                self._report.changed_over(error)
                self._reporter.warn(f"stays with {self.engine_name}: {error.message} {error.hint}".rstrip())
                return
            undo.pop_all()
        self._offer(change)
        self._report.changed_over()

    def _changeover(self, engine: Engine, undo: ExitStack) -> _Change:
        loaded = Loaded(engine, self._plan.model)
        undo.callback(loaded.close)
        outlets = None
        if not self._same_classes(loaded):
            outlets = Outlets(self._plan.sinks, loaded.model.metadata, self._stream, self._reporter)
        return _Change(loaded, outlets)

    def _same_classes(self, loaded: Loaded | None) -> bool:
        if loaded is None:
            return True
        old, new = self._switch.metadata, loaded.model.metadata
        return (old.names, old.task) == (new.names, new.task)

    def _offer(self, change: _Change) -> None:
        with self._lock:
            self._pending = change

    def _wait_until_taken(self) -> None:
        """The change before this one may still wait for the next batch."""
        while not self._over.wait(0.01):
            with self._lock:
                if self._pending is None:
                    return

    def _close_retired(self, patience_s: float) -> None:
        """What is still in use is closed another time."""
        for _ in range(len(self._retired)):
            with self._lock:
                one = self._retired.pop(0)
            if not self._closed(one, patience_s):
                with self._lock:
                    self._retired.append(one)

    def _closed(self, one: Loaded | Outlets, patience_s: float) -> bool:
        try:
            if isinstance(one, Loaded):
                return one.close(patience_s)
            one.close()
        except (JetsmithError, OSError) as error:
            what = one.engine.path.name if isinstance(one, Loaded) else "a sink of before the change"
            self._reporter.warn(f"{what} could not be closed: {error}")
        return True

    # --- what may be seen, from any thread ---

    def source_states(self) -> Sequence[SourceState]:
        return self._reading.states()

    def sink_states(self) -> Sequence[dict[str, Any]]:
        return self._outlets.states()

    @property
    def engine_name(self) -> str:
        return self._switch.engine.path.name

    @property
    def silent_s(self) -> float:
        return time.monotonic() - self._alive_at

    @property
    def is_stopping(self) -> bool:
        return self._reading.stop.is_set()


def _opened(names: Iterable[str], plan: Plan) -> dict[str, Source]:
    """
    A source for each of the plan's names, by name.

    Raises:
        SourceError: nothing can be read by that name, now or later.
    """
    sources: dict[str, Source] = {}
    for name in names:
        (source,) = open_sources([name], plan.selection, Patience(with_refusals=True))
        failures = [item for item in source.found if isinstance(item, Failure)] if isinstance(source, Files) else []
        if failures:
            raise SourceError(f"{failures[0].source}: {failures[0].error.message}", hint=failures[0].error.hint)
        sources[name] = source
    return sources
