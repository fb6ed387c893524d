import gc
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from app.errors import EngineError, SourceError
from app.infer.frame import Nv12
from app.infer.gpu.frames import FrameBuffers, check_frame
from app.infer.gpu.workspace import _Rooms
from app.runtime.cuda import CudaSession
from tests.doubles.kernels_on_cpu import KERNELS
from tests.doubles.pycuda_double import CudaDouble


@pytest.fixture
def session(cuda: CudaDouble) -> Iterator[CudaSession]:
    with CudaSession() as session:
        yield session


def test_a_dropped_array_is_used_again_and_a_held_one_is_not(session: CudaSession) -> None:
    pool = FrameBuffers(session)
    first = pool.take((480, 640, 3))
    second = pool.take((480, 640, 3))
    address = pool.address_of(first)
    assert address is not None
    assert address != pool.address_of(second)
    del first
    gc.collect()
    assert [block.address for block in pool.returned] == [address]
    assert pool.address_of(pool.take((480, 640, 3))) == address


def test_a_part_keeps_the_whole(session: CudaSession) -> None:
    pool = FrameBuffers(session)
    whole = pool.take((480, 640, 3))
    address = pool.address_of(whole)
    part = whole[100:, 50:]
    del whole
    gc.collect()
    assert address is not None
    assert pool.address_of(part) == address + 100 * 640 * 3 + 50 * 3
    assert pool.address_of(pool.take((480, 640, 3))) != address


def test_other_memory_is_not_of_the_pool(session: CudaSession) -> None:
    pool, other = FrameBuffers(session), FrameBuffers(session)
    assert pool.address_of(np.zeros((4, 4, 3), np.uint8)) is None
    assert pool.address_of(other.take((4, 4, 3))) is None


def test_sizes_that_come_no_more_do_not_pile_up(session: CudaSession, cuda: CudaDouble) -> None:
    pool = FrameBuffers(session)
    for height in range(100, 2000, 50):
        pool.take((height, 1000, 3))
    gc.collect()
    pool.take((4000, 1000, 3))
    assert len(pool._idle) + len(pool.returned) <= 10


def test_few_large_ones_do_not_pile_up_either(session: CudaSession) -> None:
    pool = FrameBuffers(session)
    for height in range(2000, 3000, 200):
        pool.take((height, 40_000, 1))
    gc.collect()
    pool.take((4, 4, 3))
    assert 0 < sum(block.nbytes for block in pool._idle) <= 256 << 20


def test_blocks_that_go_are_freed_whoever_drops_them(session: CudaSession, cuda: CudaDouble) -> None:
    pool = FrameBuffers(session)
    for height in range(100, 2000, 50):
        pool.take((height, 1000, 3))
    pool.take((4000, 1000, 3))
    del pool
    gc.collect()
    assert (cuda.leaked, cuda.page_locked) == ([], set())


def test_any_thread_may_take_one(session: CudaSession) -> None:
    pool = FrameBuffers(session)
    seen: list[int] = []

    def take() -> None:
        held = [pool.take((64, 64, 3)) for _ in range(10)]
        seen.extend(pool.address_of(array) or 0 for array in held)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 40
    assert 0 not in seen


def test_an_array_outlives_the_session(cuda: CudaDouble) -> None:
    with CudaSession() as session:
        kept = FrameBuffers(session).take((100, 100, 3))
    assert cuda.retained == 1
    kept[:] = 7
    del kept
    gc.collect()
    assert (cuda.retained, cuda.leaked, cuda.page_locked) == (0, [], set())


def test_kernels_that_outlive_the_session_keep_nothing_of_it(cuda: CudaDouble) -> None:
    with CudaSession() as session, session.current():
        kernels = session.load_kernels(KERNELS, 8)
    assert len(cuda.streams) == 0
    del kernels
    gc.collect()
    assert cuda.leaked == []


def test_a_room_that_could_not_grow_is_made_anew(session: CudaSession, cuda: CudaDouble) -> None:
    with session.current():
        rooms = _Rooms(session, batch=1)
        rooms.room(0, 100)
        with pytest.raises(EngineError, match="no memory left"):
            rooms.room(0, cuda.memory_bytes + 1)
        assert rooms.room(0, 50) in cuda.live


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(np.zeros((4, 4), np.uint8), id="grey"),
        pytest.param(np.zeros((4, 4, 3), np.float32), id="float"),
        pytest.param(Nv12(np.zeros((4, 4), np.uint8), np.zeros((4, 4, 2), np.uint8)), id="chroma-too-large"),
        pytest.param(Nv12(np.zeros((0, 4), np.uint8), np.zeros((0, 2, 2), np.uint8)), id="empty"),
        pytest.param(Nv12(np.zeros((4, 4), np.uint8), np.zeros((2, 2, 2), np.int8)), id="signed"),
    ],
)
def test_what_is_no_frame_is_refused(frame: object) -> None:
    with pytest.raises(SourceError):
        check_frame(frame)  # type: ignore[arg-type]
