"""The frame path on the GPU against the CPU path, on answers written beforehand: in CUDA's doubles, and on a GPU."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from app.infer.frame import Nv12
from app.infer.gpu.model import GpuModel
from app.progress import SilentReporter
from app.types import GpuMemory, Image, Result, Task
from app.vision.decode import Thresholds
from app.vision.model import Model
from tests.infer.gpu.heads import head_of
from tests.infer.gpu.taped import TapedRunner

SIZES = [(48, 64), (1, 1), (1, 4000), (4097, 3), (100, 37), (64, 96)]
HEADS = [(task, end2end) for task in Task for end2end in (False, True) if not (end2end and task is Task.CLASSIFY)]


def _pictures(sizes: Sequence[tuple[int, int]] = SIZES) -> list[Image]:
    random = np.random.default_rng(1)
    return [random.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def _model(runner: TapedRunner, store: Path, thresholds: Thresholds | None = None) -> GpuModel:
    return GpuModel(runner, thresholds or Thresholds(), store, SilentReporter())


def _assert_same(actual: Result, expected: Result) -> None:
    assert (actual.task, actual.shape) == (expected.task, expected.shape)
    if expected.probs is not None:
        np.testing.assert_array_equal(actual.probs, expected.probs)
        return
    ours, theirs = actual.detections, expected.detections
    assert ours is not None
    assert theirs is not None
    np.testing.assert_array_equal(ours.class_id, theirs.class_id)
    np.testing.assert_array_equal(ours.confidence, theirs.confidence)
    np.testing.assert_allclose(ours.xyxy, theirs.xyxy, atol=1e-3)
    for ours_extra, theirs_extra in ((ours.keypoints, theirs.keypoints), (ours.xywhr, theirs.xywhr)):
        assert (ours_extra is None) == (theirs_extra is None)
        if ours_extra is not None and theirs_extra is not None:
            np.testing.assert_allclose(ours_extra, theirs_extra, atol=1e-3)
    _assert_same_masks(ours.masks, theirs.masks)


def _assert_same_masks(ours: Any, theirs: Any) -> None:
    assert (ours is None) == (theirs is None)
    for mask, wanted in zip(ours or (), theirs or (), strict=True):
        assert (mask.x, mask.y, mask.bitmap.shape) == (wanted.x, wanted.y, wanted.bitmap.shape)
        both, any_of_them = (mask.bitmap & wanted.bitmap).sum(), (mask.bitmap | wanted.bitmap).sum()
        assert both >= 0.98 * any_of_them


@pytest.mark.parametrize("memory", [GpuMemory.COPIED, GpuMemory.MAPPED])
@pytest.mark.parametrize("half", [False, True], ids=["fp32", "fp16"])
@pytest.mark.parametrize(("task", "end2end"), HEADS, ids=lambda value: getattr(value, "value", value))
def test_it_finds_what_the_cpu_path_finds(
    gpu: str, task: Task, end2end: bool, half: bool, memory: GpuMemory, tmp_path: Path
) -> None:
    metadata, tape = head_of(task, end2end=end2end, half=half)
    dtype = np.float16 if half else np.float32
    with TapedRunner(metadata, tape, input_dtype=dtype, memory=memory) as runner:
        thresholds = Thresholds(0.4, 0.5, 300, (0, 2, 3) if half else None)
        found = _model(runner, tmp_path, thresholds).predict_batch(_pictures(SIZES[2:]))
        expected = Model(runner, thresholds).predict_batch(_pictures(SIZES[2:]))
    assert task is Task.CLASSIFY or sum(len(result.detections or ()) for result in expected) > 100
    for ours, theirs in zip(found, expected, strict=True):
        _assert_same(ours, theirs)


@pytest.mark.parametrize("half", [False, True], ids=["fp32", "fp16"])
@pytest.mark.parametrize("task", [Task.DETECT, Task.CLASSIFY])
@pytest.mark.parametrize("size", [*SIZES, (3, 1097), (128, 192), (240, 360)])
def test_the_network_is_fed_what_the_cpu_path_feeds(
    gpu: str, size: tuple[int, int], task: Task, half: bool, tmp_path: Path
) -> None:
    metadata, tape = head_of(task, batch=1)
    with TapedRunner(metadata, tape, input_dtype=np.float16 if half else np.float32) as runner:
        (picture,) = _pictures([size])
        _model(runner, tmp_path).predict(picture)
        Model(runner).predict(picture)
        difference = np.abs(runner.input_on_gpu().astype(np.float32) - runner.fed.astype(np.float32))
    assert difference.max() <= (0 if task is Task.DETECT else 1.0 / 255 + (2**-11 if half else 1e-6))


@pytest.mark.parametrize("size", [(48, 64), (100, 37), (200, 333), (33, 500), (64, 64), (1, 4000), (4097, 3), (1, 1)])
def test_a_classifier_is_fed_pillows_bytes(gpu: str, size: tuple[int, int], tmp_path: Path) -> None:
    metadata, tape = head_of(Task.CLASSIFY, batch=1)
    square = replace(metadata, imgsz=(64, 64))
    with TapedRunner(square, tape) as runner:
        (picture,) = _pictures([size])
        _model(runner, tmp_path).predict(picture)
        Model(runner).predict(picture)
        difference = np.abs(runner.input_on_gpu() - runner.fed)
    is_long = max(size) > 64 * min(size)  # the CPU path then asks Pillow in a way that rounds to float32
    assert difference.max() <= (1.0 / 255 + 1e-6 if is_long else 0)


@pytest.mark.parametrize("half", [False, True], ids=["fp32", "fp16"])
def test_inputs_of_any_width_are_fed(gpu: str, half: bool, tmp_path: Path) -> None:
    metadata, tape = head_of(Task.DETECT, batch=1)
    odd = replace(metadata, imgsz=(35, 651))  # more than one block takes, and no multiple of what a thread stores
    with TapedRunner(odd, tape, input_dtype=np.float16 if half else np.float32) as runner:
        (picture,) = _pictures([(100, 2000)])
        _model(runner, tmp_path).predict(picture)
        Model(runner).predict(picture)
        np.testing.assert_array_equal(runner.input_on_gpu(), runner.fed)


@pytest.mark.parametrize("size", [(64, 96), (63, 95), (1, 1), (200, 333), (480, 640)])
def test_nv12_is_fed_as_opencv_converts_it(gpu: str, size: tuple[int, int], tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    height, width = size
    y = random.integers(0, 256, size, dtype=np.uint8)
    uv = random.integers(0, 256, ((height + 1) // 2, (width + 1) // 2, 2), dtype=np.uint8)
    metadata, tape = head_of(Task.DETECT, batch=1)
    with TapedRunner(metadata, tape) as runner:
        _model(runner, tmp_path).predict(Nv12(y, uv))
        Model(runner).predict(_bgr_of(y, uv))
        np.testing.assert_array_equal(runner.input_on_gpu(), runner.fed)


def _bgr_of(y: npt.NDArray[np.uint8], uv: npt.NDArray[np.uint8]) -> Image:
    """By OpenCV, which takes even sizes only: the last row and column twice."""
    height, width = y.shape
    even = np.pad(y, ((0, height % 2), (0, width % 2)), mode="edge")
    picture: Any = cv2.cvtColorTwoPlane(even, uv, cv2.COLOR_YUV2BGR_NV12)
    cut: Image = np.ascontiguousarray(picture[:height, :width])
    return cut


@pytest.mark.parametrize("task", [Task.DETECT, Task.OBB])
def test_thousands_of_candidates_are_suppressed_alike(gpu: str, task: Task, tmp_path: Path) -> None:
    metadata, tape = head_of(task, batch=1, anchors=1500)
    thresholds = Thresholds(0.0, 0.3, 1500)
    with TapedRunner(metadata, tape) as runner:
        (found,) = _model(runner, tmp_path, thresholds).predict_batch(_pictures([(64, 96)]))
        (expected,) = Model(runner, thresholds).predict_batch(_pictures([(64, 96)]))
    _assert_same(found, expected)


def test_what_is_no_number_is_no_object(gpu: str, tmp_path: Path) -> None:
    metadata, tape = head_of(Task.SEGMENT, batch=1)
    rows = tape["output0"]
    strange = [np.nan, np.inf, -np.inf, 2e9]
    for index, value in enumerate(strange * 4):
        rows[0, index % 16, index] = value
    with TapedRunner(metadata, tape) as runner:
        thresholds = Thresholds(0.05, 0.9)
        (found,) = _model(runner, tmp_path, thresholds).predict_batch(_pictures([(64, 96)]))
        (expected,) = Model(runner, thresholds).predict_batch(_pictures([(64, 96)]))
    _assert_same(found, expected)


@pytest.mark.parametrize("task", list(Task))
def test_nothing_is_found_where_nothing_is_sure(gpu: str, task: Task, tmp_path: Path) -> None:
    metadata, tape = head_of(task, batch=1)
    with TapedRunner(metadata, tape) as runner:
        thresholds = Thresholds(1.0)
        (found,) = _model(runner, tmp_path, thresholds).predict_batch(_pictures([(64, 96)]))
        (expected,) = Model(runner, thresholds).predict_batch(_pictures([(64, 96)]))
    assert not expected.detections
    _assert_same(found, expected)


def test_equal_scores_keep_their_order(gpu: str, tmp_path: Path) -> None:
    metadata, tape = head_of(Task.DETECT, batch=1, anchors=700)
    tape["output0"][:, 4:] = np.round(tape["output0"][:, 4:], 1)
    with TapedRunner(metadata, tape) as runner:
        thresholds = Thresholds(0.15, 0.5, 120)
        (found,) = _model(runner, tmp_path, thresholds).predict_batch(_pictures([(64, 96)]))
        (expected,) = Model(runner, thresholds).predict_batch(_pictures([(64, 96)]))
    assert len(expected.detections or ()) == 120
    _assert_same(found, expected)


def test_masks_that_need_more_room_are_made_again(gpu: str, tmp_path: Path) -> None:
    metadata, tape = head_of(Task.SEGMENT, batch=1)
    tape["output0"][:, 2:4] = 90  # every box as large as the picture
    (picture,) = _pictures([(240, 360)])
    thresholds = Thresholds(0.9, 1.0)
    with TapedRunner(metadata, tape) as runner:
        model = _model(runner, tmp_path, thresholds)
        results = [model.predict(picture) for _ in range(3)]
        expected = Model(runner, thresholds).predict(picture)
    assert expected.detections is not None
    assert sum(mask.bitmap.size for mask in expected.detections.masks or ()) > 2**20
    for result in results:  # the first kept its masks though others were made since
        _assert_same(result, expected)
