"""Scenes that no demo model was trained on, with the true answers."""

from app.types import Detections, Image, Task
from app.vision.labels import parse_labels
from scripts.demo_scenes import TEST_SEED, Scene, draw_scene, label_lines
from scripts.demo_shapes import ROBOT_POINTS


def held_back(task: Task, count: int) -> list[Scene]:
    return [draw_scene(task, TEST_SEED + i) for i in range(count)]


def truth(scene: Scene) -> Detections:
    """What the scene shows, read from its labels as a user's labels are."""
    image_hw = (scene.image.shape[0], scene.image.shape[1])
    return parse_labels("\n".join(label_lines(scene)), scene.task, image_hw, len(ROBOT_POINTS))


def pictures(scenes: list[Scene]) -> list[Image]:
    return [scene.image for scene in scenes]
