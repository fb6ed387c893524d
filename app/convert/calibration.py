"""
How large a network's inner tensors grow on real pictures: what the steps of INT8 are chosen by.

Each tensor's magnitudes are counted in a histogram as the pictures pass, so memory does not grow with their number.
A layer whose input would lose too much to 127 steps is told from that histogram too, and stays out of INT8.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import GraphProto, ModelProto

from app.convert.calibrate import LEAST_DB, PERCENT
from app.convert.quantise import LEVELS, Site, sites
from app.errors import PrecisionFailed, SourceError
from app.runtime.onnxruntime import OnnxRuntimeRunner
from app.vision.model import input_buffer
from app.vision.pictures import read_picture
from app.vision.preprocess import prepare_into

_BINS = 4096
_ZERO = 1e-30  # less than this, and the arithmetic of steps leaves float32's range
_AT_ONCE = 256 * 2**20  # bytes of inner tensors that one pass over the pictures may hold

Report = Callable[[float], None]


class Histogram:
    """Counts of magnitudes, from 0 to a limit that doubles whenever a larger one comes."""

    def __init__(self) -> None:
        self.counts = np.zeros(_BINS, np.int64)
        self.limit = 0.0

    def add(self, values: npt.NDArray[Any]) -> None:
        magnitudes = np.abs(values).ravel()
        largest = float(magnitudes.max(initial=0.0))
        if largest < _ZERO:
            self.counts[0] += magnitudes.size
            return
        self.limit = self.limit or largest
        while largest > self.limit:
            self.counts = np.concatenate([self.counts.reshape(-1, 2).sum(1), np.zeros(_BINS // 2, np.int64)])
            self.limit *= 2
        bins = np.minimum(magnitudes * (_BINS / self.limit), _BINS - 1).astype(np.int32)
        self.counts += np.bincount(bins, minlength=_BINS)

    def percentile(self, percent: float) -> float:
        """The magnitude that `percent` of all values do not exceed, to a bin's width; 0 if all were 0."""
        if self.limit == 0.0:
            return 0.0
        reached = int(np.searchsorted(np.cumsum(self.counts), self.counts.sum() * percent / 100))
        return (min(reached, _BINS - 1) + 1) * self.limit / _BINS

    def decibels(self, largest: float) -> float:
        """Signal to noise of the values once they are written in 127 steps up to `largest`, cut off beyond."""
        values = (np.arange(_BINS) + 0.5) * self.limit / _BINS
        step = largest / LEVELS
        noise = values - np.minimum(np.rint(values / step), LEVELS) * step
        return float(10 * np.log10((self.counts * values**2).sum() / (self.counts * noise**2).sum()))


def calibrate(
    source: Path, pictures: Sequence[Path], work: Path, progress: Report, warn: Callable[[str], None]
) -> dict[str, float]:
    """
    Which layers of the checked FP32 graph `source` compute in INT8, and the largest magnitude of each one's input.

    Raises:
        PrecisionFailed: no picture can be read, or no layer can do with INT8.
    """
    model = onnx.shape_inference.infer_shapes(onnx.load(source))
    wanted = sites(model)
    readable = _readable(pictures, warn)
    passes = _passes(model.graph, wanted)
    counted: dict[str, Histogram] = {}
    for number, names in enumerate(passes):
        graph = _with_outputs(model, names, work / "calibration.onnx")
        counted.update(_count(graph, names, readable, partial(_report, progress, number, len(passes))))
        graph.unlink()
    ranges = _ranges(wanted, counted)
    if not ranges:
        raise PrecisionFailed(
            f"{source.name} has no layer that keeps its accuracy in INT8", hint="Build it with --precision FP16."
        )
    return ranges


def _report(progress: Report, passed: int, passes: int, part: float) -> None:
    progress((passed + part) / passes)


def _ranges(wanted: Sequence[Site], counted: dict[str, Histogram]) -> dict[str, float]:
    ranges = {}
    for site in wanted:
        histogram = counted[site.reads]
        largest = histogram.percentile(PERCENT)
        if largest > 0 and histogram.decibels(largest) >= LEAST_DB:
            ranges[site.node] = largest
    return ranges


def _readable(pictures: Sequence[Path], warn: Callable[[str], None]) -> list[Path]:
    readable = []
    for path in pictures:
        try:
            read_picture(path)
        except SourceError as error:
            warn(f"{path} is left out of the calibration: {error.message}")
        else:
            readable.append(path)
    if not readable:
        raise PrecisionFailed(
            f"None of the {len(pictures)} calibration pictures can be read",
            hint="Set calibration.images to pictures of what the model will see, 100 or more.",
        )
    return readable


def _passes(graph: GraphProto, wanted: Sequence[Site]) -> list[list[str]]:
    """The tensors to listen to, in portions that memory allows."""
    bytes_of = _sizes(graph)
    passes: list[list[str]] = []
    room = 0
    for name in dict.fromkeys(site.reads for site in wanted):
        if not passes or bytes_of[name] > room:
            passes.append([])
            room = _AT_ONCE
        passes[-1].append(name)
        room -= bytes_of[name]
    return passes


def _sizes(graph: GraphProto) -> dict[str, int]:
    infos = [*graph.value_info, *graph.input, *graph.output]
    return {info.name: 4 * int(np.prod([d.dim_value for d in info.type.tensor_type.shape.dim])) for info in infos}


def _with_outputs(model: ModelProto, names: Sequence[str], path: Path) -> Path:
    """The graph with the tensors `names` as its only outputs, written to `path`."""
    infos = {info.name: info for info in [*model.graph.value_info, *model.graph.input, *model.graph.output]}
    listening = ModelProto()
    listening.CopyFrom(model)
    listening.graph.ClearField("output")
    listening.graph.output.extend(infos[name] for name in names)
    onnx.save(listening, path)
    return path


def _count(graph: Path, names: Sequence[str], pictures: Sequence[Path], progress: Report) -> dict[str, Histogram]:
    counted = {name: Histogram() for name in names}
    with OnnxRuntimeRunner(graph, optimise=True) as runner:
        name, batch = input_buffer(runner)
        for start in range(0, len(pictures), len(batch)):
            chosen = [pictures[(start + offset) % len(pictures)] for offset in range(len(batch))]  # no empty slot
            for slot, path in zip(batch, chosen, strict=True):
                prepare_into(slot, read_picture(path), runner.metadata.task)
            for tensor, values in runner.infer({name: batch}).items():
                if not np.isfinite(values).all():
                    raise PrecisionFailed(
                        f"The tensor {tensor!r} is not finite on {chosen[0]}, already in FP32",
                        hint="Look at the weights: a model that was trained to the end has no such values.",
                    )
                counted[tensor].add(values)
            progress(min(1.0, (start + len(batch)) / len(pictures)))
    return counted
