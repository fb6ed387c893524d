"""One at a time, across processes; a dead holder holds nothing."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from app.engines import store as store_module
from app.engines.locks import Holder, hold, is_free, remove_if_free
from app.engines.store import EngineStore
from app.errors import StoreError

HOLD = """
import sys, time
from pathlib import Path
from app.engines import store as store_module
from app.engines.locks import hold
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".locks" / "a.lock"


def holding_process(path: Path) -> "subprocess.Popen[str]":
    child = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    return child


def test_a_lock_leaves_no_file_behind(path: Path) -> None:
    with hold(path):
        assert path.exists()
    assert list(path.parent.iterdir()) == []


def test_who_waits_is_told_for_whom_and_goes_on_when_the_holder_dies(path: Path) -> None:
    child = holding_process(path)
    told: list[Holder] = []

    def kill_it(holder: Holder) -> None:
        told.append(holder)
        os.kill(int(holder.pid), signal.SIGKILL)

    with child, hold(path, waiting=kill_it):
        assert [holder.pid for holder in told] == [str(child.pid)]
        assert f"process {child.pid} on " in str(told[0])
    assert list(path.parent.iterdir()) == []


def test_waiting_can_end(path: Path) -> None:
    with holding_process(path) as child:
        with pytest.raises(StoreError, match=f"locked by process {child.pid} on"), hold(path, timeout_s=0.2):
            pass
        child.kill()


def test_many_threads_are_never_inside_together(path: Path) -> None:
    inside, most, rounds = 0, 0, 0

    def work() -> None:
        nonlocal inside, most, rounds
        for _ in range(5):
            with hold(path):
                inside += 1
                most = max(most, inside)
                time.sleep(0.001)
                inside -= 1
                rounds += 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, rounds) == (1, 20)


def test_a_lock_file_that_was_replaced_by_hand_is_not_removed_by_its_old_holder(path: Path) -> None:
    with hold(path):
        path.unlink()
        path.write_text("another's")
    assert path.read_text() == "another's"


def test_only_a_free_lock_file_is_removed(path: Path) -> None:
    with holding_process(path) as child:
        assert not is_free(path)
        assert not remove_if_free(path)
        child.kill()
        child.wait()
        assert path.exists()
        assert is_free(path)
        assert remove_if_free(path)
    assert not path.exists()
    assert not is_free(path)
    assert not remove_if_free(path)


def test_a_store_whose_holder_is_stuck_says_who_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_STUCK_S", 0.2)
    store = EngineStore(tmp_path / "engines")
    with holding_process(store.root / ".locks" / "store.lock") as child:
        with pytest.raises(StoreError, match=f"locked by process {child.pid}") as caught:
            store.preflight(tmp_path / "a.engine")
        assert "end it" in caught.value.hint
        child.kill()
