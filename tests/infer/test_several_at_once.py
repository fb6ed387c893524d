"""A run whose model computes several batches at the same time."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import app.infer.pipeline as pipeline
from app.errors import ModelError
from app.infer.ahead import Reading
from app.infer.frame import Failure, Frame
from app.infer.pipeline import End, Summary, run
from app.types import Result, Task
from tests.doubles.reporters import ListReporter
from tests.infer.doubles import FakeModel, failure, result_of
from tests.infer.given import Given, video_frame


class Several(FakeModel):
    """Three threads; `work` is done in them, once for each batch."""

    at_once = 3

    def __init__(self, work: Any = lambda images: None, batch: int = 1) -> None:
        super().__init__(lambda image: result_of(Task.DETECT), batch)
        self.begun, self.given_back, self.most = 0, 0, 0
        self._work = work
        self._pool = ThreadPoolExecutor(self.at_once)

    def submit(self, images: Sequence[Any]) -> "Future[list[Result]]":
        self.begun += 1
        self.most = max(self.most, self.begun - self.given_back)
        return self._pool.submit(self._done, images)

    def _done(self, images: Sequence[Any]) -> list[Result]:
        self._work(images)
        return self.predict_batch(images)


class Notes:
    """A sink that writes down what it gets, and tells the model."""

    def __init__(self, model: Several) -> None:
        self.seen: list[int | str] = []
        self._model = model

    def write(self, frame: Frame, result: Result) -> None:
        self.seen.append(frame.index)
        self._model.given_back += 1

    def fail(self, failure: Failure) -> None:
        self.seen.append("failed")

    def close(self) -> None:
        self.seen.append("closed")


def _frames(count: int, height: int = 4, width: int = 4) -> Iterator[Frame]:
    for index in range(count):
        picture = np.full((height, width, 3), index, np.uint8)
        yield Frame("v", index, picture, kind=video_frame("v", 0).kind)


def _run(items: Any, model: Several, stop: threading.Event | None = None) -> tuple[Notes, Summary]:
    notes, reporter = Notes(model), ListReporter()
    return notes, run(Reading([Given(items)], reporter, stop), lambda: model, [notes], reporter)


def test_results_keep_their_order_however_long_each_takes() -> None:
    model = Several(lambda images: time.sleep(0.02 if images[0][0, 0, 0] % 3 == 0 else 0))

    notes, summary = _run(_frames(30), model)

    assert notes.seen == [*range(30), "closed"]
    assert (summary.pictures, summary.detections, summary.end) == (30, 60, End.DONE)
    assert model.most == 2 * model.at_once + 1, "as many wait, and one has just come"
    assert "median ms a frame, 3 at a time: preprocess 1.2" in str(summary)


def test_batches_and_failures_stay_where_they_were() -> None:
    items = [*_frames(4), failure("broken"), *list(_frames(9))[4:], failure("broken")]

    notes, summary = _run(items, Several(batch=2))

    assert notes.seen == [0, 1, 2, 3, "failed", 4, 5, 6, 7, 8, "failed", "closed"]
    assert (summary.pictures, summary.failures) == (9, 2)


def test_of_huge_frames_few_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "_AHEAD_BYTES", 2 * 40 * 40 * 3)
    model = Several()

    notes, _ = _run(_frames(9, 40, 40), model)

    assert notes.seen == [*range(9), "closed"]
    assert model.most == 3, "two in all, and the one that has just come"


def test_a_refusal_of_the_engine_ends_the_run_after_what_came_before_it() -> None:
    def work(images: Sequence[Any]) -> None:
        if images[0][0, 0, 0] == 4:
            raise ModelError("it could not run")

    model = Several(work)
    notes = Notes(model)
    with pytest.raises(ModelError, match="could not run"):
        run(Reading([Given(_frames(9))], ListReporter()), lambda: model, [notes], ListReporter())

    assert notes.seen == [0, 1, 2, 3, "closed"]


def test_what_was_computed_before_a_reader_died_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def items() -> Iterator[Frame]:
        yield from _frames(5)
        raise ZeroDivisionError

    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    model = Several()
    notes = Notes(model)
    with pytest.raises(RuntimeError, match="given has died"):
        run(Reading([Given(items())], ListReporter()), lambda: model, [notes], ListReporter())

    assert notes.seen == [*range(model.begun), "closed"], "every batch that the model was given"


def test_a_stop_writes_what_has_begun() -> None:
    stop = threading.Event()

    def items() -> Iterator[Frame]:
        for frame in _frames(1000):
            if frame.index == 20:
                stop.set()
            yield frame

    model = Several(lambda images: time.sleep(0.01))
    notes, summary = _run(items(), model, stop)

    assert summary.end is End.INTERRUPTED
    assert notes.seen == [*range(model.begun), "closed"], "every batch that the model was given"
    assert model.begun < 40
