"""Several pictures at a time against a runner that answers by hand."""

import threading
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from app.errors import ModelError
from app.types import Image
from app.vision.model import Model
from app.vision.parallel import ParallelModel
from tests.vision.doubles import FakeRunner, metadata, raw


def _picture(value: int, height: int = 32, width: int = 64) -> Image:
    return np.full((height, width, 3), value, np.uint8)


def _answer_brightness(batch: Any) -> dict[str, Any]:
    """One box a picture, as sure as the picture's middle is bright."""
    return {"output0": np.concatenate([raw([[32, 32, 16, 8, slot[0, 32, 32], 0, 0]]) for slot in batch])}


def _runner(answer: Any = _answer_brightness, batch: int = 1) -> FakeRunner:
    return FakeRunner((batch, 3, 64, 64), answer, metadata())


@pytest.mark.parametrize("batch", [1, 2])
def test_answers_are_those_of_one_at_a_time(batch: int) -> None:
    pictures = [_picture(100 + number, height=20 + number) for number in range(30)]
    expected = Model(_runner(batch=batch)).predict_batch(pictures)
    together = threading.Barrier(5)

    def answer(inputs: Any) -> dict[str, Any]:
        together.wait(10)  # all have filled their inputs before one is looked at
        return _answer_brightness(inputs)

    with closing(ParallelModel(_runner(answer, batch), None, 5)) as model:
        begun = [model.submit(pictures[start : start + batch]) for start in range(0, len(pictures), batch)]
        found = [result for one in begun for result in one.result()]

    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == theirs.shape
        assert ours.detections is not None
        assert theirs.detections is not None
        np.testing.assert_array_equal(ours.detections.confidence, theirs.detections.confidence)
        np.testing.assert_array_equal(ours.detections.xyxy, theirs.detections.xyxy)


def test_so_many_run_at_the_same_time_and_no_more() -> None:
    together, running, most = threading.Barrier(3), [0], [0]
    lock = threading.Lock()

    def answer(batch: Any) -> dict[str, Any]:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        together.wait(10)  # breaks, unless three run at once
        with lock:
            running[0] -= 1
        return _answer_brightness(batch)

    with closing(ParallelModel(_runner(answer), None, 3)) as model:
        for one in [model.submit([_picture(200)]) for _ in range(9)]:
            one.result(20)
    assert most == [3]


def test_what_the_engine_refuses_comes_back_and_the_others_go_on() -> None:
    def answer(batch: Any) -> dict[str, Any]:
        if batch[0, 0, 32, 32] < 0.5:
            raise ModelError("too dark")
        return _answer_brightness(batch)

    with closing(ParallelModel(_runner(answer), None, 2)) as model:
        begun = [model.submit([_picture(value)]) for value in (200, 10, 10, 10, 210)]
        for refused in begun[1:4]:
            with pytest.raises(ModelError, match="too dark"):
                refused.result(10)
        assert [len(begun[number].result(10)) for number in (0, 4)] == [1, 1]
        assert len(model.predict_batch([_picture(220)])) == 1


def test_leaving_finishes_what_runs_and_gives_up_the_rest() -> None:
    runs, go_on = threading.Semaphore(0), threading.Event()

    def answer(batch: Any) -> dict[str, Any]:
        runs.release()
        go_on.wait(10)
        return _answer_brightness(batch)

    with closing(ParallelModel(_runner(answer), None, 2)) as model:
        begun = [model.submit([_picture(200)]) for _ in range(5)]
        assert runs.acquire(timeout=10)
        assert runs.acquire(timeout=10)
        begun[4].add_done_callback(lambda one: go_on.set())  # given up

    assert [one.cancelled() for one in begun] == [False, False, True, True, True]
    assert len(begun[0].result(0)) == 1
