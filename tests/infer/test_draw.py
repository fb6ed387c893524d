"""Drawing changes the pixels it should, and saving loses nothing."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from app.errors import OutputError
from app.infer.draw import Drawer, corners_of
from app.infer.sinks.annotated import Annotated
from app.types import Detections, Image, Task
from app.vision.pictures import read_picture
from tests.infer.doubles import NAMES, detections, frame, result, result_of


@pytest.fixture(scope="module")
def drawer() -> Drawer:
    pytest.importorskip("supervision")
    return Drawer(NAMES)


def _changed(drawer: Drawer, task: Task) -> np.ndarray:
    """(100, 120) where a grey picture is no longer grey."""
    image = frame().image
    drawn = drawer.draw(image, result_of(task))
    assert np.all(image == 128), "the picture itself stays as it was"
    assert drawn.shape == image.shape
    changed: np.ndarray = np.any(drawn != 128, axis=2)
    return changed


def test_boxes_are_drawn_on_their_edges(drawer: Drawer) -> None:
    changed = _changed(drawer, Task.DETECT)

    assert changed[75, 10]  # left edge of the first box
    assert changed[95, 60]  # lower edge of the second
    assert not changed[70, 25]  # inside the first, outside the second
    assert not changed[98, 5]


def test_masks_fill_their_pixels_only(drawer: Drawer) -> None:
    changed = _changed(drawer, Task.SEGMENT)

    assert changed[30:60, 20:40].all()
    assert not changed[90:, :30].any()


def test_keypoints_are_dots_and_limbs(drawer: Drawer) -> None:
    points = np.zeros((2, 17, 3), np.float32)
    points[0, 5], points[0, 6] = (20, 50, 0.9), (50, 50, 0.9)  # shoulders
    points[1, 9] = (110, 10, 0.1)  # a guess
    changed = np.any(
        drawer.draw(frame().image, result(Task.POSE, detections=detections(keypoints=points))) != 128, axis=2
    )

    assert changed[50, 20]
    assert changed[50, 35], "the limb between the shoulders"
    assert not changed[10, 110], "a point of low confidence is left out"
    assert not changed[0:8, 0:8].any(), "points that are not there are not drawn into the corner"


def test_unknown_skeletons_get_dots(drawer: Drawer) -> None:
    points = np.array([[[20, 50, 0.9], [50, 50, 0.9]]] * 2, np.float32)
    drawn = drawer.draw(frame().image, result(Task.POSE, detections=detections(keypoints=points)))

    assert np.any(drawn[50, 20] != 128)
    assert np.all(drawn[50, 30] == 128)


def test_turned_boxes_are_drawn_turned(drawer: Drawer) -> None:
    xywhr = np.array([[60, 50, 60, 20, np.pi / 4], [60, 50, 60, 20, np.pi / 4]], np.float32)
    boxes = Detections(
        np.array([[31, 21, 89, 79]] * 2, np.float32),
        np.array([0.9, 0.8], np.float32),
        np.array([0, 0]),
        xywhr=xywhr,
    )
    changed = np.any(drawer.draw(frame().image, result(Task.OBB, detections=boxes)) != 128, axis=2)

    for x, y in corners_of(xywhr)[0].round().astype(int):
        assert changed[y - 2 : y + 3, x - 2 : x + 3].any()
    assert not changed[76:79, 33:36].any(), "a corner of the upright box around it"


def test_corners_turn_clockwise_in_a_picture() -> None:
    corners = corners_of(np.array([[10, 20, 8, 4, np.pi / 2]], np.float32))[0]

    assert sorted(map(tuple, corners.round(4).tolist())) == [(8, 16), (8, 24), (12, 16), (12, 24)]


def test_a_classification_is_written_into_the_upper_left(drawer: Drawer) -> None:
    changed = _changed(drawer, Task.CLASSIFY)

    assert changed[:30, :60].any()
    assert not changed[50:].any()


def test_what_is_followed_keeps_its_colour_and_shows_its_number(drawer: Drawer) -> None:
    def drawn(ids: list[int]) -> Image:
        followed = result(Task.DETECT, detections=detections(track_id=np.array(ids)))
        return drawer.draw(frame().image, followed)

    untracked = drawer.draw(frame().image, result(Task.DETECT, detections=detections()))
    edge = (slice(30, 70), 10)

    assert np.array_equal(drawn([-1, -1]), untracked)
    assert np.array_equal(drawn([3, 5])[edge], drawn([3, 6])[edge])
    assert not np.array_equal(drawn([3, 5])[edge], drawn([4, 5])[edge])
    assert not np.array_equal(drawn([3, 5]), drawn([3, 15]))  # another label, if the same colour


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1), (2000, 3000)])
@pytest.mark.parametrize("task", list(Task))
def test_pictures_of_any_size_can_be_drawn(drawer: Drawer, size: tuple[int, int], task: Task) -> None:
    image = np.full((*size, 3), 128, np.uint8)

    assert drawer.draw(image, result_of(task)).shape == image.shape


def _decoded(path: Path) -> Image:
    return read_picture(path)


def test_no_two_pictures_share_a_name(drawer: Drawer, tmp_path: Path) -> None:
    sink = Annotated(tmp_path / "out", NAMES)
    for source in ["a/x.jpg", "b/x.jpg", "x.png", "x.webp", "X.JPG", "größe 图.jpeg", "x-2.jpg"]:
        sink.write(frame(source), result_of(Task.DETECT))

    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        ["x.jpg", "x-2.jpg", "x.png", "x-3.jpg", "X-4.jpg", "größe 图.jpg", "x-2-2.jpg"]
    )
    assert _decoded(tmp_path / "out" / "größe 图.jpg").shape == (100, 120, 3)


def test_inputs_are_never_overwritten_even_through_links(drawer: Drawer, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "later.jpg").write_bytes(b"an input that is read later")
    (tmp_path / "linked.jpg").symlink_to(out / "later.jpg")
    sink = Annotated(out, NAMES, inputs=[tmp_path / "linked.jpg"])

    sink.write(frame("elsewhere/later.jpg"), result_of(Task.DETECT))

    assert (out / "later.jpg").read_bytes() == b"an input that is read later"
    assert (out / "later-2.jpg").exists()


def test_a_second_run_replaces_the_first(drawer: Drawer, tmp_path: Path) -> None:
    for _ in range(2):
        Annotated(tmp_path, NAMES).write(frame("x.jpg"), result_of(Task.DETECT))

    assert [path.name for path in tmp_path.iterdir()] == ["x.jpg"]


def test_a_failed_write_leaves_nothing_and_says_why(
    drawer: Drawer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = Annotated(tmp_path, NAMES)

    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match=r"x\.jpg cannot be written: No space left"):
        sink.write(frame("x.jpg"), result_of(Task.DETECT))

    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_write_permission_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("supervision")
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="cannot be written"):
        Annotated(tmp_path, NAMES)


def test_without_supervision_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(OutputError) as error:
        Annotated(tmp_path, NAMES)

    assert "pip install" in error.value.hint


def test_what_is_not_needed_is_not_imported() -> None:
    heavy = ["supervision", "PIL", "rich", "onnxruntime", "torch", "ultralytics"]
    code = f"import sys, app.infer.pipeline; print([name for name in {heavy} if name in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert said.stdout == "[]\n"
