"""A picture of the latencies. matplotlib is loaded here alone, and draws without a screen."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from app.bench.figures import STAGES, Figures, thinned
from app.errors import BackendUnavailable
from app.infer.sinks.files import write_atomically

_COLOURS = {"jetsmith": "#1b7837", "pytorch": "#b2182b", "onnxruntime": "#7f7f7f", "ultralytics": "#2166ac"}
_STAGE_COLOURS = ("#92c5de", "#4d4d4d", "#f4a582")
_MOST_POINTS = 4000
_SPREAD = 8.0  # from here on the quickest would be squeezed against the edge, and the scale is logarithmic


def require_plotting() -> None:
    """
    Before the measurement, not after it.

    Raises:
        BackendUnavailable: matplotlib is not installed.
    """
    import importlib.util

    if importlib.util.find_spec("matplotlib") is None:
        raise BackendUnavailable(
            "--plot needs matplotlib, which is not installed", hint='Install it: pip install "jetsmith[bench]"'
        )


def draw(figures: Sequence[Figures], title: str, path: Path) -> None:
    """
    Raises:
        OutputError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    canvas = FigureCanvasAgg(Figure(figsize=(11, 8), dpi=110, layout="constrained"))
    figure = canvas.figure
    panels = figure.subplot_mosaic([["stages", "stages"], ["share", "time"]], height_ratios=[2, 3])
    figure.suptitle(title, fontsize=12)
    _stages(panels["stages"], figures)
    _share(panels["share"], figures)
    _time(panels["time"], figures)
    handles, labels = panels["share"].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(figures))
    picture = BytesIO()
    figure.savefig(picture, format="png")
    write_atomically(path, picture.getvalue())


def _stages(axes: Any, figures: Sequence[Figures]) -> None:
    """Where the time goes: the medians of the stages beside each other."""
    titles = [found.title for found in figures]
    ends = [0.0] * len(figures)
    for stage, colour in zip(STAGES[:3], _STAGE_COLOURS, strict=True):
        widths = [found.stages[stage].p50 for found in figures]
        axes.barh(titles, widths, left=ends, color=colour, label=stage)
        ends = [end + width for end, width in zip(ends, widths, strict=True)]
    for index, found in enumerate(figures):
        axes.text(ends[index], index, f"  {found.p50:.1f} ms, {found.per_second:.1f} frames/s", va="center")
    axes.invert_yaxis()
    axes.set_xlim(0, max(ends) * 1.25)
    axes.set_xlabel("ms a frame, median")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, fontsize=9, frameon=False)


def _share(axes: Any, figures: Sequence[Figures]) -> None:
    for found in figures:
        ordered = sorted(row.end_to_end for row in thinned(found.rows, _MOST_POINTS))
        shares = [(index + 1) / len(ordered) for index in range(len(ordered))]
        axes.step(ordered, shares, where="post", color=_COLOURS[found.name], label=found.title)
    for percent in (50, 90, 99):
        axes.axhline(percent / 100, color="#cccccc", linewidth=0.8, zorder=0)
        where = axes.get_yaxis_transform()
        axes.text(0.01, percent / 100, f"p{percent}", transform=where, va="bottom", fontsize=9, color="#666666")
    _limit(axes.set_xscale, axes.set_xlim, axes.xaxis, figures)
    axes.set_xlabel("ms from frame to detections")
    axes.set_ylabel("share of frames that took no longer")


def _time(axes: Any, figures: Sequence[Figures]) -> None:
    for found in figures:
        rows = thinned(found.rows, _MOST_POINTS)
        colour = _COLOURS[found.name]
        axes.plot([row.at_s for row in rows], [row.end_to_end for row in rows], ".", color=colour, markersize=4)
        axes.axhline(found.p50, color=colour, linewidth=0.8, alpha=0.6)
    _limit(axes.set_yscale, axes.set_ylim, axes.yaxis, figures)
    axes.set_xlabel("seconds; each point a frame, each line a median")
    axes.set_ylabel("ms from frame to detections")


def _limit(set_scale: Any, set_limit: Any, axis: Any, figures: Sequence[Figures]) -> None:
    """From the quickest frame to a little above the slowest hundredth: beyond that are single frames."""
    from matplotlib.ticker import LogLocator, NullFormatter

    least = min(row.end_to_end for found in figures for row in found.rows)
    most = max(found.stages["end_to_end"].p99 for found in figures)
    if most > _SPREAD * least:
        set_scale("log")
        set_limit(0.8 * least, 1.3 * most)
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())
    else:
        set_limit(0, 1.2 * most)
