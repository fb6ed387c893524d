"""A slow sink costs a camera frames, never the run; files lose nothing."""

import threading
import time

import pytest

from app.errors import OutputError
from app.infer.frame import Failure, Frame
from app.infer.sinks.base import closed_at_the_end
from app.infer.sinks.queued import Queued
from app.types import Result, Task
from tests.doubles.reporters import ListReporter
from tests.infer.doubles import failure, film, result_of

ANSWER = result_of(Task.DETECT)


class Gate:
    """Writes while it is open."""

    def __init__(self, *, is_open: bool = True) -> None:
        self.open = threading.Event()
        self.seen: list[str] = []
        self.closed = 0
        self.left = False
        if is_open:
            self.open.set()

    def write(self, frame: Frame, result: Result) -> None:
        while not self.open.wait(0.01):
            if self.left:
                raise BrokenPipeError
        self.seen.append(f"{frame.source} {frame.index}")

    def fail(self, failure: Failure) -> None:
        self.seen.append(f"failed {failure.source}")

    def close(self) -> None:
        self.closed += 1

    def leave(self) -> None:
        self.left = True


def _write_all(queued: Queued) -> None:
    for moment in film("a.mp4", 50):
        queued.write(moment, ANSWER)


def test_everything_arrives_in_order_and_the_sink_is_closed_once() -> None:
    gate = Gate()
    queued = Queued(gate, "x", ListReporter())
    for moment in film("a.mp4", 50):
        queued.write(moment, ANSWER)
    queued.fail(failure("b"))
    queued.close()

    assert gate.seen == [*(f"a.mp4 {index}" for index in range(50)), "failed b"]
    assert gate.closed == 1


def test_a_camera_goes_on_and_what_is_left_out_is_counted_and_told() -> None:
    gate, reporter = Gate(is_open=False), ListReporter()
    queued = Queued(gate, "annotating", reporter)
    for moment in film("camera:0", 100):
        queued.write(moment, ANSWER)
    gate.open.set()
    queued.close()

    assert len(gate.seen) + queued.left_out["camera:0"] == 100
    assert len(gate.seen) <= 10
    assert gate.seen[-1] == "camera:0 99"  # the newest stay
    assert [line for line in reporter.warnings if "annotating" in line and "camera:0 left out" in line]


def test_files_wait_and_lose_nothing() -> None:
    gate = Gate(is_open=False)
    queued = Queued(gate, "x", ListReporter())
    threading.Timer(0.2, gate.open.set).start()
    began = time.monotonic()
    for moment in film("a.mp4", 30):
        queued.write(moment, ANSWER)
    waited = time.monotonic() - began
    queued.close()

    assert waited > 0.1
    assert gate.seen == [f"a.mp4 {index}" for index in range(30)]


def test_a_camera_beside_a_file_never_takes_its_place() -> None:
    gate = Gate(is_open=False)
    queued = Queued(gate, "x", ListReporter())
    for moment in film("a.mp4", 8):
        queued.write(moment, ANSWER)
    for moment in film("camera:0", 20):
        queued.write(moment, ANSWER)
    gate.open.set()
    queued.close()

    assert [line for line in gate.seen if "a.mp4" in line] == [f"a.mp4 {index}" for index in range(8)]
    assert len(gate.seen) + queued.left_out["camera:0"] == 28


def test_frames_of_files_are_written_at_once_where_that_is_wanted() -> None:
    gate = Gate()
    queued = Queued(gate, "x", ListReporter(), beside_files=False)
    queued.write(film("camera:0", 1)[0], ANSWER)
    queued.write(film("a.mp4", 1)[0], ANSWER)

    assert gate.seen == ["camera:0 0", "a.mp4 0"]
    queued.close()


def test_an_error_of_the_sink_ends_the_run_once() -> None:
    class Full(Gate):
        def write(self, frame: Frame, result: Result) -> None:
            raise OutputError("the disk is full")

    full = Full()
    queued = Queued(full, "x", ListReporter())
    with pytest.raises(OutputError, match="full"):
        _write_all(queued)
    queued.close()

    assert full.closed == 1


def test_an_error_in_the_last_frame_is_told_at_the_end() -> None:
    class Full(Gate):
        def write(self, frame: Frame, result: Result) -> None:
            time.sleep(0.1)
            raise OutputError("the disk is full")

    queued = Queued(Full(), "x", ListReporter())
    queued.write(film("a.mp4", 1)[0], ANSWER)
    with pytest.raises(OutputError, match="full"):
        queued.close()


def test_a_sink_that_stands_still_for_ever_is_left_at_the_end_of_a_live_run() -> None:
    gate, reporter = Gate(is_open=False), ListReporter()
    queued = Queued(gate, "x", reporter, leave=gate.leave, patience_s=0.3)
    for moment in film("camera:0", 20):
        queued.write(moment, ANSWER)
    with pytest.raises(BrokenPipeError):
        queued.close()

    assert gate.closed == 1
    assert queued.left_out["camera:0"] == 19  # and the one in its hand


def test_a_sink_that_cannot_be_left_does_not_keep_the_run() -> None:
    gate = Gate(is_open=False)
    queued = Queued(gate, "x", ListReporter(), patience_s=0.2)
    queued.write(film("camera:0", 1)[0], ANSWER)
    queued.close()

    assert gate.closed == 0  # its thread still uses it
    gate.open.set()


class Buggy(Gate):
    def write(self, frame: Frame, result: Result) -> None:
        time.sleep(0.05)
        raise ValueError("a bug")


def test_a_bug_in_a_sink_does_not_hang_the_run() -> None:
    queued = Queued(Buggy(), "x", ListReporter())
    with pytest.raises(ValueError, match="a bug"):
        _write_all(queued)
    with pytest.raises(RuntimeError, match="thread"):
        _write_all(queued)
    queued.close()


def test_a_bug_in_the_last_frame_is_told_at_the_end() -> None:
    queued = Queued(Buggy(), "x", ListReporter())
    queued.write(film("camera:0", 1)[0], ANSWER)
    with pytest.raises(ValueError, match="a bug"):
        queued.close()


class BuggyOnAFullDisk(Buggy):
    def close(self) -> None:
        raise OutputError("the disk is full")


def test_a_bug_is_not_hidden_by_what_cannot_be_closed() -> None:
    queued = Queued(BuggyOnAFullDisk(), "x", ListReporter())
    queued.write(film("camera:0", 1)[0], ANSWER)
    with pytest.raises(ValueError, match="a bug"):
        queued.close()


@pytest.mark.parametrize(
    ("under_way", "at_close", "comes_out"),
    [
        pytest.param(ValueError, OutputError, ValueError, id="a bug in the run"),
        pytest.param(OutputError, ValueError, ValueError, id="a bug in a sink"),
        pytest.param(KeyboardInterrupt, OutputError, OutputError, id="a full disk after Ctrl-C"),
        pytest.param(None, BrokenPipeError, BrokenPipeError, id="nobody reads"),
        pytest.param(OutputError, None, OutputError, id="only the run"),
    ],
)
def test_the_worst_error_comes_out_and_every_sink_is_closed(
    under_way: type[BaseException] | None, at_close: type[BaseException] | None, comes_out: type[BaseException]
) -> None:
    class Failing(Gate):
        def close(self) -> None:
            super().close()
            if at_close is not None:
                raise at_close("at the end")

    def run() -> None:
        with closed_at_the_end(sinks):
            if under_way is not None:
                raise under_way("under way")

    sinks = [Gate(), Failing(), Gate()]
    with pytest.raises(comes_out):
        run()

    assert [sink.closed for sink in sinks] == [1, 1, 1]
