"""The true answers that lie beside a user's pictures, if any do, and how right a model's answers are by them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.convert.pictures import label_file
from app.errors import SourceError
from app.metadata import ModelMetadata
from app.types import Detections, Result, Task
from app.vision.accuracy import mean_average_precision, similarity_for, top1_accuracy
from app.vision.labels import class_of_folder, read_labels

LEAST_CONFIDENCE = 0.001  # COCO counts every detection, however unsure


@dataclass(frozen=True)
class Truth:
    task: Task  # what the labels tell: boxes may be all there is for a model of masks
    objects: tuple[Detections, ...] = ()
    classes: tuple[int, ...] = ()


def read_truth(pictures: Sequence[Path], shapes: Sequence[tuple[int, int]], model: ModelMetadata) -> Truth | None:
    """
    The labels of `pictures` in Ultralytics' form; None where none of them has any.

    A picture for classification lies in a folder that is named as its class.

    Raises:
        SourceError: there are labels, but not for this model.
    """
    if model.task is Task.CLASSIFY:
        return _classes(pictures, model)
    if not any(label_file(path).is_file() for path in pictures):
        return None
    try:
        truth = Truth(model.task, _objects(pictures, shapes, model, model.task))
    except SourceError:
        if model.task is Task.DETECT:
            raise
        truth = Truth(Task.DETECT, _objects(pictures, shapes, model, Task.DETECT))
    largest = max((int(objects.class_id.max()) for objects in truth.objects if len(objects)), default=0)
    if largest not in model.names:
        raise SourceError(
            f"The labels name the class {largest}, and the model has {len(model.names)}",
            hint="Calibrate on pictures whose labels were made for this model.",
        )
    return truth


def score(results: Sequence[Result], truth: Truth) -> dict[str, float]:
    """`map50_95` by the labels' measure; for classification `top1`."""
    if truth.task is Task.CLASSIFY:
        probs = [result.probs for result in results if result.probs is not None]
        return {"top1": top1_accuracy(probs, truth.classes)}
    found = [result.detections for result in results if result.detections is not None]
    pairs = list(zip(found, truth.objects, strict=True))
    return {"map50_95": mean_average_precision(pairs, similarity_for(truth.task)).map50_95}


def figures(engine: dict[str, float], reference: dict[str, float], pictures: int) -> dict[str, Any]:
    """What goes into the manifest; an average over no object at all is none."""
    both = {**engine, **{f"{name}_fp32": value for name, value in reference.items()}}
    if any(math.isnan(value) for value in both.values()):
        return {}
    return {**{name: round(value, 4) for name, value in both.items()}, "labelled_pictures": pictures}


def _classes(pictures: Sequence[Path], model: ModelMetadata) -> Truth | None:
    try:
        return Truth(Task.CLASSIFY, classes=tuple(class_of_folder(path, model.names) for path in pictures))
    except SourceError:
        return None  # folders have any name where nobody meant them as classes


def _objects(
    pictures: Sequence[Path], shapes: Sequence[tuple[int, int]], model: ModelMetadata, task: Task
) -> tuple[Detections, ...]:
    points = model.kpt_shape[0] if model.kpt_shape else 0
    return tuple(
        read_labels(label_file(path), task, shape, points) for path, shape in zip(pictures, shapes, strict=True)
    )
