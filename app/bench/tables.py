"""A benchmark in words: lines of text, pure. The command line prints them."""

from collections.abc import Iterator, Sequence

from app.bench.benchmark import Benchmark
from app.bench.comparison import compare
from app.bench.conditions import Conditions
from app.bench.figures import STAGES, Figures
from app.device import UNKNOWN, Device
from app.text import printable

_STAGES = dict(zip(STAGES, ("preprocess", "inference", "postprocess", "end to end"), strict=True))
_CLOCKS = "at work", "limit", "top"
_DIGITS = {"ms": 1, "s": 2, "frames/s": 1, "MB": 0, "W": 1, "mJ": 1}


def as_text(bench: Benchmark) -> str:
    parts = [
        [_headline(bench)],
        _first_table(bench),
        _stage_table(bench.ours),
        _program_table(bench),
        [f"not measured: {absent.name}: {absent.reason}" for absent in bench.absent],
        list(_conditions(bench.conditions, bench.device)),
        _verdicts(bench),
    ]
    return "\n\n".join("\n".join(printable(line) for line in part) for part in parts if part)


def gpu_memory_name(device: Device) -> str | None:
    """A Jetson's GPU takes the memory of all."""
    if device.gpu is None:
        return None
    return "memory, GPU and all" if device.gpu.integrated else "GPU memory"


def _headline(bench: Benchmark) -> str:
    engine, frames = bench.options.engine, bench.frames
    height, width = engine.metadata.imgsz
    batch = "" if engine.metadata.batch == 1 else f", batch {engine.metadata.batch}"
    noun = "frame" if len(frames.images) == 1 else "frames"
    return (
        f"{engine.manifest.weights.name}, {engine.metadata.task.value}, input {height}×{width}{batch}; "
        f"{len(frames.images)} {noun} of {frames.source}; {bench.options.duration_s:g} s each, by turns"
    )


def _first_table(bench: Benchmark) -> list[str]:
    theirs = bench.of("pytorch")
    if theirs is None:
        return []
    rows = [["", theirs.title, bench.ours.title, ""]]
    for line in compare(theirs, bench.ours, gpu=gpu_memory_name(bench.device)):
        values = [_amount(value, line.unit) for value in (line.theirs, line.ours)]
        rows.append([line.metric, *values, line.in_words])
    return aligned(rows, left=(0, 3))


def _stage_table(ours: Figures) -> list[str]:
    rows = [["this engine, ms a frame", "p50", "p90", "p99"]]
    for stage, name in _STAGES.items():
        found = ours.stages[stage]
        rows.append([name, *(f"{value:.2f}" for value in (found.p50, found.p90, found.p99))])
    return aligned(rows)


def _program_table(bench: Benchmark) -> list[str]:
    rows = [["p50, ms a frame", *_STAGES.values(), "frames/s", "start", "memory", "objects"]]
    for found in bench.figures:
        stages = [f"{found.stages[stage].p50:.1f}" for stage in _STAGES]
        if found.name == "onnxruntime":  # it neither prepares nor reads
            stages[0] = stages[2] = "–"
        objects = "–" if found.start.objects is None else str(found.start.objects)
        memory, start = _amount(found.peak_rss / 1e6, "MB"), _amount(found.start.seconds, "s")
        rows.append([found.title, *stages, f"{found.per_second:.1f}", start, memory, objects])
    return [*aligned(rows), *(f"  {found.title}: {found.start.detail}" for found in bench.figures)]


def _conditions(conditions: Conditions, device: Device) -> Iterator[str]:
    power = conditions.power
    yield f"device:     {_device_name(device)}, power mode {power.name if power.name != UNKNOWN else power.number}"
    yield f"clocks:     {_clocks(conditions)}"
    heat = (
        UNKNOWN if conditions.hottest is None else f"hottest {conditions.hottest[1]:.0f} °C ({conditions.hottest[0]})"
    )
    throttled = UNKNOWN if conditions.throttled is None else "; ".join(conditions.throttled) or "none seen"
    yield f"heat:       {heat}; throttling {throttled}"
    rails = "no sensor that this user can read" if conditions.power_rails is None else conditions.power_rails
    yield f"power from: {rails}; idle {_amount(conditions.idle_watts, 'W')}"
    others = UNKNOWN if conditions.others_cpus is None else f"{conditions.others_cpus:.1f} of {conditions.cpus}"
    swapped = None if conditions.swapped_bytes is None else conditions.swapped_bytes / 1e6
    yield f"beside it:  other programs kept {others} processors busy; swapped {_amount(swapped, 'MB')}"


def _clocks(conditions: Conditions) -> str:
    """In MHz, what is known of them."""
    clocks = conditions.clocks
    known = {
        "GPU": (conditions.gpu_hz_at_work, conditions.gpu_limit_hz, conditions.gpu_top_hz),
        "processor": (None, clocks.cpu_limit_hz, clocks.cpu_top_hz),
    }
    words = []
    for name, values in known.items():
        said = [
            f"{word} {hertz / 1e6:.0f} MHz" for word, hertz in zip(_CLOCKS, values, strict=True) if hertz is not None
        ]
        words += [f"{name} {', '.join(said)}"] if said else []
    return "; ".join(words) or UNKNOWN


def _verdicts(bench: Benchmark) -> list[str]:
    if not bench.verdicts:
        return ["Nothing was found that makes it slower than it should be."]
    return ["Slower than it should be, because:", *(f"  - {found.what} → {found.remedy}" for found in bench.verdicts)]


def _device_name(device: Device) -> str:
    if device.kind == "jetson":
        return device.module
    return f"{device.cpu_model}{f' and {device.gpu.name}' if device.gpu else ''}"


def aligned(rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> list[str]:
    """Columns two blanks apart, to the right but for those in `left`."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def _amount(value: float | None, unit: str) -> str:
    return UNKNOWN if value is None else f"{value:.{_DIGITS[unit]}f} {unit}"
