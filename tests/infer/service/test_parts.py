"""The parts of the service by themselves."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from app.engines.engine import Engine
from app.errors import OutputError, SettingsError
from app.infer.ahead import Reading
from app.infer.frame import Failure, Frame
from app.infer.lane import Condition, SourceState
from app.infer.pipeline import Predictor
from app.infer.service.health import Health, State, health_path, read_health
from app.infer.service.outlets import Surviving
from app.infer.service.plan import ModelPlan
from app.infer.service.report import Report
from app.infer.service.switch import Loaded, Switch
from app.infer.sinks.base import Sink
from app.metadata import ModelMetadata
from app.types import Image, Result, Task
from tests.doubles.reporters import ListReporter
from tests.infer.doubles import NAMES, failure, film, result_of

ANSWER = result_of(Task.DETECT)
PICTURE = np.zeros((4, 4, 3), np.uint8)


# --- another engine ---


class Model:
    """Prepares frames by writing its name on them, and answers only to what it prepared itself, or to pictures."""

    def __init__(self, name: str) -> None:
        self.metadata = ModelMetadata(task=Task.DETECT, names=NAMES, imgsz=(8, 8), batch=1)
        self.name = name
        self.got: list[str] = []

    def prepare(self, image: Image) -> Any:
        return f"prepared by {self.name}"

    def predict_batch(self, images: Sequence[Any]) -> list[Result]:
        self.got += [image if isinstance(image, str) else "a picture" for image in images]
        return [ANSWER for _ in images]


def _loaded(model: Model, closed: list[str]) -> Loaded:
    @contextmanager
    def opened(engine: Engine) -> Iterator[Predictor]:
        yield model
        closed.append(model.name)

    engine = cast(Engine, SimpleNamespace(path=Path(model.name)))
    return Loaded(engine, ModelPlan((), Path(), lambda: engine, opened))


def test_a_frame_that_was_prepared_for_the_engine_before_goes_to_the_new_one_as_a_picture() -> None:
    first, second, closed = Model("a"), Model("b"), list[str]()
    switch = Switch(_loaded(first, closed))
    ready = [switch.prepare(PICTURE), switch.prepare(PICTURE)]
    switch.predict_batch(ready[:1])
    before = switch.turn(_loaded(second, closed))
    switch.predict_batch([ready[1], PICTURE, switch.prepare(PICTURE)])

    assert first.got == ["a picture", "prepared by a"]  # the first answer of all is a trial
    assert second.got == ["a picture", "a picture", "a picture", "prepared by b"]
    assert closed == []
    before.close()
    assert closed == ["a"]


def test_an_engine_is_closed_when_nobody_uses_it_any_more() -> None:
    closed = list[str]()
    loaded = _loaded(Model("a"), closed)
    leave, entered = threading.Event(), threading.Event()

    def use() -> None:
        with loaded.used():
            entered.set()
            leave.wait()
            closed.append("left")

    user = threading.Thread(target=use)
    user.start()
    entered.wait()
    threading.Timer(0.1, leave.set).start()
    loaded.close()
    user.join()

    assert closed == ["left", "a"]


# --- sinks that fail ---


class Disk:
    """Is full for a while."""

    def __init__(self) -> None:
        self.full = False
        self.opened = 0
        self.seen: list[int] = []

    def open(self) -> Sink:
        self._check()
        self.opened += 1
        return self

    def write(self, frame: Frame, result: Result) -> None:
        self._check()
        self.seen.append(frame.index)

    def fail(self, failure: Failure) -> None:
        self._check()

    def close(self) -> None:
        self._check()

    def _check(self) -> None:
        if self.full:
            raise OutputError("the disk is full")


def test_a_sink_that_failed_is_opened_again_and_what_it_missed_is_counted() -> None:
    disk, reporter = Disk(), ListReporter()
    sink = Surviving("results", disk.open, reporter, first_retry_s=0.0)
    frames = film("camera:0", 6)
    for frame in frames:
        disk.full = frame.index in (2, 3)
        sink.write(frame, ANSWER)

    assert disk.seen == [0, 1, 4, 5]
    assert (sink.lost, sink.error, disk.opened) == (2, None, 2)
    assert [line for line in reporter.warnings if "results loses results" in line] == reporter.warnings
    assert len(reporter.warnings) == 1


def test_one_that_breaks_while_it_is_closed_is_told_of_and_ends_nothing() -> None:
    class Torn(Disk):
        def close(self) -> None:
            raise BrokenPipeError

    disk, reporter = Torn(), ListReporter()
    sink = Surviving("results", disk.open, reporter)
    disk.full = True
    sink.write(film("camera:0", 1)[0], result_of(Task.DETECT))
    sink.close()

    assert (sink.error, sink.lost) == ("the disk is full", 1)


def test_it_is_not_tried_at_every_frame() -> None:
    disk = Disk()
    sink = Surviving("results", disk.open, ListReporter(), first_retry_s=60.0)
    disk.full = True
    sink.write(film("camera:0", 1)[0], ANSWER)
    disk.full = False
    sink.write(film("camera:0", 1)[0], ANSWER)
    sink.fail(failure())
    sink.close()

    assert (sink.lost, disk.seen, sink.error) == (3, [], "the disk is full")


def test_standard_output_is_not_taken_for_mended() -> None:
    disk, reporter = Disk(), ListReporter()
    sink = Surviving("standard output", disk.open, reporter, first_retry_s=0.0, again=False)
    for frame in film("camera:0", 3):
        disk.full = frame.index == 0
        sink.write(frame, ANSWER)

    assert (sink.lost, sink.error, disk.seen) == (3, "the disk is full", [])
    assert "restart the service" in reporter.warnings[0]


def test_one_that_cannot_be_opened_at_the_beginning_is_a_mistake_in_the_settings() -> None:
    disk = Disk()
    disk.full = True
    with pytest.raises(OutputError, match="full"):
        Surviving("results", disk.open, ListReporter())


# --- sources that come and go ---


class Counting:
    """Counts until it is left."""

    live = True

    def __init__(self, name: str) -> None:
        self.name = name
        self.left = threading.Event()

    def read(self, desk: Any) -> Iterator[Frame | Failure]:
        for frame in film(f"camera:{self.name}", 1_000_000):
            if desk.stop.wait(0.005):
                break
            yield frame
        self.left.set()


def test_sources_come_and_go_while_others_are_read() -> None:
    first, second = Counting("1"), Counting("2")
    seen: list[str] = []
    with Reading([first], ListReporter(), forever=True) as reading:
        reading.start(lambda shape: np.empty(shape, np.uint8), lambda image: None)
        for batch in reading.batches(lambda: 1):
            seen += [item.what.source for _, item in batch]
            if len(seen) == 10:
                threading.Thread(target=reading.change, args=([], [second])).start()
            if len(seen) == 40:
                reading.change([first], [])
                assert first.left.wait(5)
            if len(seen) == 60:
                reading.stop.set()

    assert set(seen[:10]) == {"camera:1"}
    assert set(seen[41:]) == {"camera:2"}
    assert [state.name for state in reading.states()] == ["2"]
    assert second.left.wait(5)


# --- the status ---


class Watched:
    """A service whose state is given."""

    engine_name = "a.engine"
    is_stopping = False

    def __init__(self) -> None:
        self.frames = 7
        self.silent_s = 0.0
        self.source = SourceState("cam", live=True, condition=Condition.RUNNING, rate=25.0, latency_ms=9.0)
        self.sink: dict[str, Any] = {"name": "out", "error": None, "lost": 0, "left_out": 0}

    def source_states(self) -> list[SourceState]:
        return [self.source]

    def sink_states(self) -> list[dict[str, Any]]:
        return [self.sink]


def _until(path: Path, state: State) -> Health:
    for _ in range(400):
        health = read_health(path)
        if health is not None and health.state is state:
            return health
        threading.Event().wait(0.02)
    raise AssertionError(f"never {state}: {read_health(path)}")


def test_the_status_follows_what_happens(tmp_path: Path) -> None:
    path, watched = health_path(tmp_path, "wall"), Watched()
    with Report(path, ListReporter()) as report:
        assert _until(path, State.STARTING).why == ()
        report.watch(watched)
        ready = _until(path, State.READY)
        assert ready.facts["engine"]["name"] == "a.engine"
        watched.sink = {**watched.sink, "error": "the disk is full"}
        assert _until(path, State.DEGRADED).why == ("out: the disk is full",)
        watched.sink = {**watched.sink, "error": None}
        _until(path, State.READY)
        watched.source = replace(watched.source, condition=Condition.ENDED, last_error="refused, after 12 frames")
        assert _until(path, State.DEGRADED).why == ("cam has ended: refused, after 12 frames",)
        watched.source = replace(watched.source, condition=Condition.RUNNING)
        _until(path, State.READY)
        report.changed_over(OutputError("it is damaged"))
        assert _until(path, State.DEGRADED).why == ("a newer engine is not used: it is damaged",)
        report.reloaded()
        _until(path, State.READY)
        watched.is_stopping = True
        _until(path, State.STOPPING)

    assert _until(path, State.STOPPED).facts["frames"] == 7


def test_an_engine_that_stands_still_gives_no_heartbeat(tmp_path: Path) -> None:
    path, watched = health_path(tmp_path, "wall"), Watched()
    watched.silent_s = 11.0
    with Report(path, ListReporter()) as report:
        report.watch(watched)
        first = _until(path, State.READY).heartbeat
        watched.frames = 8
        report.reloaded()  # so that it is written again
        threading.Event().wait(0.6)
        health = read_health(path)
        assert health is not None
        assert health.heartbeat == first
        assert health.is_hung(datetime.now(timezone.utc) + timedelta(seconds=31))


def test_an_error_is_the_last_word(tmp_path: Path) -> None:
    path = health_path(tmp_path, "wall")
    with pytest.raises(SettingsError), Report(path, ListReporter()):
        raise SettingsError("the settings are wrong")

    health = _until(path, State.FAILED)
    assert health.why == ("the settings are wrong",)
    assert not health.is_hung(datetime.now(timezone.utc) + timedelta(days=1))


def test_a_folder_that_cannot_be_written_is_told_once_and_the_service_goes_on(tmp_path: Path) -> None:
    (tmp_path / ".status").write_text("no folder")
    reporter = ListReporter()
    with Report(health_path(tmp_path, "wall"), reporter) as report:
        report.watch(Watched())
        threading.Event().wait(0.6)

    assert len(reporter.warnings) == 1
    assert "the status cannot be written" in reporter.warnings[0]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("[]", id="a list"),
        pytest.param("{}", id="nothing in it"),
        pytest.param('{"service": "other"}', id="another's"),
        pytest.param("[" * 100_000, id="deep"),
    ],
)
def test_what_is_no_status_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "wall.json"
    path.write_text(text)

    assert read_health(path) is None


@pytest.mark.parametrize("change", [{"state": "x"}, {"heartbeat": "2026-01-01"}, {"sources": [{}]}, {"sinks": [1]}])
def test_a_status_with_a_wrong_value_is_none(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "wall.json"
    moment = "2026-01-01T00:00:00.000+00:00"
    whole = json.loads(Health("wall", State.READY, (), moment, moment, 1, "box").to_json())
    path.write_text(json.dumps(whole))
    assert read_health(path) is not None
    path.write_text(json.dumps({**whole, **change}))

    assert read_health(path) is None
