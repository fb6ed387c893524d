"""The demo models through jetsmith's own export, runner and decoder."""

import re
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from app.runtime.onnxruntime import OnnxRuntimeRunner
from app.types import Detections, Result, Task
from app.vision.accuracy import Accuracy, box_iou, mean_average_precision, similarity_for, top1_accuracy
from app.vision.model import Model, Thresholds
from scripts.demo_readme import SHORT
from scripts.demo_scenes import CLASSES, Scene
from tests.command import PROJECT_ROOT
from tests.demo.held_back import held_back, pictures, truth

DEMO = PROJECT_ROOT / "models" / "demo"
SCENES = 24
EVERY_TASK = [pytest.param(task, id=task.value) for task in Task]
DETECTING = [pytest.param(task, id=task.value) for task in Task if task is not Task.CLASSIFY]

Answers = tuple[list[Scene], list[Result], Model]


@pytest.fixture(scope="module")
def answers(exported: Callable[..., Path]) -> Callable[[Task], Answers]:
    """Each demo model's results on the held-back scenes."""

    @cache
    def find(task: Task) -> Answers:
        side = 224 if task is Task.CLASSIFY else 320
        return _results(task, exported(f"demo-{SHORT[task]}", (side, side)))

    return find


def _results(task: Task, graph: Path) -> Answers:
    scenes = held_back(task, SCENES)
    with OnnxRuntimeRunner(graph) as runner:
        model = Model(runner, Thresholds(confidence=0.001))
        return scenes, model.predict_batch(pictures(scenes)), model


def _pairs(scenes: list[Scene], results: list[Result]) -> list[tuple[Detections, Detections]]:
    pairs = []
    for scene, result in zip(scenes, results, strict=True):
        assert result.detections is not None
        pairs.append((result.detections, truth(scene)))
    return pairs


@pytest.mark.parametrize("task", DETECTING)
def test_detections_are_right_on_scenes_never_seen(task: Task, answers: Callable[[Task], Answers]) -> None:
    scenes, results, _ = answers(task)
    pairs = _pairs(scenes, results)

    own: Accuracy = mean_average_precision(pairs, similarity_for(task))
    boxes = mean_average_precision(pairs, box_iou)

    assert own.map50 >= 0.9
    assert own.map50_95 >= 0.7
    assert boxes.map50 >= 0.9


def test_classes_are_right_on_scenes_never_seen(answers: Callable[[Task], Answers]) -> None:
    scenes, results, _ = answers(Task.CLASSIFY)
    probs = [result.probs for result in results if result.probs is not None]

    assert top1_accuracy(probs, [scene.things[0].class_id for scene in scenes]) >= 0.9


@pytest.mark.parametrize("task", EVERY_TASK)
def test_a_model_says_its_task_and_classes(task: Task, answers: Callable[[Task], Answers]) -> None:
    metadata = answers(task)[2].metadata

    assert metadata.task is task
    assert tuple(metadata.names.values()) == CLASSES[task]
    assert metadata.kpt_shape == ((9, 3) if task is Task.POSE else None)


@pytest.mark.parametrize("task", EVERY_TASK)
def test_a_model_is_small(task: Task) -> None:
    limit = 4_000_000 if task is Task.CLASSIFY else 2_500_000

    assert (DEMO / f"demo-{SHORT[task]}.pt").stat().st_size <= limit


@pytest.mark.parametrize("task", EVERY_TASK)
def test_a_model_tells_nothing_of_the_machine_that_trained_it(task: Task) -> None:
    with zipfile.ZipFile(DEMO / f"demo-{SHORT[task]}.pt") as archive:
        pickles = b"".join(archive.read(name) for name in archive.namelist() if "/data/" not in name)

    assert (
        re.findall(rb"(?:/root|/home|/tmp|/mnt|/opt)/[\x20-\x7e]*|20\d\d-\d\d-\d\d|[\w.+-]+@[\w-]+\.\w+", pickles) == []
    )


@pytest.mark.parametrize("task", EVERY_TASK)
def test_samples_are_small_and_labelled(task: Task) -> None:
    samples = sorted((DEMO / "scenes" / SHORT[task]).rglob("*.jpg"))

    assert 4 <= len(samples) <= 6
    for sample in samples:
        assert sample.stat().st_size <= 60_000
        assert sample.parent.name in CLASSES[task] or sample.with_suffix(".txt").read_text().strip()
