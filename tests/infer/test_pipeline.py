import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.errors import OutputError
from app.infer.frame import Failure, Frame
from app.infer.pipeline import End, InferOptions, Summary, infer, run
from app.infer.sinks.open import OutputFormat, SinkOptions
from app.types import Result, Speed, Task
from tests.infer.doubles import FakeModel, ListReporter, encoded, failure, frame, photo, result_of


class Notes:
    """A sink that writes down what it gets, in order."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def write(self, frame: Frame, result: Result) -> None:
        self.seen.append(frame.source)

    def fail(self, failure: Failure) -> None:
        self.seen.append(f"failed {failure.source}")

    def close(self) -> None:
        self.seen.append("closed")


def _model(batch: int = 1) -> FakeModel:
    return FakeModel(lambda image: result_of(Task.DETECT), batch)


def test_counts_speeds_and_exit_code() -> None:
    notes, reporter = Notes(), ListReporter()

    summary = run([frame("a"), failure("b"), frame("c")], _model(), [notes], reporter)

    assert notes.seen == ["a", "failed b", "c", "closed"]
    assert (summary.pictures, summary.failures, summary.detections, summary.end) == (2, 1, 4, End.DONE)
    assert summary.p50_ms is not None
    assert summary.p50_ms.inference == pytest.approx(50.006)
    assert summary.exit_code == 3
    assert reporter.warnings == ["b: the file is empty (0 bytes). Copy it again."]
    assert str(summary).startswith("2 pictures; 4 objects; 1 failed; median ms a picture: preprocess 1.2")


def test_nothing_failed_is_exit_code_zero() -> None:
    assert run([frame()], _model(), [], ListReporter()).exit_code == 0


def test_pictures_go_in_batches_and_come_out_in_order() -> None:
    notes, model = Notes(), _model(batch=3)
    items: list[Frame | Failure] = [
        frame("0"),
        failure("1"),
        *(frame(str(number)) for number in range(2, 8)),
        failure("8"),
    ]

    summary = run(items, model, [notes], ListReporter())

    assert [entry.split()[-1] for entry in notes.seen] == [*map(str, range(9)), "closed"]
    assert model.batches == [3, 3, 1]
    assert summary.pictures == 7


def test_ctrl_c_ends_with_what_was_done() -> None:
    def frames() -> Iterator[Frame | Failure]:
        yield frame("a")
        raise KeyboardInterrupt

    notes = Notes()
    summary = run(frames(), _model(), [notes], ListReporter())

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
        run([frame()], _model(), [notes, Broken()], ListReporter())

    assert notes.seen == ["a.jpg", "closed"]


def test_no_picture_has_no_speed() -> None:
    summary = run([failure()], _model(), [], ListReporter())

    assert summary == Summary(0, 1, None, None, None, End.DONE)
    assert str(summary) == "0 pictures; 1 failed"


def test_infer_from_files_to_lines(tmp_path: Path) -> None:
    (tmp_path / "a b.png").write_bytes(encoded(photo(120, 100), "PNG"))
    (tmp_path / "bad.png").write_bytes(b"")
    stream = io.StringIO()

    summary = infer(InferOptions((str(tmp_path), "missing.jpg")), _model(), stream, ListReporter())

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
        InferOptions((str(picture),), SinkOptions(OutputFormat.TABLE, save=tmp_path)), _model(), stream, ListReporter()
    )

    assert "person 0.91" in stream.getvalue()
    assert picture.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-2.jpg", "a.jpg"]


def test_a_folder_that_cannot_be_made_is_an_error_before_the_first_picture(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    model = _model()

    with pytest.raises(OutputError, match="cannot be made"):
        infer(InferOptions(("x",), SinkOptions(save=tmp_path / "file" / "sub")), model, io.StringIO(), ListReporter())

    assert model.batches == []


def test_percentiles_are_those_of_numpy() -> None:
    times = [3.0, 1.0, 4.0, 1.5, 9.0, 2.6]
    speeds = iter(Speed(time, 2 * time, 0.0) for time in times)
    model = FakeModel(lambda image: replace(result_of(Task.DETECT), speed_ms=next(speeds)))

    summary = run([frame()] * len(times), model, [], ListReporter())

    for percent, speed in ((50, summary.p50_ms), (95, summary.p95_ms)):
        assert speed is not None
        assert speed.preprocess == pytest.approx(np.percentile(times, percent))
        assert speed.inference == pytest.approx(2 * np.percentile(times, percent))
