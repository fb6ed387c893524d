"""Under which conditions was measured: what the verdicts judge, as plain values. None: no file tells."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.bench.load import Load
from app.bench.sensors import Sample
from app.bench.watch import between
from app.infer.summary import percentile
from app.power import Clocks, Power

Interval = tuple[float, float]


@dataclass(frozen=True)
class Conditions:
    power: Power
    clocks: Clocks
    gpu_hz_at_work: int | None  # the median while the engine ran
    gpu_limit_hz: int | None
    gpu_top_hz: int | None
    hottest: tuple[str, float] | None  # zone and °C
    throttled: tuple[str, ...] | None  # what was seen, in words
    power_rails: str | None  # what the watts are made of
    idle_watts: float | None
    load_average: float | None  # before it began
    others_cpus: float | None  # processors that other programs kept busy meanwhile
    cpus: int | None
    swapped_bytes: int | None  # meanwhile
    swap_used_bytes: int | None


def clock_at_work(samples: Sequence[Sample], intervals: Sequence[Interval]) -> int | None:
    found = [
        sample.gpu_hz
        for began_s, ended_s in intervals
        for sample in between(samples, began_s, ended_s)
        if sample.gpu_hz is not None
    ]
    return round(percentile(found, 50)) if found else None


def hottest(samples: Sequence[Sample]) -> tuple[str, float] | None:
    found = [(celsius, zone) for sample in samples for zone, celsius in sample.celsius.items()]
    return None if not found else max(found)[::-1]


def throttled(samples: Sequence[Sample]) -> tuple[str, ...] | None:
    """What slowed the device down while it was watched."""
    if not any(sample.tells_of_throttling for sample in samples):
        return None
    reasons = sorted({reason for sample in samples for reason in sample.reasons or ()})
    seen = [f"the GPU was slowed by {reason}" for reason in reasons]
    seen += [f"cooling by {name}" for name in sorted({name for sample in samples for name in sample.cooling})]
    first, last = samples[0].events, samples[-1].events
    grown = {name: value - first.get(name, 0) for name, value in last.items() if value > first.get(name, 0)}
    over_current = sum(count for name, count in grown.items() if "/oc" in name)
    by_heat = sum(count for name, count in grown.items() if "/oc" not in name)
    if over_current:
        seen.append(f"the over-current protection stepped in {over_current} times")
    if by_heat:
        seen.append(f"processors were slowed by heat {by_heat} times")
    return tuple(seen)


def others_cpus(before: Load, after: Load, lasted_s: float, own_cpu_s: float) -> float | None:
    if before.busy_s is None or after.busy_s is None or lasted_s <= 0:
        return None
    others = (after.busy_s - before.busy_s - own_cpu_s) / lasted_s
    return max(0.0, others) if others > -0.1 else None  # far below nothing: this /proc/stat is not this machine's


def swapped(before: Load, after: Load) -> int | None:
    if before.swapped_bytes is None or after.swapped_bytes is None:
        return None
    return after.swapped_bytes - before.swapped_bytes
