"""What a build may take, and how it takes less: figures and words."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.convert.effort import GIB, Effort, estimate_bytes, ladder, memory_line, tells_of_no_memory
from app.device import Device, Gpu
from app.memory import FreeMemory
from app.types import Backend


def test_the_ladder_goes_down_a_step_at_a_time() -> None:
    assert [str(step) for step in ladder(Effort(2 * GIB))] == [
        "workspace 2 GB",
        "workspace 1 GB",
        "workspace 1 GB, optimization level 1",
        "workspace 0.5 GB, optimization level 0, 1 tactic a layer",
    ]


def test_where_nothing_was_set_the_ladder_sets_something() -> None:
    first, second, *_ = ladder(Effort())
    assert (str(first), str(second)) == ("the library's own limits", "workspace 1 GB")


@given(
    st.one_of(st.none(), st.integers(1, 64 * GIB)),
    st.one_of(st.none(), st.integers(0, 5)),
)
def test_no_step_takes_more_than_the_one_before_and_none_comes_twice(workspace: int | None, level: int | None) -> None:
    steps = ladder(Effort(workspace, level))
    assert steps[0] == Effort(workspace, level)
    assert len(set(steps)) == len(steps) >= 2
    for before, after in pairwise(steps):
        assert after.workspace_bytes is not None
        assert after.workspace_bytes <= (before.workspace_bytes or 2 * GIB)
        assert (3 if after.level is None else after.level) <= (3 if before.level is None else before.level)
        assert before.max_tactics is None


def test_only_what_was_set_goes_into_the_manifest() -> None:
    assert Effort(GIB // 2, 1).facts() == {"workspace_gb": 0.5, "optimization_level": 1}
    assert Effort().facts() == {}


@pytest.mark.parametrize(
    "text",
    [
        "[defaultAllocator.cpp::allocate::31] Error Code 1: Cuda Runtime (out of memory)",
        "Error Code 2: OutOfMemory (Requested size was 2147483648 bytes.)",
        "Requested amount of GPU memory (1342177280 bytes) could not be allocated.",
        "terminate called after throwing an instance of 'std::bad_alloc'",
        "MemoryError",
        "Error Code 2: Internal Error (Assertion engine != nullptr: insufficient memory)",
        "OSError: [Errno 12] Cannot allocate memory",
    ],
)
def test_words_of_no_memory(text: str) -> None:
    assert tells_of_no_memory(text)


@pytest.mark.parametrize(
    "text",
    [
        "Network has dynamic or shape inputs, but no optimization profile has been defined.",
        "[MemUsageChange] Init builder kernel library: CPU +1127, GPU +1132, now: CPU 1500, GPU 4000 (MiB)",
        "Some tactics do not have sufficient workspace memory to run.",
    ],
)
def test_other_words_are_no_reason_to_try_less(text: str) -> None:
    assert not tells_of_no_memory(text)


def _device(*, integrated: bool) -> Device:
    gpu = Gpu("Orin", "8.7", 8, integrated, "12.6", 8 * GIB)
    return Device("jetson", "unknown", "unknown", "unknown", "a CPU", (), 8 * GIB, gpu)


def test_the_workspace_counts_where_the_gpu_shares_the_memory() -> None:
    alone, shared = (
        estimate_bytes(Backend.TENSORRT, 10_000_000, Effort(2 * GIB), _device(integrated=integrated))
        for integrated in (False, True)
    )
    assert shared - alone == 2 * GIB
    assert 1.5 * GIB < alone < 2 * GIB


def test_free_memory_in_words() -> None:
    assert memory_line(FreeMemory(3 * GIB, GIB, None)) == "4 GB free (RAM 3 GB, swap 1 GB)"
    assert memory_line(FreeMemory(3 * GIB, 0, GIB)) == (
        "1 GB free (RAM 3 GB, left by the container's limit 1 GB, swap 0 GB)"
    )
    assert memory_line(FreeMemory(None, None, None)) == "an unknown amount free"
