"""Random answers of every head, as networks lay them out."""

from typing import Any

import numpy as np
import numpy.typing as npt

from app.metadata import ModelMetadata
from app.types import Task

CLASSES, KEYPOINTS, COEFFICIENTS = 4, 5, 8
INPUT_HW = (64, 96)
Tape = dict[str, npt.NDArray[Any]]


def head_of(
    task: Task, *, end2end: bool = False, batch: int = 2, anchors: int = 300, half: bool = False, seed: int = 0
) -> tuple[ModelMetadata, Tape]:
    random = np.random.default_rng(seed)
    kpt_shape = (KEYPOINTS, 3) if task is Task.POSE else None
    names = {index: f"class {index}" for index in range(CLASSES)}
    metadata = ModelMetadata(task, names, INPUT_HW, batch=batch, end2end=end2end, kpt_shape=kpt_shape)
    dtype = np.float16 if half else np.float32
    if task is Task.CLASSIFY:
        return metadata, {"output0": random.random((batch, CLASSES)).astype(dtype)}
    boxes, scores, extra = _boxes(random, batch, anchors), random.random((batch, CLASSES, anchors)) ** 3, []
    if task is Task.SEGMENT:
        extra = [random.normal(0, 1, (batch, COEFFICIENTS, anchors))]
    elif task is Task.POSE:
        extra = [random.uniform(0, 64, (batch, KEYPOINTS * 3, anchors))]
    elif task is Task.OBB:
        extra = [random.uniform(-1, 2, (batch, 1, anchors))]
    if end2end:
        if task is not Task.OBB:
            half_size = boxes[:, 2:] / 2
            boxes = np.concatenate((boxes[:, :2] - half_size, boxes[:, :2] + half_size), 1)
        best = [scores.max(1, keepdims=True), scores.argmax(1)[:, None]]
        rows = np.concatenate((boxes, *best, *extra), 1).transpose(0, 2, 1)
    else:
        rows = np.concatenate((boxes, scores, *extra), 1)
    tape: Tape = {"output0": np.ascontiguousarray(rows, dtype)}
    if task is Task.SEGMENT:
        shape = (batch, COEFFICIENTS, INPUT_HW[0] // 4, INPUT_HW[1] // 4)
        tape["output1"] = random.normal(0, 1, shape).astype(dtype)
    return metadata, tape


def _boxes(random: np.random.Generator, batch: int, anchors: int) -> npt.NDArray[np.float64]:
    shape = (batch, anchors)
    height, width = INPUT_HW
    sides = (random.uniform(0, width, shape), random.uniform(0, height, shape), *random.uniform(2, 50, (2, *shape)))
    return np.stack(sides, 1)
