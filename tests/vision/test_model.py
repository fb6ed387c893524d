"""A model against a runner that answers by hand."""

from typing import Any

import numpy as np
import pytest

from app.errors import ModelError, SourceError
from app.types import Image, Task
from app.vision.model import Model, Thresholds
from tests.vision.doubles import FakeRunner, metadata, raw

RED = (0, 0, 255)


def _picture(value: int, height: int = 32, width: int = 64) -> Image:
    return np.full((height, width, 3), value, np.uint8)


def _answer_brightness(batch: Any) -> dict[str, Any]:
    """One box a picture, as sure as the picture's middle is bright; nothing may be left of the buffer."""
    answers = [raw([[32, 32, 16, 8, slot[0, 32, 32], 0, 0]]) for slot in batch]
    return {"output0": np.concatenate(answers)}


def _runner(batch: int = 1, dtype: Any = np.float32) -> FakeRunner:
    return FakeRunner((batch, 3, 64, 64), _answer_brightness, metadata(), dtype)


def test_a_picture_goes_through_letterbox_run_and_decode() -> None:
    result = Model(_runner()).predict(_picture(204))
    assert (result.task, result.shape, result.probs) == (Task.DETECT, (32, 64), None)
    assert result.detections is not None
    np.testing.assert_allclose(result.detections.xyxy, [[24, 12, 40, 20]])
    np.testing.assert_allclose(result.detections.confidence, [0.8])
    speed = result.speed_ms
    assert min(speed.preprocess, speed.inference, speed.postprocess) > 0


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 7])
def test_any_number_of_pictures_fits_any_batch(count: int) -> None:
    runner = _runner(batch=3)
    pictures = [_picture(150 + 10 * index, height=20 + index) for index in range(count)]
    results = Model(runner).predict_batch(pictures)
    assert [result.shape for result in results] == [picture.shape[:2] for picture in pictures]
    sure = [result.detections.confidence.tolist() for result in results if result.detections]
    np.testing.assert_allclose(sure, [[(150 + 10 * index) / 255] for index in range(count)])
    assert len(runner.fed) == -(-count // 3)


@pytest.mark.parametrize("batch", [1, 3])
def test_pictures_that_were_prepared_give_the_same_and_may_be_mixed(batch: int) -> None:
    model, plain = Model(_runner(batch)), Model(_runner(batch))
    pictures = [_picture(255 - 20 * number, width=40 + number) for number in range(5)]
    mixed = [model.prepare(picture) if number % 2 == 0 else picture for number, picture in enumerate(pictures)]

    for results in (model.predict_batch(mixed), model.predict_batch([model.prepare(picture) for picture in pictures])):
        for ours, expected in zip(results, plain.predict_batch(pictures), strict=True):
            assert ours.shape == expected.shape
            assert ours.detections is not None
            assert expected.detections is not None
            np.testing.assert_array_equal(ours.detections.confidence, expected.detections.confidence)
            np.testing.assert_array_equal(ours.detections.xyxy, expected.detections.xyxy)
            assert ours.speed_ms.preprocess > 0


def test_unused_slots_are_empty_even_after_a_full_batch() -> None:
    runner = _runner(batch=2)
    Model(runner).predict_batch([_picture(200), _picture(210), _picture(220)])
    assert runner.fed[0][1].any()
    assert not runner.fed[1][1].any()


def test_half_precision_inputs_are_fed_as_such() -> None:
    runner = _runner(dtype=np.float16)
    result = Model(runner).predict(_picture(204))
    assert runner.fed[0].dtype == np.float16
    assert result.detections is not None
    np.testing.assert_allclose(result.detections.confidence, [0.8], rtol=1e-3)


def test_thresholds_are_applied() -> None:
    model = Model(_runner(), Thresholds(confidence=0.9))
    assert [len(model.predict(_picture(value)).detections or ()) for value in (204, 240)] == [0, 1]


def test_a_classifier_gives_probabilities() -> None:
    runner = FakeRunner((1, 3, 32, 32), lambda batch: {"o": batch.mean(axis=(2, 3))}, metadata("classify", 3, imgsz=32))
    picture = np.zeros((50, 70, 3), np.uint8)
    picture[:, :] = RED
    result = Model(runner).predict(picture)
    assert result.detections is None
    assert result.probs is not None
    np.testing.assert_allclose(result.probs, [1, 0, 0])


def test_results_outlive_a_runner_that_reuses_its_buffers() -> None:
    buffer = np.zeros((1, 7, 21), np.float32)

    def answer(batch: Any) -> dict[str, Any]:
        buffer[:] = _answer_brightness(batch)["output0"]
        return {"output0": buffer}

    first = Model(FakeRunner((1, 3, 64, 64), answer, metadata())).predict(_picture(204))
    buffer[:] = 7
    assert first.detections is not None
    np.testing.assert_allclose(first.detections.xyxy, [[24, 12, 40, 20]])
    np.testing.assert_allclose(first.detections.confidence, [0.8])

    probs = np.array([[0.2, 0.3, 0.5]], np.float32)
    classifier = FakeRunner((1, 3, 64, 64), lambda _: {"o": probs}, metadata("classify"))
    second = Model(classifier).predict(_picture(1))
    probs[:] = 7
    assert second.probs is not None
    np.testing.assert_allclose(second.probs, [0.2, 0.3, 0.5])


def test_a_bad_picture_stops_the_batch_before_it_runs() -> None:
    runner = _runner()
    with pytest.raises(SourceError):
        Model(runner).predict_batch([_picture(1), np.zeros((3, 3), np.uint8)])
    assert not runner.fed


@pytest.mark.parametrize(
    ("shape", "dtype", "inputs", "message"),
    [
        pytest.param((1, 1, 64, 64), np.float32, 1, r"is \(1, 1, 64, 64\) of float32", id="grey"),
        pytest.param((1, 3, 64), np.float32, 1, "jetsmith runs", id="rank"),
        pytest.param((1, 3, 64, -1), np.float32, 1, "jetsmith runs", id="dynamic"),
        pytest.param((1, 3, 64, 64), np.uint8, 1, "of uint8", id="bytes"),
        pytest.param((1, 3, 64, 64), np.float32, 2, "has 2: images, images1", id="two inputs"),
    ],
)
def test_an_engine_that_takes_something_else_is_refused(
    shape: tuple[int, ...], dtype: Any, inputs: int, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        Model(FakeRunner(shape, _answer_brightness, metadata(), dtype, inputs))
