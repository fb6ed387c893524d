"""Why it is slower than it should be: pure, from conditions and figures to lines with a remedy."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.bench.conditions import Conditions
from app.bench.figures import Figures
from app.types import Backend, Precision, Task

_CLOCK_DIP = 0.9  # of what is allowed
_STAGE_SHARE = 0.4
_STAGE_MS = 0.5  # less is not worth a word
_OTHERS_SHARE = 0.1  # of all processors
_SWAPPED = 8 << 20
_EMPTY_SHARE = 0.2  # of the input
_GRID = 32  # what the sides of an input are multiples of


@dataclass(frozen=True)
class Verdict:
    what: str
    remedy: str


@dataclass(frozen=True)
class Model:
    """What of the engine bears on its speed."""

    task: Task
    input_hw: tuple[int, int]
    backend: Backend
    precision: Precision
    has_gpu: bool  # this machine
    frames_on_gpu: bool  # it prepares them and reads the answers


def verdicts(
    ours: Figures, model: Model, conditions: Conditions, frames_hw: Sequence[tuple[int, int]]
) -> list[Verdict]:
    """The gravest first."""
    return [
        *_power(conditions),
        *_throttling(conditions),
        *_clocks(conditions),
        *_swap(conditions),
        *_others(conditions),
        *_backend(model),
        *_stages(ours, model),
        *_input_size(model, frames_hw),
    ]


def _power(conditions: Conditions) -> Iterator[Verdict]:
    power = conditions.power
    if power.is_below_fastest and power.fastest is not None:
        yield Verdict(
            f"the power mode is {power.name}, and {power.fastest.name} is faster",
            f"sudo nvpmodel -m {power.fastest.number}",
        )


def _throttling(conditions: Conditions) -> Iterator[Verdict]:
    for seen in conditions.throttled or ():
        remedy = "a stronger power supply, or a lower power mode"
        yield Verdict(seen, remedy if "current" in seen or "power" in seen else "better cooling: a fan, more air")


def _clocks(conditions: Conditions) -> Iterator[Verdict]:
    now, limit, top = conditions.gpu_hz_at_work, conditions.gpu_limit_hz, conditions.gpu_top_hz
    if limit is not None and top is not None and limit < top:
        yield Verdict(
            f"the GPU is held to {_mhz(limit)} of {_mhz(top)} MHz", "a faster power mode, then sudo jetson_clocks"
        )
    ceiling = limit if limit is not None else top
    if now is not None and ceiling is not None and now < _CLOCK_DIP * ceiling:
        yield Verdict(
            f"the GPU ran at {_mhz(now)} of {_mhz(ceiling)} MHz that it may", "sudo jetson_clocks, on a Jetson"
        )
    cpu, cpu_top = conditions.clocks.cpu_limit_hz, conditions.clocks.cpu_top_hz
    if cpu is not None and cpu_top is not None and cpu < cpu_top:
        yield Verdict(f"the processor is held to {_mhz(cpu)} of {_mhz(cpu_top)} MHz", "a faster power mode or governor")


def _swap(conditions: Conditions) -> Iterator[Verdict]:
    if conditions.swapped_bytes is not None and conditions.swapped_bytes >= _SWAPPED:
        yield Verdict(
            f"{conditions.swapped_bytes / 1e6:.0f} MB went to and from swap meanwhile",
            "close other programs, or compare fewer: --compare none",
        )


def _others(conditions: Conditions) -> Iterator[Verdict]:
    others, cpus = conditions.others_cpus, conditions.cpus
    if others is not None and cpus and others >= _OTHERS_SHARE * cpus:
        load = "" if conditions.load_average is None else f" (load {conditions.load_average:.1f})"
        yield Verdict(
            f"other programs kept {others:.1f} of {cpus} processors busy{load}", "close them, and measure again"
        )


def _backend(model: Model) -> Iterator[Verdict]:
    if not model.has_gpu:
        return
    if model.backend is Backend.ONNXRUNTIME:
        yield Verdict(
            "this engine runs on the processor, and there is a GPU",
            "jetsmith convert --backend tensorrt; jetsmith doctor",
        )
    elif model.precision is Precision.FP32:
        yield Verdict("this engine computes in FP32", "jetsmith convert --precision FP16")


def _stages(ours: Figures, model: Model) -> Iterator[Verdict]:
    whole = ours.p50
    for stage, name in (("preprocess", "preparing the frame"), ("postprocess", "reading the network's answer")):
        took = ours.stages[stage].p50
        if took < _STAGE_MS or took < _STAGE_SHARE * whole:
            continue
        yield Verdict(f"{name} takes {took / whole:.0%} of the time", _stage_remedy(stage, model))


def _stage_remedy(stage: str, model: Model) -> str:
    if model.backend is not Backend.ONNXRUNTIME and not model.frames_on_gpu:
        return "frame_path: auto, and what `jetsmith doctor` says of pycuda: the GPU can do that"
    if stage == "preprocess":
        return "smaller frames: they are made smaller here all the same"
    return "a higher --conf, or only the --classes that are wanted"


def _input_size(model: Model, frames_hw: Sequence[tuple[int, int]]) -> Iterator[Verdict]:
    """What of the input no frame fills, or fills only with pixels that were made up."""
    if model.task is Task.CLASSIFY or not frames_hw:  # which fills its input with a piece of the frame
        return
    height, width = model.input_hw
    needed = needed_input(model.input_hw, frames_hw)
    left = 1 - needed[0] * needed[1] / (height * width)
    if left >= _EMPTY_SHARE:
        yield Verdict(
            f"{left:.0%} of the input {height}×{width} shows nothing of these frames",
            f"jetsmith convert --imgsz {needed[0]} {needed[1]}",
        )


def needed_input(input_hw: tuple[int, int], frames_hw: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The smallest input that shows every frame as large as this one does, though never larger than it is."""
    scales = [min(input_hw[0] / h, input_hw[1] / w, 1.0) for h, w in frames_hw]
    height = max(h * scale for (h, _), scale in zip(frames_hw, scales, strict=True))
    width = max(w * scale for (_, w), scale in zip(frames_hw, scales, strict=True))
    return min(input_hw[0], _on_grid(height)), min(input_hw[1], _on_grid(width))


def _on_grid(pixels: float) -> int:
    return max(1, -int(-pixels // _GRID)) * _GRID


def _mhz(hertz: int) -> str:
    return f"{hertz / 1e6:.0f}"
