"""Each object becomes a picture of its own, under a name that is safe and free."""

from pathlib import Path

import numpy as np
import pytest

from app.errors import OutputError
from app.infer.sinks.crops import Crops
from app.infer.sinks.limits import Limits
from app.types import Detections, Task
from app.vision.pictures import read_picture
from tests.infer.doubles import NAMES, detections, film, frame, result, result_of

DETECT = Task.DETECT


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_each_object_lies_in_the_folder_of_its_class_at_the_size_of_its_box(tmp_path: Path) -> None:
    sink = Crops(tmp_path, NAMES, DETECT)
    sink.write(frame("street.png"), result_of(DETECT))

    assert _files(tmp_path) == ["Größe/street-2.png", "person/street-1.png"]
    assert read_picture(tmp_path / "person" / "street-1.png").shape == (60, 50, 3)


def test_frames_and_tracks_are_in_the_name(tmp_path: Path) -> None:
    followed = result(DETECT, detections=detections(track_id=np.array([7, -1])))
    sink = Crops(tmp_path, NAMES, DETECT)
    for moment in film("a/way.mp4", 2):
        sink.write(moment, followed)

    assert _files(tmp_path / "person") == ["way-000000-t7.jpg", "way-000001-t7.jpg"]
    assert _files(tmp_path / "Größe") == ["way-000000-2.jpg", "way-000001-2.jpg"]


def test_sources_of_one_name_do_not_meet(tmp_path: Path) -> None:
    sink = Crops(tmp_path, {}, DETECT)
    for moment in [frame("a/x.jpg"), frame("b/X.jpg"), frame("a/x.jpg"), *film("c/x.mp4", 1), *film("d/x.mp4", 1)]:
        sink.write(moment, result_of(DETECT))

    assert _files(tmp_path / "0") == ["X-2-1.jpg", "x-1.jpg", "x-3-1.jpg", "x-4-000000-1.jpg", "x-5-000000-1.jpg"]


def test_names_of_classes_cannot_leave_the_folder_nor_meet(tmp_path: Path) -> None:
    hostile = {0: "../../etc/x", 2: "\0..", 3: "ETC x"}
    both = Detections(
        np.array([[0, 0, 9, 9]] * 3, np.float32), np.full(3, 0.5, np.float32), np.array([0, 2, 3], np.int64)
    )
    Crops(tmp_path / "in", hostile, DETECT).write(frame(), result(DETECT, detections=both))

    assert sorted(path.name for path in (tmp_path / "in").iterdir()) == ["2", "ETC-x-3", "etc-x"]
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_boxes_at_the_edge_are_cut_and_empty_ones_left_out(tmp_path: Path) -> None:
    boxes = np.array([[-5, -5, 10, 10], [50, 50, 50, 60], [200, 0, 300, 50], [float("nan"), 0, 9, 9]], np.float32)
    odd = Detections(boxes, np.full(4, 0.5, np.float32), np.zeros(4, np.int64))
    Crops(tmp_path, NAMES, DETECT).write(frame("a.png"), result(DETECT, detections=odd))

    assert _files(tmp_path) == ["person/a-1.png", "person/a-4.png"]
    assert read_picture(tmp_path / "person" / "a-1.png").shape == (10, 10, 3)


def test_an_input_is_not_overwritten(tmp_path: Path) -> None:
    own = tmp_path / "person" / "a-1.jpg"
    own.parent.mkdir()
    own.write_text("mine")
    Crops(tmp_path, NAMES, DETECT, [own]).write(frame("a.jpg"), result_of(DETECT))

    assert own.read_text() == "mine"
    assert (tmp_path / "person" / "a-1-crop.jpg").exists()


def test_a_run_that_never_ends_keeps_the_newest(tmp_path: Path) -> None:
    (tmp_path / "mine.jpg").write_bytes(b"x" * 50_000)
    limits = Limits(rotate_bytes=1_000, keep_bytes=6_000)
    for _ in range(2):  # it is started again
        sink = Crops(tmp_path, NAMES, DETECT, limits=limits)
        for moment in film("camera:0", 10):
            sink.write(moment, result_of(DETECT))

    kept = [path for path in tmp_path.rglob("*-*Z.jpg")]
    assert 1 < len(kept) < 20
    assert sum(path.stat().st_size for path in kept) <= 6_000
    assert any("-000009-" in path.name for path in kept)
    assert (tmp_path / "mine.jpg").exists()


def test_a_classifier_has_nothing_to_cut_out(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="classifies"):
        Crops(tmp_path, NAMES, Task.CLASSIFY)
