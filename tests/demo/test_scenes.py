import numpy as np
import pytest

from app.types import Task
from app.vision.accuracy import mask_iou
from scripts.demo_scenes import CLASSES, SAMPLE_SEED, draw_scene, label_lines
from scripts.demo_shapes import ROBOT_MIRROR, ROBOT_POINTS, SHAPES
from tests.command import PROJECT_ROOT
from tests.demo.held_back import held_back, truth

EVERY_TASK = [pytest.param(task, id=task.value) for task in Task]


@pytest.mark.parametrize("task", EVERY_TASK)
def test_a_seed_gives_the_same_scene_every_time(task: Task) -> None:
    first, again = draw_scene(task, 5), draw_scene(task, 5)

    assert np.array_equal(first.image, again.image)
    assert label_lines(first) == label_lines(again)


@pytest.mark.parametrize("task", EVERY_TASK)
def test_seeds_and_tasks_give_different_scenes(task: Task) -> None:
    assert label_lines(draw_scene(task, 5)) != label_lines(draw_scene(task, 6))


@pytest.mark.parametrize("task", EVERY_TASK)
def test_every_scene_shows_something_that_lies_in_the_picture(task: Task) -> None:
    for scene in held_back(task, 6):
        height, width = scene.image.shape[:2]
        boxes = truth(scene).xyxy

        assert len(boxes) > 0
        assert (boxes >= -0.5).all()
        assert (boxes <= np.array([width, height, width, height]) + 0.5).all()


@pytest.mark.parametrize(
    ("seed", "image_hw"), [pytest.param(1, (240, 320), id="wide"), pytest.param(2, (320, 200), id="tall")]
)
def test_a_scene_has_the_size_that_was_asked_for(seed: int, image_hw: tuple[int, int]) -> None:
    assert draw_scene(Task.DETECT, seed, image_hw).image.shape == (*image_hw, 3)


def test_labels_give_back_the_masks_that_were_drawn() -> None:
    for scene in held_back(Task.SEGMENT, 6):
        read = truth(scene)
        assert read.masks is not None
        for thing, mask in zip(scene.things, read.masks, strict=True):
            full = np.zeros(thing.mask.shape, bool)
            full[mask.y : mask.y + mask.bitmap.shape[0], mask.x : mask.x + mask.bitmap.shape[1]] = mask.bitmap
            shared, either = (full & thing.mask).sum(), (full | thing.mask).sum()
            assert shared / either > 0.93
        assert mask_iou(read, read).diagonal() == pytest.approx(1.0)


def test_robots_have_their_left_on_the_right_of_the_picture() -> None:
    left, right = ROBOT_POINTS.index("left_shoulder"), ROBOT_POINTS.index("right_shoulder")
    for scene in held_back(Task.POSE, 4):
        for thing in scene.things:
            assert thing.points[left, 0] > thing.points[right, 0]


def test_a_mirrored_robot_swaps_left_and_right() -> None:
    mirrored = [ROBOT_POINTS[i] for i in ROBOT_MIRROR]

    assert [name.replace("left", "right") for name in ROBOT_POINTS if "left" in name] == mirrored[1::2]


def test_every_class_can_be_drawn() -> None:
    assert {name for names in CLASSES.values() for name in names} <= SHAPES.keys()


def test_the_samples_are_drawn_from_seeds_of_their_own() -> None:
    samples = PROJECT_ROOT / "models" / "demo" / "scenes"
    labels = (samples / "obb" / "scene-5.txt").read_text().splitlines()
    attempts = (draw_scene(Task.OBB, SAMPLE_SEED + 4 + 100 * i, (480, 360)) for i in range(20))

    assert any([line.split()[0] for line in label_lines(s)] == [line.split()[0] for line in labels] for s in attempts)
