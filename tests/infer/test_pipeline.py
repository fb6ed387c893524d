import io
import json
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import EngineError, OutputError
from app.infer.ahead import READ_AT_ONCE, Reading
from app.infer.frame import Failure, Frame
from app.infer.lane import Condition
from app.infer.pipeline import End, InferOptions, Summary, infer, run
from app.infer.sinks.base import Sink
from app.infer.sinks.open import OutputFormat, SinkOptions
from app.infer.sources.base import Source
from app.infer.sources.choose import open_sources
from app.infer.summary import percentile
from app.progress import Reporter
from app.types import Image, Result, Speed, Task
from tests.doubles.reporters import ListReporter
from tests.infer.doubles import FakeModel, encoded, failure, frame, photo, result_of
from tests.infer.given import Endless, Given, live_frame, threads_of_sources, video_frame


class Notes:
    """A sink that writes down what it gets, in order."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.frames: list[tuple[str, int]] = []

    def write(self, frame: Frame, result: Result) -> None:
        self.seen.append(frame.source)
        self.frames.append((frame.source, frame.index))

    def fail(self, failure: Failure) -> None:
        self.seen.append(f"failed {failure.source}")

    def close(self) -> None:
        self.seen.append("closed")

    def of(self, source: str) -> list[int]:
        return [index for name, index in self.frames if name == source]


def _model(batch: int = 1) -> FakeModel:
    return FakeModel(lambda image: result_of(Task.DETECT), batch)


def _run(
    items: Iterable[Frame | Failure], model: FakeModel, sinks: Sequence[Sink], reporter: Reporter | None = None
) -> Summary:
    """Of one source."""
    reporter = reporter or ListReporter()
    return run(Reading([Given(items)], reporter), lambda: model, sinks, reporter)


def test_counts_speeds_and_exit_code() -> None:
    notes, reporter = Notes(), ListReporter()

    summary = _run([frame("a"), failure("b"), frame("c")], _model(), [notes], reporter)

    assert notes.seen == ["a", "failed b", "c", "closed"]
    assert (summary.pictures, summary.failures, summary.detections, summary.end) == (2, 1, 4, End.DONE)
    assert summary.p50_ms is not None
    assert summary.p50_ms.inference == pytest.approx(50.006)
    assert summary.exit_code == 3
    assert reporter.warnings == ["b: the file is empty (0 bytes). Copy it again."]
    assert str(summary).startswith("2 pictures; 4 objects; 1 failed; median ms a picture: preprocess 1.2")


def test_nothing_failed_is_exit_code_zero() -> None:
    assert _run([frame()], _model(), []).exit_code == 0


def test_pictures_go_in_batches_and_come_out_in_order() -> None:
    notes, model = Notes(), _model(batch=3)
    items: list[Frame | Failure] = [
        frame("0"),
        failure("1"),
        *(frame(str(number)) for number in range(2, 8)),
        failure("8"),
    ]

    summary = _run(items, model, [notes])

    assert [entry.split()[-1] for entry in notes.seen] == [*map(str, range(9)), "closed"]
    assert model.batches == [3, 3, 1]
    assert summary.pictures == 7


def test_ctrl_c_ends_with_what_was_done() -> None:
    class Interrupted(Notes):
        def write(self, frame: Frame, result: Result) -> None:
            if self.seen:
                raise KeyboardInterrupt
            super().write(frame, result)

    notes = Interrupted()
    summary = _run([frame("a"), frame("b")], _model(), [notes])

    assert notes.seen == ["a", "closed"]
    assert (summary.pictures, summary.end, summary.exit_code) == (1, End.INTERRUPTED, 130)


def test_every_sink_is_closed_after_an_error_even_of_another() -> None:
    class Broken(Notes):
        def write(self, frame: Frame, result: Result) -> None:
            raise OutputError("the disk is full")

        def close(self) -> None:
            raise OutputError("the disk is still full")

    notes = Notes()
    with pytest.raises(OutputError, match="full"):
        _run([frame()], _model(), [notes, Broken()])

    assert notes.seen == ["a.jpg", "closed"]


def test_no_picture_has_no_speed() -> None:
    summary = _run([failure()], _model(), [])

    assert replace(summary, seconds=None) == Summary(0, 1, None, None, None, End.DONE)
    assert str(summary) == "0 pictures; 1 failed"


def test_infer_from_files_to_lines(tmp_path: Path) -> None:
    (tmp_path / "a b.png").write_bytes(encoded(photo(120, 100), "PNG"))
    (tmp_path / "bad.png").write_bytes(b"")
    stream = io.StringIO()

    summary = infer(InferOptions(open_sources([str(tmp_path), "missing.jpg"])), _model(), stream, ListReporter())

    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [Path(line["source"]).name for line in lines] == ["a b.png", "bad.png", "missing.jpg"]
    assert [line.get("error") for line in lines] == [None, "the file is empty (0 bytes)", "no such file"]
    assert summary.exit_code == 3


def test_infer_saves_beside_the_table_and_never_over_an_input(tmp_path: Path) -> None:
    picture = tmp_path / "a.jpg"
    picture.write_bytes(encoded(photo(120, 100), "JPEG"))
    before = picture.read_bytes()
    stream = io.StringIO()

    infer(
        InferOptions(open_sources([str(picture)]), SinkOptions(OutputFormat.TABLE, save=tmp_path)),
        _model(),
        stream,
        ListReporter(),
    )

    assert "person 0.91" in stream.getvalue()
    assert picture.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-2.jpg", "a.jpg"]


def test_a_folder_that_cannot_be_made_is_an_error_before_the_first_picture(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    model = _model()

    with pytest.raises(OutputError, match="cannot be made"):
        infer(
            InferOptions(open_sources(["x"]), SinkOptions(save=tmp_path / "file" / "sub")),
            model,
            io.StringIO(),
            ListReporter(),
        )

    assert model.batches == []


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50), st.floats(0, 100))
def test_percentiles_are_those_of_numpy(values: list[float], percent: float) -> None:
    assert percentile(values, percent) == pytest.approx(float(np.percentile(values, percent)), rel=1e-9, abs=1e-9)


def test_speeds_are_told_stage_by_stage() -> None:
    times = [3.0, 1.0, 4.0, 1.5, 9.0, 2.6]
    speeds = iter(Speed(time, 2 * time, 0.0) for time in times)
    model = FakeModel(lambda image: replace(result_of(Task.DETECT), speed_ms=next(speeds)))

    summary = _run([frame()] * len(times), model, [])

    for percent, speed in ((50, summary.p50_ms), (95, summary.p95_ms)):
        assert speed is not None
        assert speed.preprocess == pytest.approx(np.percentile(times, percent))
        assert speed.inference == pytest.approx(2 * np.percentile(times, percent))


def test_no_source_loses_a_frame_or_its_order_and_none_is_kept_waiting() -> None:
    def decoded(name: str) -> Iterator[Frame]:
        for index in range(40):
            time.sleep(0.002)  # else it is chance which thread has the interpreter
            yield video_frame(name, index)

    names = [f"v{number}" for number in range(READ_AT_ONCE)]
    notes, model = Notes(), _model(batch=4)
    sources = [Given(decoded(name), name) for name in names]

    summary = run(Reading(sources, ListReporter()), lambda: model, [notes], ListReporter())

    assert {name: notes.of(name) for name in names} == {name: list(range(40)) for name in names}
    assert summary.pictures == 160
    assert model.batches.count(4) > 30, "nearly all batches are full"
    half = [name for name, _ in notes.frames[:80]]
    assert min(half.count(name) for name in names) > 10


def test_more_files_than_are_read_at_once_take_turns() -> None:
    notes, open_now, most = Notes(), 0, 0
    lock = threading.Lock()

    class Counted(Given):
        def read(self, desk: Any) -> Iterator[Frame | Failure]:
            nonlocal open_now, most
            with lock:
                open_now += 1
                most = max(most, open_now)
            yield from super().read(desk)
            with lock:
                open_now -= 1

    sources = [Counted([video_frame(str(number), index) for index in range(5)], str(number)) for number in range(11)]

    summary = run(Reading(sources, ListReporter()), lambda: _model(), [notes], ListReporter())

    assert summary.pictures == 55
    assert most <= READ_AT_ONCE


def test_of_a_camera_the_newest_frame_is_taken_and_the_others_are_counted() -> None:
    camera, stop = Endless(0.002), threading.Event()
    ages: list[int] = []

    class Slow(Notes):
        def write(self, frame: Frame, result: Result) -> None:
            ages.append(camera.given - frame.index)
            super().write(frame, result)
            time.sleep(0.05)
            if len(self.seen) == 10:
                stop.set()

    notes = Slow()
    reading = Reading([camera], ListReporter(), stop)
    summary = run(reading, lambda: _model(), [notes], ListReporter())

    (state,) = reading.states()
    assert summary.end is End.INTERRUPTED
    assert state.frames == 10
    assert summary.dropped == state.dropped > 10
    assert sorted(notes.of("camera")) == notes.of("camera")
    assert np.median(ages) <= 3, "frames that waited are not taken"


def test_a_camera_does_not_wait_for_files_nor_files_for_a_silent_camera() -> None:
    notes, stop = Notes(), threading.Event()

    class StopAtLast(Notes):
        def write(self, frame: Frame, result: Result) -> None:
            super().write(frame, result)
            if len(self.of("file")) == 50 and self.of("camera"):
                stop.set()

    notes = StopAtLast()
    sources: list[Source] = [
        Given([video_frame("file", index) for index in range(50)], "file"),
        Endless(0.01, "camera"),
        Endless(1000, "silent"),
    ]
    reading = Reading(sources, ListReporter(), stop)
    run(reading, lambda: _model(4), [notes], ListReporter())

    assert notes.of("file") == list(range(50))
    assert [state.condition for state in reading.states()] == [Condition.ENDED] * 3
    assert threads_of_sources() == []


def test_a_live_run_ends_after_its_duration_even_if_nothing_comes() -> None:
    summary = run(Reading([Endless(1000)], ListReporter(), duration=0.2), lambda: _model(), [], ListReporter())

    assert (summary.pictures, summary.end) == (0, End.DONE)
    assert threads_of_sources() == []


def test_another_engine_takes_over_between_two_frames() -> None:
    first, second = _model(), _model()
    notes = Notes()

    def which() -> FakeModel:
        return first if len(notes.frames) < 10 else second

    summary = run(
        Reading([Given([video_frame("v", index) for index in range(25)])], ListReporter()),
        which,
        [notes],
        ListReporter(),
    )

    assert notes.of("v") == list(range(25))
    assert (len(first.batches), len(second.batches), summary.pictures) == (10, 15, 25)


def test_what_a_predictor_prepares_ahead_comes_back_to_it_except_of_live_frames() -> None:
    class Prepares(FakeModel):
        def prepare(self, image: Image) -> str:
            return f"prepared in {threading.current_thread().name}"

        def predict_batch(self, images: Sequence[Any]) -> list[Result]:
            seen.extend(image if isinstance(image, str) else "a picture" for image in images)
            return super().predict_batch(images)

    seen: list[str] = []
    model = Prepares(lambda image: result_of(Task.DETECT))
    sources = [Given([video_frame("v", 0)], "file"), Given([live_frame("c", 0)], "camera", live=True)]

    run(Reading(sources, ListReporter()), lambda: model, [], ListReporter())

    assert sorted(seen) == ["a picture", "prepared in read file"]


def test_a_thread_that_dies_of_a_bug_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Iterator[Frame | Failure]:
        yield frame()
        raise ZeroDivisionError

    shown: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: shown.append(args.exc_type.__name__))
    with pytest.raises(RuntimeError, match="given has died"):
        _run(broken(), _model(), [])

    assert shown == ["ZeroDivisionError"]


def test_an_error_of_the_engine_in_a_thread_that_reads_is_raised_as_it_is() -> None:
    error = EngineError("the engine takes no such frame", hint="Convert it again.")

    class Refuses(FakeModel):
        def prepare(self, image: Image) -> str:
            raise error

    model = Refuses(lambda image: result_of(Task.DETECT))
    with pytest.raises(EngineError) as raised:
        _run([video_frame("v", 0)], model, [])

    assert raised.value is error


def test_a_long_run_keeps_few_figures() -> None:
    summary = _run((video_frame("v", index) for index in range(20_000)), _model(), [])

    assert summary.pictures == 20_000
    assert summary.p50_ms == Speed(1.234, 50.006, 0.5)
    assert str(summary).startswith("20000 frames in ")
