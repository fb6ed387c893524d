"""The first table: PyTorch FP32 beside this engine, in speed, memory and energy. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from app.bench.figures import Figures

_EVEN = 1.05  # nearer than this nobody is better
_AMOUNTS = ("MB", "W", "mJ")  # of which less is better, and said as a share
_START = "start to first detection"


@dataclass(frozen=True)
class Compared:
    """One line; None: nobody tells."""

    metric: str
    unit: str
    theirs: float | None
    ours: float | None
    more_is_better: bool = False

    @property
    def factor(self) -> float | None:
        """How many times better this engine is; below 1 it is worse."""
        if not self.theirs or not self.ours:
            return None
        return self.ours / self.theirs if self.more_is_better else self.theirs / self.ours

    @property
    def in_words(self) -> str:
        factor = self.factor
        if factor is None:
            return "none" if self.theirs and self.ours == 0 else ""
        if 1 / _EVEN < factor < _EVEN:
            return "the same"
        if self.unit in _AMOUNTS:
            return _amount_in_words(factor)
        better, worse = ("sooner", "later") if self.metric == _START else ("faster", "slower")
        return f"{factor:.1f}× {better}" if factor > 1 else f"{1 / factor:.1f}× {worse}"


def _amount_in_words(factor: float) -> str:
    if factor > 1:
        return f"{1 - 1 / factor:.0%} less"
    return f"{1 / factor - 1:.0%} more" if factor > 0.5 else f"{1 / factor:.1f}× as much"


def compare(theirs: Figures, ours: Figures, *, gpu: str | None) -> list[Compared]:
    """
    Args:
        gpu: what its memory is called; None where there is no GPU.
    """

    def both(metric: str, unit: str, read: Callable[[Figures], float | None], *, more: bool = False) -> Compared:
        return Compared(metric, unit, read(theirs), read(ours), more)

    lines = [
        both("inference, p50", "ms", lambda found: found.stages["inference"].p50),
        both("end to end, p50", "ms", lambda found: found.p50),
        both("end to end, p99", "ms", lambda found: found.stages["end_to_end"].p99),
        both("throughput", "frames/s", lambda found: found.per_second, more=True),
        both(_START, "s", lambda found: found.start.seconds),
        both("memory, peak", "MB", lambda found: found.peak_rss / 1e6),
    ]
    if gpu is not None:
        lines.append(both(gpu, "MB", lambda found: _scaled(found.start.gpu_bytes, 1e-6)))
    return [
        *lines,
        both("power", "W", lambda found: found.watts),
        both("energy a frame", "mJ", lambda found: _scaled(found.joules_a_frame, 1e3)),
    ]


def _scaled(value: float | None, by: float) -> float | None:
    return None if value is None else value * by
