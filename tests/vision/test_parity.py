"""The same detections as Ultralytics' on the same graphs; and a judge of that which misses no difference."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from app.types import Detections, Mask, Result, Speed, Task
from scripts.parity_with_ultralytics import Figures, differences

PROJECT_ROOT = Path(__file__).resolve().parents[2]
Find = Callable[[str], Path]


def _compare(data: Path, *arguments: str) -> str:
    """The script runs as a user runs it; Ultralytics never enters this process."""
    if importlib.util.find_spec("ultralytics") is None:
        pytest.skip("Ultralytics is not installed: pip install -e '.[convert]'")
    script = PROJECT_ROOT / "scripts" / "parity_with_ultralytics.py"
    run = subprocess.run(
        [sys.executable, str(script), "--data", str(data), *arguments],
        check=False, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr[-3000:]
    return run.stdout


def test_one_model_of_each_task_on_a_few_pictures(exported: Find, shared_data: Find, tmp_path: Path) -> None:
    data = shared_data("weights/yolov8n.pt").parents[1]
    names = ["yolov8n", "yolo11n-seg", "yolo11n-pose", "yolo11n-obb", "yolo11n-cls"]
    for name in names:
        (tmp_path / f"{name}-raw-320.onnx").symlink_to(exported(name))  # else the script exports them itself
    few = ["--heads", "raw", "--pictures", "1", "--imgsz", "320", "--cache", str(tmp_path)]
    table = _compare(data, "--weights", *names, *few)
    assert table.count(" raw ") == 2 * len(names)
    assert table.endswith("every goal met\n")
    for row in table.splitlines():
        if " 0.001 " in row and "-cls " not in row:
            assert int(row.split()[4]) > 30, row  # objects: no agreement about nothing


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_weights_file_head_and_picture(shared_data: Find, tmp_path: Path) -> None:
    data = shared_data("weights/yolov8n.pt").parents[1]
    assert _compare(data, "--cache", str(tmp_path)).endswith("every goal met\n")


class _Tensor:
    """As much of a torch tensor as the judge touches."""

    def __init__(self, values: Any) -> None:
        self._values = np.array(values, np.float32)

    def numpy(self) -> Any:
        return self._values

    def __len__(self) -> int:
        return len(self._values)


class _Boxes(SimpleNamespace):
    def __len__(self) -> int:
        return len(self.cls)


BOXES = [[10.0, 10, 30, 30], [12, 12, 33, 33]]


def _expected() -> Any:
    boxes = _Boxes(xyxy=_Tensor(BOXES), cls=_Tensor([0, 1]), conf=_Tensor([0.9, 0.5]))
    masks = np.zeros((2, 50, 50))
    masks[:, 10:30, 12:30] = 1
    keypoints = SimpleNamespace(data=_Tensor([[[20, 20, 0.7]], [[21, 21, 0.6]]]))
    return SimpleNamespace(boxes=boxes, keypoints=keypoints, masks=SimpleNamespace(data=_Tensor(masks)))


def _found() -> Detections:
    return Detections(
        np.array(BOXES, np.float32),
        np.array([0.9, 0.5], np.float32),
        np.array([0, 1]),
        keypoints=np.array([[[20, 20, 0.7]], [[21, 21, 0.6]]], np.float32),
        masks=tuple(Mask(np.ones((20, 18), np.bool_), x=12, y=10) for _ in range(2)),
    )


def _judge(found: Detections) -> Figures:
    result = Result(Task.DETECT, (50, 50), Speed(0, 0, 0), detections=found)
    return differences(result, _expected())


def test_the_judge_finds_no_difference_where_there_is_none() -> None:
    figures = _judge(_found())
    assert figures.good
    assert figures == Figures(pictures=1, objects=2)


def _moved(found: Detections) -> Detections:
    return replace(found, xyxy=found.xyxy + np.array([[0, 0, 0, 0.6], [0, 0, 0, 0]], np.float32))


def _nothing(_: Detections) -> Detections:
    return Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))


def _keypoints_moved(found: Detections, right: float, surer: float) -> Detections:
    assert found.keypoints is not None
    return replace(found, keypoints=found.keypoints + np.array([right, 0, surer], np.float32))


def _mask_cut(found: Detections) -> Detections:
    cut = Mask(np.ones((20, 17), np.bool_), x=13, y=10)
    return replace(found, masks=(cut, cut))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(_nothing, id="nothing found"),
        pytest.param(_moved, id="a box is off"),
        pytest.param(lambda d: replace(d, class_id=np.array([0, 2])), id="another class"),
        pytest.param(lambda d: replace(d, class_id=np.array([1, 0])), id="classes swapped"),
        pytest.param(lambda d: replace(d, confidence=d.confidence + 0.002), id="surer"),
        pytest.param(lambda d: _keypoints_moved(d, 0.6, 0), id="a keypoint is off"),
        pytest.param(lambda d: _keypoints_moved(d, 0, 0.01), id="a keypoint is surer"),
        pytest.param(_mask_cut, id="a mask is cut"),
    ],
)
def test_the_judge_misses_no_difference(change: Callable[[Detections], Detections]) -> None:
    assert not _judge(change(_found())).good


@pytest.mark.parametrize(
    ("probs", "good"),
    [
        pytest.param([0.4, 0.3, 0.1, 0.08, 0.07, 0.05], True, id="the same"),
        pytest.param([0.4, 0.3, 0.1, 0.08, 0.05, 0.07], False, id="another fifth"),
        pytest.param([0.4002, 0.3, 0.1, 0.08, 0.07, 0.05], False, id="off by 2e-4"),
    ],
)
def test_the_judge_compares_the_five_best_classes(probs: list[float], good: bool) -> None:
    result = Result(Task.CLASSIFY, (50, 50), Speed(0, 0, 0), probs=np.array(probs, np.float32))
    expected = SimpleNamespace(probs=SimpleNamespace(data=_Tensor([0.4, 0.3, 0.1, 0.08, 0.07, 0.05])))
    assert differences(result, expected).good is good
