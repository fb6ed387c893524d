"""Reads the sensors in a thread while programs are measured; what was drawn in an interval is then worked out."""

import threading
import time
from collections.abc import Sequence
from statistics import fmean
from types import TracebackType

from app.bench.sensors import Sample, Sensors, whole

_EVERY_S = 0.1


class Watch:
    """Entering begins to read, leaving ends it. Moments count from `zero_s` of the monotonic clock."""

    def __init__(self, sensors: Sensors, zero_s: float, every_s: float = _EVERY_S) -> None:
        self._sensors, self._zero_s, self._every_s = sensors, zero_s, every_s
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sensors", daemon=True)
        self.samples: list[Sample] = []

    def __enter__(self) -> "Watch":
        self._take()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        self._take()

    def _run(self) -> None:
        while not self._done.wait(self._every_s):
            self._take()

    def _take(self) -> None:
        self.samples.append(self._sensors.read(time.monotonic() - self._zero_s))


def between(samples: Sequence[Sample], began_s: float, ended_s: float) -> list[Sample]:
    return [sample for sample in samples if began_s <= sample.at_s <= ended_s]


def rails(samples: Sequence[Sample]) -> dict[str, float]:
    """Mean watts by rail over an interval; a counter that has begun anew, as RAPL's do, says nothing."""
    found = {rail: fmean(sample.watts[rail] for sample in samples if rail in sample.watts) for rail in _names(samples)}
    if len(samples) < 2:
        return found
    first, last = samples[0], samples[-1]
    for name, since in first.joules.items():
        grown = last.joules.get(name, since) - since
        if grown >= 0 and name in last.joules and last.at_s > first.at_s:
            found[name] = grown / (last.at_s - first.at_s)
    return found


def watts(samples: Sequence[Sample], intervals: Sequence[tuple[float, float]]) -> float | None:
    """Of all intervals together, the whole that the sensors tell of."""
    drawn, lasted = 0.0, 0.0
    for began_s, ended_s in intervals:
        total = whole(rails(between(samples, began_s, ended_s)))
        if total is not None:
            drawn += total[0] * (ended_s - began_s)
            lasted += ended_s - began_s
    return drawn / lasted if lasted else None


def measured_as(samples: Sequence[Sample]) -> str | None:
    """What the watts are made of."""
    total = whole(rails(samples))
    return None if total is None else total[1]


def _names(samples: Sequence[Sample]) -> set[str]:
    return {rail for sample in samples for rail in sample.watts}
