import threading
from collections.abc import Iterator
from typing import Any

import pytest

from app.infer.frame import Failure, Frame
from app.infer.lane import Lane
from app.infer.sources.base import fresh
from tests.doubles.reporters import ListReporter
from tests.infer.given import Given, live_frame, video_frame


class Counted(Given):
    """Tells how many frames were asked for."""

    asked = 0

    def read(self, desk: Any) -> Iterator[Frame | Failure]:
        for item in super().read(desk):
            self.asked += 1
            yield item


@pytest.mark.parametrize(("room", "read_before_the_first_rest"), [(2, 1), (5, 4)])
def test_a_reader_rests_once_the_next_batch_waits(room: int, read_before_the_first_rest: int) -> None:
    source = Counted([video_frame("v", index) for index in range(9)], "v")
    lane = Lane(source, threading.Condition(), ListReporter())
    lane.room = room
    rests, may_go_on = threading.Semaphore(0), threading.Semaphore(0)

    def rest() -> None:
        rests.release()
        may_go_on.acquire()

    lane.start(fresh, lambda pixels: None, rest)
    assert rests.acquire(timeout=10)
    assert source.asked == read_before_the_first_rest, "and no more, as long as it rests"

    may_go_on.release()
    assert rests.acquire(timeout=10)
    assert source.asked == read_before_the_first_rest + 1

    lane.stop.set()
    may_go_on.release(20)
    with lane._changed:
        lane._changed.notify_all()
    assert lane.join(10)


def test_live_frames_are_not_waited_for() -> None:
    source = Counted([live_frame("c", index) for index in range(5)], "c", live=True)
    lane = Lane(source, threading.Condition(), ListReporter())

    def rest() -> None:
        raise AssertionError("a camera does not wait")

    lane.start(fresh, lambda pixels: None, rest)

    assert lane.join(10)
    assert (source.asked, lane.crashed, lane.state().dropped) == (5, False, 4)
