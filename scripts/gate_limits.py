#!/usr/bin/env python3
"""
What the gate's limits are chosen by: how far good engines lie from the FP32 graph, and how far wrong ones do.

Good are the graphs that TensorRT is given in FP16 and INT8. Wrong are answers that are zeros, not numbers, or
shuffled; other weights; and graphs with one layer or one of INT8's steps spoilt. All run through ONNX Runtime: good
ones on pictures of what the model knows and on those that `convert` takes by default, which show an official model
little that it knows; wrong ones on the latter, where they are harder to catch.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, TensorProto, numpy_helper

from app.convert.agreement import Agreement, limits_for
from app.convert.calibration import calibrate
from app.convert.compare import Listening, compare
from app.convert.pictures import calibration_pictures, spread, verification_pictures
from app.convert.precision import Ranges, typed_graph
from app.convert.quantise import sites
from app.runtime.base import Runner, Tensors
from app.runtime.onnxruntime import OnnxRuntimeRunner
from app.types import Image, Precision
from app.vision.model import Model
from app.vision.pictures import read_picture
from config.settings import PROJECT_ROOT
from scripts.accuracy_table import DEMO, calibration_scenes, export_model, parser_of
from scripts.demo_scenes import TEST_SEED, draw_scene

OFFICIAL = {  # and the pictures of what it knows
    "yolov8n": "coco64",
    "yolov10n": "coco64",
    "yolo11n-seg": "coco64",
    "yolo26n-seg": "coco64",
    "yolo11n-pose": "coco8-pose",
    "yolo11n-obb": "dota8",
    "yolo11n-cls": "imagenet10",
}
PICTURES = 16
NOISE = 2.0  # times the weights' own spread
WRONG_STEP = 100.0
_SILENT: Callable[[object], None] = lambda _: None  # noqa: E731

Spoil = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]


@dataclass(frozen=True)
class Measured:
    model: str
    precision: str
    engine: str  # "good", or what is wrong with it
    pictures: str
    share: float  # of the limit, by the figure that uses most of it
    by: str
    figures: dict[str, float]


@dataclass(frozen=True)
class Case:
    name: str
    graph: Path
    ranges: Ranges
    known: list[Image]
    default: list[Image]
    work: Path

    def typed(self, precision: Precision, graph: Path, ranges: Ranges) -> Path:
        return typed_graph(graph, precision, self.work / "engine.onnx", ranges)


class Remembered(OnnxRuntimeRunner):
    """A graph that answers the same picture from memory."""

    def __init__(self, graph: Path) -> None:
        super().__init__(graph)
        self._answers: dict[bytes, Tensors] = {}

    def infer(self, feeds: Tensors) -> Tensors:
        key = hashlib.sha256(b"".join(values.tobytes() for values in feeds.values())).digest()
        if key not in self._answers:
            self._answers[key] = super().infer(feeds)
        return self._answers[key]


class Spoilt(Listening):
    """A runner whose answers are changed."""

    def __init__(self, runner: Runner, spoil: Spoil) -> None:
        super().__init__(runner)
        self._spoil = spoil

    def infer(self, feeds: Tensors) -> Tensors:
        return {name: self._spoil(values) for name, values in super().infer(feeds).items()}

    def __enter__(self) -> "Spoilt":
        return self  # it is another one's to enter and to leave

    def __exit__(self, *_: object) -> None:
        return None


@dataclass(frozen=True)
class Subject:
    """An engine, what it is in words, and the pictures that it is shown."""

    engine: str
    words: str
    pictures: Sequence[Image]
    runner: Runner


def measure(case: Case, precisions: Sequence[Precision]) -> Iterator[Measured]:
    with Remembered(case.graph) as exact:
        for precision in precisions:
            path = case.typed(precision, case.graph, case.ranges)
            for words, pictures in (("known", case.known), ("default", case.default)):
                yield from _measured(
                    case, [precision], Subject("good", words, pictures, OnnxRuntimeRunner(path)), exact
                )
            for engine, path in _wrong_graphs(case, precision):
                subject = Subject(engine, "default", case.default, OnnxRuntimeRunner(path))
                yield from _measured(case, [precision], subject, exact)
        for engine, spoil in _wrong_answers(case).items():
            subject = Subject(engine, "default", case.default, Spoilt(exact, spoil))
            yield from _measured(case, precisions, subject, exact)


def _measured(case: Case, precisions: Sequence[Precision], subject: Subject, exact: Runner) -> Iterator[Measured]:
    agreement = Agreement(pictures=len(subject.pictures))
    with subject.runner:
        ours, theirs = Listening(subject.runner), Listening(exact)
        models = Model(ours), Model(theirs)
        for picture in subject.pictures:
            compare(models, (ours, theirs), [picture], agreement)
    for precision in precisions:
        rows = agreement.rows(limits_for(exact.metadata.task, precision))
        worst = max(rows, key=lambda row: row.share if np.isfinite(row.share) else 1e9)
        figures = {row.name: row.value for row in rows} | {"objects": agreement.expected}
        name, shown = subject.engine, subject.words
        yield Measured(case.name, precision.value, name, shown, worst.share, worst.name, figures)


def _wrong_answers(case: Case) -> dict[str, Spoil]:
    model = onnx.load(case.graph, load_external_data=False)
    classes = len(eval(next(p.value for p in model.metadata_props if p.key == "names")))  # noqa: S307 (just exported)
    wrong: dict[str, Spoil] = {
        "zeros": np.zeros_like,
        "not numbers": lambda values: np.full_like(values, np.nan),
        "places reversed": lambda values: values[..., ::-1].copy() if values.ndim == 3 else values,
        "classes moved by one": lambda values: _classes_moved(values, classes),
    }
    if case.name.endswith("cls"):
        del wrong["places reversed"]
    elif classes == 1:
        del wrong["classes moved by one"]
    return wrong


def _classes_moved(values: npt.NDArray[Any], classes: int) -> npt.NDArray[Any]:
    if values.ndim == 4:  # prototypes of masks
        return values
    moved = values.copy()
    scores = slice(None) if values.ndim == 2 else slice(4, 4 + classes)
    moved[:, scores] = np.roll(values[:, scores], 1, axis=1)
    return moved


def _wrong_graphs(case: Case, precision: Precision) -> Iterator[tuple[str, Path]]:
    model = onnx.load(case.graph)
    random = np.random.default_rng(3)
    sizes = {t.name: int(np.prod(t.dims)) for t in model.graph.initializer if len(t.dims) == 4 and t.dims[0] > 1}
    layers = [name for name, size in sizes.items() if size > 100]
    yield "other weights", _with(case, precision, model, layers, random.permutation)
    name = max(layers, key=sizes.__getitem__)
    noisy = _with(case, precision, model, [name], lambda w: w + NOISE * w.std() * random.standard_normal(w.shape))
    yield "noise in its largest layer", noisy
    if precision is Precision.INT8:
        weights = {node.name: sizes.get(node.input[1], 0) for node in model.graph.node if len(node.input) > 1}
        largest = max(case.ranges, key=weights.__getitem__)
        read = next(site.reads for site in sites(model) if site.node == largest)
        spoilt = [site.node for site in sites(model) if site.reads == read and site.node in case.ranges]
        for words, factor in (("small", 1 / WRONG_STEP), ("large", WRONG_STEP)):
            ranges = {**case.ranges, **{node: case.ranges[node] * factor for node in spoilt}}
            yield f"one step too {words}", case.typed(precision, case.graph, ranges)


def _with(case: Case, precision: Precision, model: ModelProto, names: Sequence[str], spoil: Spoil) -> Path:
    changed = ModelProto()
    changed.CopyFrom(model)
    for tensor in changed.graph.initializer:
        if tensor.name in names and tensor.data_type == TensorProto.FLOAT:
            values = spoil(numpy_helper.to_array(tensor)).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    path = case.work / "wrong.onnx"
    onnx.save(changed, path)
    return case.typed(precision, path, case.ranges)


def _case(name: str, data: Path, work: Path) -> Case:
    graph = export_model(name, data, work)
    if name in DEMO:
        known = [draw_scene(DEMO[name], TEST_SEED + index).image for index in range(PICTURES)]
        calibration = calibration_scenes(DEMO[name], work)
    else:
        found = calibration_pictures(str(data / "images" / OFFICIAL[name]))
        known = [read_picture(path) for path in spread(found[1::2] if len(found) > 2 * PICTURES else found, PICTURES)]
        calibration = found[::2] if len(found) > 2 * PICTURES else found
    ranges = calibrate(graph, calibration, work, _SILENT, _SILENT)
    default = verification_pictures(None, PROJECT_ROOT / "models" / "demo" / "scenes", PICTURES)
    return Case(name, graph, ranges, known, [read_picture(path) for path in default], work)


def table(rows: Sequence[Measured]) -> str:
    lines = ["| model | precision | engine | pictures | of the limit | by |", "|---|---|---|---|---|---|"]
    for row in rows:
        lines.append(
            f"| {row.model} | {row.precision} | {row.engine} | {row.pictures} | {row.share:.2f} "
            f"| {row.by} {row.figures[row.by]:.3g} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = parser_of("Prints how much of the gate's limits good and wrong engines use.", [*DEMO, *OFFICIAL])
    args = parser.parse_args()
    rows: list[Measured] = []
    for name in args.models:
        print(f"{name} …", file=sys.stderr, flush=True)
        with TemporaryDirectory() as folder:
            rows += measure(_case(name, args.data, Path(folder)), args.precisions)
        if args.json:
            args.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
