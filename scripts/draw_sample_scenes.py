#!/usr/bin/env python3
"""Draw the sample pictures and labels of `models/demo/scenes`: `python scripts/draw_sample_scenes.py`."""

import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT_ROOT))  # so that it runs from anywhere, installed or not

import cv2  # noqa: E402

from app.types import Task  # noqa: E402
from scripts.demo_readme import SHORT  # noqa: E402
from scripts.demo_scenes import CLASSES, SAMPLE_SEED, Scene, draw_scene, label_lines  # noqa: E402

MODELS = PROJECT_ROOT / "models" / "demo"
SIZES_HW = ((480, 640), (480, 640), (360, 480), (480, 480), (480, 360))
MAX_BYTES = 60_000


def main() -> None:
    for task in SHORT:
        for index, image_hw in enumerate(SIZES_HW):
            print(_draw(task, index, image_hw))


def _draw(task: Task, index: int, image_hw: tuple[int, int]) -> Path:
    scene = next(scene for scene in _candidates(task, index, image_hw) if _fit_to_show(scene, index))
    folder = MODELS / "scenes" / SHORT[task]
    if task is Task.CLASSIFY:
        folder /= CLASSES[task][scene.things[0].class_id]
    folder.mkdir(parents=True, exist_ok=True)
    picture = folder / f"scene-{index + 1}.jpg"
    picture.write_bytes(_jpeg(scene.image))
    if task is not Task.CLASSIFY:
        picture.with_suffix(".txt").write_text("\n".join(label_lines(scene)) + "\n")
    return picture


def _candidates(task: Task, index: int, image_hw: tuple[int, int]) -> Iterator[Scene]:
    for attempt in count():
        yield draw_scene(task, SAMPLE_SEED + index + 100 * attempt, image_hw)


def _fit_to_show(scene: Scene, index: int) -> bool:
    """Bright enough, and with something to see: several things, or each sample another class."""
    if scene.image.mean() < 90:
        return False
    if scene.task is Task.CLASSIFY:
        return scene.things[0].class_id == index
    return len(scene.things) >= (3 if scene.task is Task.POSE else 5)


def _jpeg(image: object) -> bytes:
    """As fine as fits into MAX_BYTES."""
    for quality in range(92, 40, -4):
        _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        if len(encoded) <= MAX_BYTES:
            return bytes(encoded)
    raise ValueError(f"The picture needs more than {MAX_BYTES} bytes even at the lowest quality")


if __name__ == "__main__":
    main()
