"""One device from the first look to the last, in one thread: look, plan, lock, look again, do, look."""

import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from threading import Event
from typing import Protocol

from app.errors import FleetError
from app.fleet.base import Done, Holder, Observed, Outcome, Step, StepKind
from app.fleet.course import Course
from app.fleet.host import Host
from app.fleet.plan import DEADLINES, Plan

LOOK_S = 60.0
LEASE_S = 120.0
RENEW_S = 40.0
_OF_INFER = (StepKind.STOP_INFER, StepKind.START, StepKind.SWITCH)


@dataclass(frozen=True)
class Job:
    course: Course
    open: Callable[[], Host]  # in the device's own thread; raises FleetError


class Listener(Protocol):
    """Who is told how it goes; called from every device's thread."""

    def step(self, device: str, what: str, message: str, percent: float | None) -> None: ...

    def done(self, device: str, done: Done) -> None: ...

    def finished(self, outcome: Outcome) -> None: ...


class DeviceRun:
    """
    Args:
        until: by `time.monotonic`; nothing is begun after it.
        stop: once it is set, nothing more is begun.
    """

    def __init__(self, job: Job, operator: str, listener: Listener, *, until: float, stop: Event) -> None:
        self._job, self._operator, self._listener = job, operator, listener
        self._until, self._stop = until, stop
        self._token = secrets.token_hex(8)
        self._done: list[Done] = []
        self._held: tuple[Host, float] | None = None  # and the device's clock against ours
        self._renewed = 0.0

    def run(self) -> Outcome:
        outcome = Outcome(self._job.course.device)
        try:
            host = self._job.open()
            try:
                outcome = self._followed(host, outcome)
            finally:
                host.close()
        except FleetError as error:
            outcome = replace(outcome, error=error.message, hint=error.hint)
        return replace(outcome, done=tuple(self._done))

    @property
    def until(self) -> float:
        """By `time.monotonic`: after it, whoever waits for this run need not wait any longer."""
        return self._until

    def _followed(self, host: Host, outcome: Outcome) -> Outcome:
        seen, made = self._look(host)
        if made.error:
            return replace(outcome, error=made.error, hint=made.hint, observed=seen)
        if made.is_done:
            return replace(outcome, observed=seen)
        try:
            self._lock(host, seen.clock_off_s)
            seen, made = self._look(host)  # another operator may have just gone
            if made.error:
                return replace(outcome, error=made.error, hint=made.hint, observed=seen)
            self._do(host, made)
            return replace(outcome, observed=self._look(host)[0])
        finally:
            self._held = None
            with suppress(FleetError):  # a device that is gone: its lock runs out by itself
                host.unlock(self._holder(seen.clock_off_s))

    def _look(self, host: Host) -> tuple[Observed, Plan]:
        seen = host.observe(self._watch("look", LOOK_S))
        return seen, self._job.course.plan(seen)

    def _do(self, host: Host, made: Plan) -> None:
        touched = False
        for step in made.steps:
            touched |= step.kind in _OF_INFER
            try:
                self._step(host, step)
            except FleetError as error:
                if touched:
                    self._bring_back(host, error)
                raise

    def _bring_back(self, host: Host, error: FleetError) -> None:
        """The old infer is better than none, whatever ended the run; it gets the time for that."""
        back = Step(StepKind.RESTORE, f"what ran before comes back: {error.message}")
        self._until = max(self._until, time.monotonic() + DEADLINES[StepKind.RESTORE])
        with suppress(FleetError):  # it is on record, and what is told first is why it was needed
            self._step(host, back, urgent=True)

    def _step(self, host: Host, step: Step, *, urgent: bool = False) -> None:
        started = _now()
        watch = self._watch(step.kind.value, DEADLINES[step.kind], urgent=urgent)
        self._listener.step(self._name, step.kind.value, step.reason, None)
        try:
            self._job.course.execute(host, step, watch)
        except FleetError as error:
            self._record(Done(step, started, _now(), error.message, error.hint))
            raise
        self._record(Done(step, started, _now()))

    def _record(self, done: Done) -> None:
        self._done.append(done)
        self._listener.done(self._name, done)

    @property
    def _name(self) -> str:
        return self._job.course.device.name

    def _watch(self, what: str, within_s: float, *, urgent: bool = False) -> "_Watch":
        return _Watch(self, what, time.monotonic() + within_s, urgent=urgent)

    def _lock(self, host: Host, clock_off_s: float) -> None:
        host.lock(self._holder(clock_off_s), self._watch("lock", LOOK_S))
        self._held, self._renewed = (host, clock_off_s), time.monotonic()

    def _holder(self, clock_off_s: float) -> Holder:
        until = datetime.now(timezone.utc) + timedelta(seconds=LEASE_S + clock_off_s)
        return Holder(self._operator, self._token, until)

    def tell(self, what: str, message: str, percent: float | None) -> None:
        self._listener.step(self._name, what, message, percent)

    def remaining_s(self, what: str, until: float, *, urgent: bool) -> float:
        now = time.monotonic()
        if self._stop.is_set() and not urgent:
            raise FleetError(f"stopped during {what}", hint="Run it again: it goes on where it stopped.")
        left = (until if urgent else min(until, self._until)) - now
        if left <= 0:
            raise FleetError(f"{what} took longer than it may", hint="Look at the device, then run it again.")
        if self._held and now - self._renewed > RENEW_S:
            self._prolong(self._held)
        return left

    def _prolong(self, held: tuple[Host, float]) -> None:
        self._held = None  # the request for the lock asks for the time, too
        try:
            self._lock(*held)
        except FleetError:
            self._held = held  # who asks again after an outage must not go on without it
            raise


class _Watch:
    def __init__(self, run: DeviceRun, what: str, until: float, *, urgent: bool) -> None:
        self._run, self._what, self._until, self._urgent = run, what, until, urgent

    def update(self, message: str, percent: float | None = None) -> None:
        self._run.tell(self._what, message, percent)

    def remaining_s(self) -> float:
        return self._run.remaining_s(self._what, self._until, urgent=self._urgent)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
