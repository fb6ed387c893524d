"""Many devices: some first, then so many at a time, until all are done or too many have failed."""

import queue
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from threading import Event, Thread

from app.fleet.base import Outcome
from app.fleet.device_run import DeviceRun, Job, Listener

_TICK_S = 0.2
_GRACE_S = 10.0  # for a thread to notice that its time is over; bringing the old infer back has time of its own


@dataclass(frozen=True)
class Options:
    canary: int = 0  # so many alone first; one failure among them ends the run
    parallel: int = 8
    max_failures: int | None = None  # more end the run; None: however many
    device_s: float = 4 * 3600.0
    operator: str = ""


@dataclass
class _Running:
    index: int
    run: DeviceRun


@dataclass
class Rollout:
    """
    `run()` once. Each device has a thread of its own, which is left behind when it hangs beyond its time.

    Args:
        stop: set by who wants it to end: what is under way ends soon, the rest is skipped.
    """

    jobs: Sequence[Job]
    listener: Listener
    options: Options = field(default_factory=Options)
    stop: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        self._outcomes: dict[int, Outcome] = {}
        self._ended: queue.SimpleQueue[tuple[int, Outcome]] = queue.SimpleQueue()

    def run(self) -> tuple[Outcome, ...]:
        """The outcomes, in the order of the jobs."""
        everyone = range(len(self.jobs))
        first = everyone[: self.options.canary]
        self._wave(first)
        if self._failures(first):
            self._skip(everyone[self.options.canary :], "a device of the canary failed")
        else:
            self._wave(everyone[self.options.canary :])
        return tuple(self._outcomes[index] for index in everyone)

    def _wave(self, indices: Iterable[int]) -> None:
        waiting = deque(indices)
        running: dict[int, _Running] = {}
        while waiting or running:
            why = self._why_no_more()
            if why:
                self._skip(waiting, why)
                waiting.clear()
            while waiting and len(running) < self.options.parallel:
                index = waiting.popleft()
                running[index] = self._start(index)
            self._collect(running)

    def _why_no_more(self) -> str:
        if self.stop.is_set():
            return "the run was stopped"
        failed, most = self._failures(self._outcomes), self.options.max_failures
        return f"{failed} devices had failed" if most is not None and failed > most else ""

    def _start(self, index: int) -> _Running:
        until = time.monotonic() + self.options.device_s
        run = DeviceRun(self.jobs[index], self.options.operator, self.listener, until=until, stop=self.stop)
        Thread(target=self._device, args=(index, run), daemon=True, name=self._name(index)).start()
        return _Running(index, run)

    def _device(self, index: int, run: DeviceRun) -> None:
        device = self.jobs[index].course.device
        outcome = Outcome(device, error="jetsmith itself failed", hint="Please report the traceback above.")
        try:
            outcome = run.run()
        finally:
            self._ended.put((index, outcome))

    def _collect(self, running: dict[int, _Running]) -> None:
        """What has ended, or ought to have."""
        try:
            index, outcome = self._ended.get(timeout=_TICK_S if running else 0)
        except queue.Empty:
            self._leave_behind(running)
            return
        if index in running:  # else it was left behind
            del running[index]
            self._finish(index, outcome)

    def _leave_behind(self, running: dict[int, _Running]) -> None:
        now = time.monotonic()
        for one in [one for one in running.values() if now > one.run.until + _GRACE_S]:
            del running[one.index]
            self._finish(
                one.index,
                Outcome(
                    self.jobs[one.index].course.device,
                    error=f"it did not answer within {self.options.device_s:.0f} s",
                    hint="Is it reachable, and is its Docker well? Then run it again: it goes on where it stopped.",
                ),
            )

    def _finish(self, index: int, outcome: Outcome) -> None:
        self._outcomes[index] = outcome
        self.listener.finished(outcome)

    def _skip(self, indices: Iterable[int], why: str) -> None:
        for index in indices:
            self._finish(index, Outcome(self.jobs[index].course.device, skipped=why))

    def _failures(self, indices: Iterable[int]) -> int:
        return sum(bool(self._outcomes[index].error) for index in indices)

    def _name(self, index: int) -> str:
        return f"fleet {self.jobs[index].course.device.name}"
