"""Figures and conditions, made up."""

from dataclasses import replace
from typing import Any

from app.bench.conditions import Conditions
from app.bench.figures import Figures, Round, Row, Started, figures_of
from app.power import Clocks, Mode, Power

FAST = Power("2", "MAXN", Mode("2", "MAXN"))
NO_CLOCKS = Clocks(None, None, None, None, None)
CALM = Conditions(
    power=FAST,
    clocks=NO_CLOCKS,
    gpu_hz_at_work=None,
    gpu_limit_hz=None,
    gpu_top_hz=None,
    hottest=None,
    throttled=(),
    power_rails=None,
    idle_watts=None,
    load_average=0.1,
    others_cpus=0.0,
    cpus=6,
    swapped_bytes=0,
    swap_used_bytes=0,
)


def conditions(**changes: Any) -> Conditions:
    return replace(CALM, **changes)


def a_round(*rows: tuple[float, float, float], began_s: float = 0.0) -> Round:
    """Of (preprocess, inference, postprocess); the call takes 1 ms more than all three."""
    made = tuple(Row(began_s + at, *stages, sum(stages) + 1) for at, stages in enumerate(rows))
    busy_s = sum(row.end_to_end for row in made) / 1e3
    return Round(made, busy_s, began_s, began_s + 1.0, 0.5, len(made))


def figures(
    pre: float = 1.0,
    inference: float = 7.0,
    post: float = 1.0,
    *,
    name: str = "jetsmith",
    watts: float | None = None,
    rss: int = 100_000_000,
    gpu: int | None = None,
    start_s: float = 0.5,
) -> Figures:
    started = Started(start_s, "TensorRT 10.3.0 FP16, frames prepared by the GPU", gpu, 3)
    return figures_of(name, f"title of {name}", started, [a_round((pre, inference, post))], rss, watts)
