"""What a run did, in figures that do not grow with its length."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from app.infer.frame import Frame, Kind
from app.infer.lane import SourceState
from app.types import Result, Speed

_STAGES = ("preprocess", "inference", "postprocess")
_INTERRUPTED_EXIT = 130  # what a shell says of a process that Ctrl-C ended
_SPEEDS_KEPT = 8192


class End(Enum):
    """Why a run ended."""

    DONE = "done"
    INTERRUPTED = "interrupted"  # by a signal, or whoever else set the stop
    UNREAD = "unread"  # the reader of the output has gone: `| head -1`


@dataclass(frozen=True)
class Summary:
    """What a run did. The speeds are of the pictures that were done; None where there were none."""

    pictures: int  # frames of every kind
    failures: int
    detections: int | None  # None for a model that classifies
    p50_ms: Speed | None
    p95_ms: Speed | None
    end: End
    are_frames: bool = False  # of videos or cameras, at least some of them
    seconds: float | None = None
    dropped: int = 0
    losses: int = 0
    at_once: int = 1  # how many frames were computed at the same time

    @property
    def exit_code(self) -> int:
        """0 all well, 3 some inputs failed, 130 interrupted."""
        if self.end is End.INTERRUPTED:
            return _INTERRUPTED_EXIT
        return 3 if self.failures else 0

    def __str__(self) -> str:
        noun = "frame" if self.are_frames else "picture"
        parts = [_count(self.pictures, noun)]
        if self.are_frames and self.seconds:
            parts[0] += f" in {self.seconds:.1f} s ({self.pictures / self.seconds:.1f} a second)"
        if self.detections is not None:
            parts.append(_count(self.detections, "object"))
        if self.dropped:
            parts.append(f"{self.dropped} dropped")
        if self.losses:
            parts.append(f"lost {_count(self.losses, 'time')}")
        if self.failures:
            parts.append(f"{self.failures} failed")
        if self.p50_ms is not None:
            stages = ", ".join(f"{stage} {getattr(self.p50_ms, stage):.1f}" for stage in _STAGES)
            together = f", {self.at_once} at a time" if self.at_once > 1 else ""
            parts.append(f"median ms a {noun}{together}: {stages}")
        if self.end is End.INTERRUPTED:
            parts.append("interrupted")
        return "; ".join(parts)


@dataclass
class Tally:
    """Counts while a run goes on."""

    pictures: int = 0
    failures: int = 0
    detections: int | None = None
    are_frames: bool = False
    at_once: int = 1
    began: float = field(default_factory=time.monotonic)
    _speeds: list[Speed] = field(default_factory=list)
    _every: int = 1  # of the speeds, so many are left out that those kept stay few

    def add_failure(self) -> None:
        self.failures += 1

    def add(self, frame: Frame, result: Result) -> None:
        if result.detections is not None:
            self.detections = (self.detections or 0) + len(result.detections)
        self.are_frames = self.are_frames or frame.kind is not Kind.PICTURE
        if self.pictures % self._every == 0:
            self._speeds.append(result.speed_ms)
        self.pictures += 1
        if len(self._speeds) >= _SPEEDS_KEPT:  # evenly over the whole run, without growing
            self._speeds, self._every = self._speeds[::2], 2 * self._every

    def summary(self, end: End, states: Sequence[SourceState] = ()) -> Summary:
        return Summary(
            pictures=self.pictures,
            failures=self.failures,
            detections=self.detections,
            p50_ms=_speed_at(self._speeds, 50),
            p95_ms=_speed_at(self._speeds, 95),
            end=end,
            are_frames=self.are_frames,
            seconds=time.monotonic() - self.began,
            dropped=sum(state.dropped for state in states),
            losses=sum(state.losses for state in states),
            at_once=self.at_once,
        )


def percentile(values: Sequence[float], percent: float) -> float:
    """Between neighbours in proportion, as np.percentile does; that takes 50 ms to load numpy.ma."""
    ordered = sorted(values)
    at = (len(ordered) - 1) * percent / 100
    low, share = int(at), at % 1
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + share * (ordered[high] - ordered[low])


def _speed_at(speeds: Sequence[Speed], percent: float) -> Speed | None:
    """Stage by stage."""
    if not speeds:
        return None
    return Speed(*(percentile([getattr(speed, stage) for speed in speeds], percent) for stage in _STAGES))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
