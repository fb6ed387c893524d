"""The status file: what a watcher sees while a conversion runs, when it ends, and when it was killed."""

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from app import status_reporter as module
from app.errors import BuildFailed
from app.progress import SilentReporter
from app.status import State, Status, read_status, status_path
from app.status_reporter import StatusReporter
from tests.doubles.reporters import ListReporter

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return status_path(tmp_path / "models", "yolo11n-pose")


def _read(path: Path) -> Status:
    status = read_status(path)
    assert status is not None
    return status


def _status(**changes: object) -> Status:
    moment = NOW.isoformat()
    whole = Status("a", State.RUNNING, "build", 42.0, "", "", moment, moment, moment, 7)
    return replace(whole, **changes)  # type: ignore[arg-type]


def test_a_watcher_sees_phase_percent_and_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TICK_S", 0.02)
    with StatusReporter(SilentReporter(), path) as reporter:
        assert (_read(path).state, _read(path).phase) == (State.RUNNING, "start")
        with reporter.phase("build engine") as step:
            assert (_read(path).state, _read(path).phase, _read(path).percent) == (State.RUNNING, "build engine", None)
            step.update(42, 100)
            reporter.note("half the workspace")
            _wait_until(lambda: _read(path).percent == 42)
            assert (_read(path).message, _read(path).pid) == ("half the workspace", os.getpid())
        reporter.ready("the engine is built")
    last = _read(path)
    assert (last.job, last.state, last.percent, last.message) == (
        "yolo11n-pose",
        State.READY,
        100.0,
        "the engine is built",
    )
    assert last.started <= last.updated <= last.heartbeat
    assert list(path.parent.iterdir()) == [path]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_the_heart_beats_while_nothing_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TICK_S", 0.02)
    monkeypatch.setattr(module, "_HEARTBEAT_S", 0.05)
    with StatusReporter(SilentReporter(), path) as reporter, reporter.phase("build"):
        first = _read(path)
        _wait_until(lambda: _read(path).heartbeat > first.heartbeat)
        assert _read(path).updated == first.updated


@pytest.mark.parametrize(
    ("error", "message"),
    [
        pytest.param(BuildFailed("no room", hint="make some"), "no room", id="a-users-error"),
        pytest.param(KeyboardInterrupt(), "stopped", id="ctrl-c"),
        pytest.param(SystemExit(143), "stopped", id="sigterm"),
        pytest.param(ZeroDivisionError("0/0"), "a bug: ZeroDivisionError: 0/0", id="a-bug"),
    ],
)
def test_a_failure_says_why_even_before_the_first_phase(path: Path, error: BaseException, message: str) -> None:
    with pytest.raises(type(error)), StatusReporter(SilentReporter(), path):
        raise error
    assert _read(path).state is State.FAILED
    assert message in _read(path).message
    assert _read(path).hint == ("make some" if isinstance(error, BuildFailed) else _read(path).hint)


def test_since_when_it_is_ready_stays_where_nothing_was_done(path: Path) -> None:
    with StatusReporter(SilentReporter(), path) as reporter, reporter.phase("build"):
        reporter.ready("built")
    first = _read(path)
    time.sleep(0.01)
    with StatusReporter(SilentReporter(), path) as reporter:
        assert _read(path).state is State.RUNNING
        reporter.ready("there already")
    assert (_read(path).updated, _read(path).message) == (first.updated, "built")
    assert _read(path).heartbeat > first.heartbeat, "one who waits sees a new word"


def test_the_second_of_two_is_silent_until_the_first_is_done(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TICK_S", 0.02)
    with ExitStack() as one:
        first = one.enter_context(StatusReporter(SilentReporter(), path))
        with pytest.raises(BuildFailed), StatusReporter(SilentReporter(), path):
            raise BuildFailed("the second one's trouble")
        assert _read(path).state is State.RUNNING
        with StatusReporter(SilentReporter(), path) as second, second.waiting("for the first"):
            with first.phase("build"):
                time.sleep(0.1)
                assert (_read(path).state, _read(path).phase) == (State.RUNNING, "build")
            one.close()
            _wait_until(lambda: _read(path).state is State.WAITING)
            assert _read(path).message == "for the first"


def test_one_that_failed_while_the_first_was_just_ending_is_heard(path: Path) -> None:
    pen = module.Pen(path)
    assert pen.take()
    threading.Timer(0.05, pen.put_down).start()
    with pytest.raises(BuildFailed), StatusReporter(SilentReporter(), path):
        raise BuildFailed("no room")
    assert _read(path).message == "no room"


def test_ready_replaces_an_older_failure(path: Path) -> None:
    with pytest.raises(BuildFailed), StatusReporter(SilentReporter(), path):
        raise BuildFailed("once")
    with StatusReporter(SilentReporter(), path) as reporter:
        reporter.ready("there")
    assert _read(path).state is State.READY


def test_nothing_is_said_of_a_status_that_there_is_no_need_to_write(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("no folder")
    listener = ListReporter()
    with StatusReporter(listener, status_path(tmp_path / "models", "a")) as reporter:
        reporter.ready("there already")
    assert listener.warnings == []


def test_where_it_cannot_be_written_the_work_goes_on_and_that_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("no folder")
    listener = ListReporter()
    with StatusReporter(listener, status_path(tmp_path / "models", "a")) as reporter:
        for _ in range(3):
            with reporter.phase("build"):
                pass
        reporter.ready("there")
    assert len(listener.warnings) == 1
    assert "cannot be written" in listener.warnings[0]


def test_a_full_disk_does_not_end_the_work(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(pen: object, text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.Pen, "write", full)
    listener = ListReporter()
    with StatusReporter(listener, path) as reporter, reporter.phase("build"):
        pass
    assert "No space left on device" in listener.warnings[0]


@pytest.mark.parametrize(
    ("state", "age_s", "hung"),
    [
        pytest.param(State.RUNNING, 5, False, id="alive"),
        pytest.param(State.RUNNING, 31, True, id="silent"),
        pytest.param(State.WAITING, 31, True, id="silent-while-waiting"),
        pytest.param(State.RUNNING, -5, False, id="clock-adjusted"),
        pytest.param(State.RUNNING, -3600, True, id="written-before-the-clock-was-set-back"),
        pytest.param(State.READY, 86400, False, id="done-long-ago"),
        pytest.param(State.FAILED, 86400, False, id="failed-long-ago"),
    ],
)
def test_only_what_runs_can_hang(state: State, age_s: int, hung: bool) -> None:
    assert _status(state=state).is_hung(NOW + timedelta(seconds=age_s)) is hung


def test_a_killed_process_leaves_running_and_an_old_heartbeat(path: Path) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\n"
        "from app.progress import SilentReporter\nfrom app.status_reporter import StatusReporter\n"
        "with StatusReporter(SilentReporter(), Path(sys.argv[1])) as r, r.phase('build'):\n    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(path)])
    _wait_until(lambda: path.exists() and _read(path).phase == "build")
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = _read(path)
    assert (left.state, left.phase, left.pid) == (State.RUNNING, "build", process.pid)
    assert left.is_hung(datetime.now(timezone.utc) + timedelta(seconds=31))


def test_what_a_kill_left_half_written_goes_with_the_next_write(path: Path) -> None:
    path.parent.mkdir(parents=True)
    partial = path.parent / f".{path.name}.part"
    partial.write_text("{")
    partial.chmod(0o000)
    with StatusReporter(SilentReporter(), path) as reporter:
        reporter.ready("there")
    assert not partial.exists()
    assert _read(path).state is State.READY


WHOLE = json.loads(_status().to_json())


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"[]", id="no-table"),
        pytest.param(b"\xff", id="no-text"),
        pytest.param(b"[" * 50_000, id="too-deep"),
        pytest.param(json.dumps({**WHOLE, "state": "dreaming"}).encode(), id="no-state"),
        pytest.param(json.dumps({**WHOLE, "heartbeat": "2026-01-02T03:04:05"}).encode(), id="no-zone"),
        pytest.param(json.dumps({**WHOLE, "pid": "7"}).encode(), id="a-type"),
        pytest.param(json.dumps({key: WHOLE[key] for key in WHOLE if key != "percent"}).encode(), id="a-key-less"),
        pytest.param(json.dumps({**WHOLE, "job": "b"}).encode(), id="another-jobs"),
    ],
)
def test_what_is_no_status_is_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(content)
    assert read_status(tmp_path / "a.json") is None
    assert read_status(tmp_path / "b.json") is None


def test_a_status_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(_status().to_json())
    assert read_status(tmp_path / "a.json") == _status()


def _wait_until(condition: object) -> None:
    assert callable(condition)
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_other_users_may_read_what_a_careful_user_runs(tmp_path: Path) -> None:
    path = status_path(tmp_path / "models", "yolo11n-pose")
    before = os.umask(0o077)
    try:
        with StatusReporter(SilentReporter(), path) as reporter, reporter.phase("build"):
            pass
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o644
    assert path.parent.stat().st_mode & 0o777 == 0o755
