"""What the measured rows come to: pure, from plain numbers to plain numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean

from app.infer.summary import percentile

STAGES = ("preprocess", "inference", "postprocess", "end_to_end")
OURS = "jetsmith"


@dataclass(frozen=True)
class Row:
    """One frame; of a batch, its share."""

    at_s: float  # since the first round began
    preprocess: float  # milliseconds, as the program itself tells them
    inference: float
    postprocess: float
    end_to_end: float  # by the clock around the call: frame in memory → detections


@dataclass(frozen=True)
class Round:
    """What one program did while the others waited."""

    rows: tuple[Row, ...]
    busy_s: float  # in calls
    began_s: float
    ended_s: float
    cpu_s: float  # of processors, by this program alone
    frames: int


@dataclass(frozen=True)
class Percentiles:
    p50: float
    p90: float
    p99: float


@dataclass(frozen=True)
class Started:
    """How a program came up."""

    seconds: float  # from the start of the process to its first detections; its files were in the page cache
    detail: str  # "FP32 on the GPU": what runs, in words
    gpu_bytes: int | None  # taken of the GPU's memory; None: nobody tells
    objects: int | None  # found on all frames


@dataclass(frozen=True)
class Figures:
    name: str
    title: str
    start: Started
    stages: dict[str, Percentiles]
    frames: int
    per_second: float
    peak_rss: int
    cpus: float  # processors kept busy
    watts: float | None
    rows: tuple[Row, ...] = field(repr=False)

    @property
    def p50(self) -> float:
        return self.stages["end_to_end"].p50

    @property
    def joules_a_frame(self) -> float | None:
        return None if self.watts is None else self.watts / self.per_second

    @property
    def frames_a_joule(self) -> float | None:
        return None if not self.watts else self.per_second / self.watts


def percentiles(values: Sequence[float]) -> Percentiles:
    return Percentiles(*(percentile(values, percent) for percent in (50, 90, 99)))


def figures_of(
    name: str, title: str, start: Started, rounds: Sequence[Round], peak_rss: int, watts: float | None
) -> Figures:
    rows = tuple(row for done in rounds for row in done.rows)
    frames, busy_s = sum(done.frames for done in rounds), sum(done.busy_s for done in rounds)
    lasted_s = sum(done.ended_s - done.began_s for done in rounds)
    return Figures(
        name=name,
        title=title,
        start=start,
        stages={stage: percentiles([getattr(row, stage) for row in rows]) for stage in STAGES},
        frames=frames,
        per_second=frames / busy_s,
        peak_rss=peak_rss,
        cpus=sum(done.cpu_s for done in rounds) / lasted_s,
        watts=watts,
        rows=rows,
    )


def mean_or_none(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def thinned(rows: Sequence[Row], most: int) -> list[Row]:
    """Evenly over the whole time."""
    return list(rows) if len(rows) <= most else [rows[index * len(rows) // most] for index in range(most)]
