from pathlib import Path

import numpy as np
import pytest

from app.errors import SourceError
from app.types import Task
from app.vision.labels import class_of_folder, parse_labels, read_labels

HW = (100, 200)


def test_a_box_comes_out_in_pixels() -> None:
    read = parse_labels("2 0.5 0.5 0.1 0.2\n\n0 0.25 0.25 0.5 0.5\n", Task.DETECT, HW)

    assert read.class_id.tolist() == [2, 0]
    assert read.xyxy == pytest.approx(np.array([[90, 40, 110, 60], [0, 0, 100, 50]]))
    assert read.confidence.tolist() == [1, 1]


def test_a_polygon_becomes_a_mask_in_its_box() -> None:
    read = parse_labels("1 0.1 0.1 0.2 0.1 0.2 0.4 0.1 0.4", Task.SEGMENT, HW)

    assert read.masks is not None
    mask = read.masks[0]
    assert (mask.x, mask.y, mask.bitmap.shape) == (20, 10, (31, 21))
    assert mask.bitmap.all()
    assert read.xyxy == pytest.approx(np.array([[20, 10, 40, 40]]))


def test_a_polygon_that_leaves_the_picture_is_cut() -> None:
    read = parse_labels("0 -0.1 -0.1 0.1 -0.1 0.1 0.1 -0.1 0.1", Task.SEGMENT, HW)

    assert read.masks is not None
    assert (read.masks[0].x, read.masks[0].y, read.masks[0].bitmap.shape) == (0, 0, (11, 21))


@pytest.mark.parametrize(
    ("line", "third"),
    [
        pytest.param("0 .5 .5 1 1 .25 .5 2 .75 .5 1", [2, 1], id="with visibility"),
        pytest.param("0 .5 .5 1 1 .25 .5 .75 .5", [2, 2], id="without visibility"),
        pytest.param("0 .5 .5 1 1 .25 .5 0 0", [2, 0], id="without visibility, one not labelled"),
    ],
)
def test_keypoints(line: str, third: list[float]) -> None:
    read = parse_labels(line, Task.POSE, HW, keypoints=2)

    assert read.keypoints is not None
    assert read.keypoints[0, 0, :2] == pytest.approx([50, 50])
    assert read.keypoints[0, :, 2].tolist() == third


def test_corners_become_a_turned_rectangle() -> None:
    corners = np.array([[100, 40], [140, 80], [120, 100], [80, 60]]) / [200, 100]
    read = parse_labels("0 " + " ".join(map(str, corners.ravel())), Task.OBB, HW)

    assert read.xywhr is not None
    x, y, width, height, angle = read.xywhr[0]
    assert (x, y) == pytest.approx((110, 70))
    assert sorted((width, height)) == pytest.approx([np.sqrt(800), np.sqrt(3200)], rel=1e-4)
    assert angle % (np.pi / 2) == pytest.approx(np.pi / 4, abs=1e-4)
    assert read.xyxy == pytest.approx(np.array([[80, 40, 140, 100]]), abs=1e-3)


@pytest.mark.parametrize("task", [Task.DETECT, Task.SEGMENT, Task.POSE, Task.OBB])
def test_an_empty_picture_has_no_things(task: Task, tmp_path: Path) -> None:
    read = read_labels(tmp_path / "none.txt", task, HW, keypoints=3)

    assert len(read) == 0


@pytest.mark.parametrize(
    ("task", "line"),
    [
        pytest.param(Task.DETECT, "0 0.5 0.5 0.1", id="box of three numbers"),
        pytest.param(Task.DETECT, "cat 0.5 0.5 0.1 0.1", id="class by name"),
        pytest.param(Task.SEGMENT, "0 0.5 0.5 0.1 0.1", id="polygon of two corners"),
        pytest.param(Task.SEGMENT, "0 0.5 0.5 0.1 0.1 0.2 0.3 0.4", id="polygon with half a corner"),
        pytest.param(Task.OBB, "0 0.5 0.5 0.1 0.1", id="obb of a box"),
        pytest.param(Task.POSE, "0 0.5 0.5 0.1 0.1 0.5 0.5 2", id="too few keypoints"),
    ],
)
def test_a_bad_line_names_the_file(task: Task, line: str, tmp_path: Path) -> None:
    labels = tmp_path / "picture.txt"
    labels.write_text(line)

    with pytest.raises(SourceError, match=r"picture\.txt"):
        read_labels(labels, task, HW, keypoints=2)


def test_a_folder_is_a_class(tmp_path: Path) -> None:
    names = {0: "ball", 1: "boat"}

    assert class_of_folder(tmp_path / "boat" / "a.jpg", names) == 1
    assert class_of_folder(tmp_path / "0" / "a.jpg", names) == 0
    with pytest.raises(SourceError, match="no class"):
        class_of_folder(tmp_path / "cat" / "a.jpg", names)
