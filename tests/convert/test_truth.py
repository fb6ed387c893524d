"""The labels beside a user's pictures."""

from pathlib import Path

import numpy as np
import pytest

from app.convert.pictures import label_file, verification_pictures
from app.convert.truth import figures, read_truth, score
from app.errors import SourceError
from app.metadata import ModelMetadata
from app.types import Detections, Result, Speed, Task
from tests import onnx_graphs

SHAPE = (100, 200)


def _model(task: str = "detect") -> ModelMetadata:
    return ModelMetadata.from_onnx({**onnx_graphs.METADATA, "task": task})


def _dataset(root: Path, text: str | None) -> list[Path]:
    pictures = [root / "images" / "val" / f"{index}.jpg" for index in range(2)]
    for path in pictures:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    if text is not None:
        labels = root / "labels" / "val" / "0.txt"
        labels.parent.mkdir(parents=True)
        labels.write_text(text)
    return pictures


def _result(detections: Detections) -> Result:
    return Result(Task.DETECT, SHAPE, Speed(0, 0, 0), detections)


def test_labels_are_found_in_the_folder_beside_images_or_beside_the_picture(tmp_path: Path) -> None:
    first, second = _dataset(tmp_path, "1 0.5 0.5 0.2 0.2\n")
    assert label_file(first) == tmp_path / "labels" / "val" / "0.txt"
    assert label_file(second) == second.with_suffix(".txt")


def test_right_answers_score_one_and_no_answers_zero(tmp_path: Path) -> None:
    pictures = _dataset(tmp_path, "1 0.5 0.5 0.2 0.2\n")
    truth = read_truth(pictures, [SHAPE, SHAPE], _model())
    assert truth is not None
    assert [len(objects) for objects in truth.objects] == [1, 0]
    none = truth.objects[1]
    assert score([_result(objects) for objects in truth.objects], truth) == {"map50_95": pytest.approx(1.0)}
    assert score([_result(none), _result(none)], truth) == {"map50_95": 0.0}


def test_pictures_without_labels_have_no_truth(tmp_path: Path) -> None:
    assert read_truth(_dataset(tmp_path, None), [SHAPE, SHAPE], _model()) is None
    assert read_truth(_dataset(tmp_path, None), [SHAPE, SHAPE], _model("classify")) is None


def test_boxes_are_enough_for_a_model_of_masks(tmp_path: Path) -> None:
    truth = read_truth(_dataset(tmp_path, "0 0.5 0.5 0.2 0.2\n"), [SHAPE, SHAPE], _model("segment"))
    assert truth is not None
    assert truth.task is Task.DETECT


@pytest.mark.parametrize(
    ("text", "says"),
    [pytest.param("7 0.5 0.5 0.2 0.2", "class 7", id="class"), pytest.param("0 0.5", "no label file", id="form")],
)
def test_labels_that_are_not_for_the_model_are_told(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=says):
        read_truth(_dataset(tmp_path, text), [SHAPE, SHAPE], _model())


def test_classes_are_the_names_of_folders(tmp_path: Path) -> None:
    paths = [tmp_path / name / "a.jpg" for name in ("square", "circle")]
    truth = read_truth(paths, [SHAPE, SHAPE], _model("classify"))
    assert truth is not None
    assert truth.classes == (1, 0)
    probs = np.array([0.9, 0.1], np.float32)
    assert score([Result(Task.CLASSIFY, SHAPE, Speed(0, 0, 0), probs=probs)] * 2, truth) == {"top1": 0.5}


def test_an_average_over_nothing_is_no_figure() -> None:
    assert figures({"map50_95": float("nan")}, {"map50_95": float("nan")}, 3) == {}
    assert figures({"map50_95": 0.5}, {"map50_95": 0.512345}, 3) == {
        "map50_95": 0.5,
        "map50_95_fp32": 0.5123,
        "labelled_pictures": 3,
    }


def test_a_set_with_labels_is_verified_on_more_of_it(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for index in range(100):
        (tmp_path / "images" / f"{index:02}.jpg").touch()
    assert len(verification_pictures(str(tmp_path / "images"), None)) == 16
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "00.txt").touch()
    assert len(verification_pictures(str(tmp_path / "images"), None)) == 64
