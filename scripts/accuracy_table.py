#!/usr/bin/env python3
"""
What FP16 and INT8 cost in accuracy: mAP50-95 (classification: top-1) of each precision's graph against the FP32 graph.

Runs the very graphs that TensorRT is given, through ONNX Runtime, so it needs no GPU; an engine's kernels add their own
rounding. Demo models are scored on scenes that they were not trained on and calibrated on others; official weights
on 64 labelled pictures of COCO, of which every second one calibrates.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2

from app.convert.calibrate import METHOD
from app.convert.calibration import calibrate
from app.convert.export import ExportOptions, export_onnx
from app.convert.precision import Ranges, check_graph, typed_graph
from app.convert.quantise import sites
from app.convert.truth import LEAST_CONFIDENCE, Truth, read_truth, score
from app.progress import SilentReporter
from app.runtime.onnxruntime import OnnxRuntimeRunner
from app.types import Image, Precision, Task
from app.vision.labels import parse_labels
from app.vision.model import Model, Thresholds
from app.vision.pictures import read_picture
from config.settings import PROJECT_ROOT
from scripts.demo_scenes import TEST_SEED, draw_scene, label_lines
from scripts.demo_shapes import ROBOT_POINTS

CALIBRATION_SEED = 4_000_000  # apart from training, validation, tests and samples
CALIBRATION_SCENES = 100
DEMO = {
    "demo-detect": Task.DETECT,
    "demo-seg": Task.SEGMENT,
    "demo-pose": Task.POSE,
    "demo-obb": Task.OBB,
    "demo-cls": Task.CLASSIFY,
}
OFFICIAL = ("yolov8n", "yolo11n-seg")
_SILENT: Callable[[object], None] = lambda _: None  # noqa: E731


@dataclass(frozen=True)
class Sample:
    """What a model is scored on, and calibrated on."""

    pictures: list[Image]
    truth: Truth
    calibration: list[Path]
    words: str


@dataclass(frozen=True)
class Row:
    model: str
    measure: str
    precision: str
    value: float
    ratio: float  # to FP32
    int8_layers: int
    layers: int
    pictures: str


def rows_of(name: str, count: int, data: Path, precisions: Sequence[Precision]) -> list[Row]:
    """One row a precision; `count` pictures at most, `data` has the official weights and their pictures."""
    with TemporaryDirectory() as folder:
        work = Path(folder)
        graph = export_model(name, data, work)
        sample = _scenes(DEMO[name], count, work) if name in DEMO else _coco(graph, count, data)
        ranges = calibrate(graph, sample.calibration, work, _SILENT, _SILENT) if Precision.INT8 in precisions else {}
        layers = len(sites(check_graph(graph)))
        rows: list[Row] = []
        for precision in (Precision.FP32, *(p for p in precisions if p is not Precision.FP32)):
            measure, value = _score(graph, precision, ranges, sample, work)
            exact = rows[0].value if rows else value
            used = len(ranges) if precision is Precision.INT8 else 0
            rows.append(Row(name, measure, precision.value, value, value / exact, used, layers, sample.words))
        return rows


def export_model(name: str, data: Path, work: Path) -> Path:
    weights = PROJECT_ROOT / "models" / "demo" / f"{name}.pt" if name in DEMO else data / "weights" / f"{name}.pt"
    side = 640 if name not in DEMO else 224 if DEMO[name] is Task.CLASSIFY else 320
    return export_onnx(weights, ExportOptions((side, side), trust_weights=name not in DEMO), work, SilentReporter())


def _scenes(task: Task, count: int, work: Path) -> Sample:
    scenes = [draw_scene(task, TEST_SEED + index) for index in range(count)]
    if task is Task.CLASSIFY:
        truth = Truth(task, classes=tuple(scene.things[0].class_id for scene in scenes))
    else:
        texts = ["\n".join(label_lines(scene)) for scene in scenes]
        truth = Truth(
            task,
            tuple(
                parse_labels(text, task, (scene.image.shape[0], scene.image.shape[1]), len(ROBOT_POINTS))
                for text, scene in zip(texts, scenes, strict=True)
            ),
        )
    words = f"{count} held-back scenes"
    return Sample([scene.image for scene in scenes], truth, calibration_scenes(task, work), words)


def calibration_scenes(task: Task, work: Path) -> list[Path]:
    paths = [work / f"scene-{index}.png" for index in range(CALIBRATION_SCENES)]
    for index, path in enumerate(paths):
        cv2.imwrite(str(path), draw_scene(task, CALIBRATION_SEED + index).image)
    return paths


def _coco(graph: Path, count: int, data: Path) -> Sample:
    paths = sorted((data / "images" / "coco64" / "images").glob("*.jpg"))[:count]
    if not paths:
        sys.exit(f"There are no pictures in {data}/images/coco64/images: --data names the folder that holds images/.")
    pictures = [read_picture(path) for path in paths]
    with OnnxRuntimeRunner(graph) as runner:
        truth = read_truth(paths, [(picture.shape[0], picture.shape[1]) for picture in pictures], runner.metadata)
    if truth is None:
        sys.exit(f"The pictures in {paths[0].parent} have no labels.")
    kind = ", boxes" if runner.metadata.task is not truth.task else ""
    return Sample(pictures, truth, paths[::2], f"{len(paths)} of coco64{kind}")


def _score(graph: Path, precision: Precision, ranges: Ranges, sample: Sample, work: Path) -> tuple[str, float]:
    path = typed_graph(graph, precision, work / f"{precision.value}.onnx", ranges)
    with OnnxRuntimeRunner(path, optimise=precision is Precision.FP32) as runner:  # else pairs would be merged away
        results = Model(runner, Thresholds(confidence=LEAST_CONFIDENCE)).predict_batch(sample.pictures)
    ((measure, value),) = score(results, sample.truth).items()
    return measure, value


def table(rows: Sequence[Row]) -> str:
    lines = ["| model | precision | measure | value | of FP32 | INT8 layers | on |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        measure = {"map50_95": "mAP50-95", "top1": "top-1"}[row.measure]
        layers = f"{row.int8_layers} of {row.layers}" if row.int8_layers else "–"
        lines.append(
            f"| {row.model} | {row.precision} | {measure} | {row.value:.4f} | {row.ratio:.2%} | {layers} "
            f"| {row.pictures} |"
        )
    return "\n".join(lines)


def parser_of(description: str, names: Sequence[str]) -> argparse.ArgumentParser:
    """What a script that measures `names` can be asked."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--models", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument(
        "--precisions", nargs="+", type=Precision, default=[Precision.FP16, Precision.INT8], metavar="P"
    )
    data = os.environ.get("JETSMITH_TEST_DATA", PROJECT_ROOT.parent / "shared")
    parser.add_argument("--data", type=Path, default=Path(data), help="folder with weights/ and images/")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    return parser


def main() -> None:
    parser = parser_of("Prints what FP16 and INT8 cost in accuracy.", [*DEMO, *OFFICIAL])
    parser.add_argument("--pictures", type=int, default=200, help="most pictures a model is scored on")
    args = parser.parse_args()
    rows: list[Row] = []
    for name in args.models:
        print(f"{name} …", file=sys.stderr, flush=True)
        rows += rows_of(name, args.pictures, args.data, args.precisions)
    print(table(rows))
    if args.json:
        figures = {"calibration": METHOD, "rows": [asdict(row) for row in rows]}
        args.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
