"""What one who waits for an engine makes of the words of a status file, and of what happens between two looks."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from app.engines.engine import Engine
from app.errors import BackendUnavailable, BuildFailed, ConvertError, EngineNotFound, EngineStale
from app.infer import waiting
from app.infer.waiting import Patience, Sign, Watch, wait_for_engine
from app.progress import SilentReporter
from app.status import State, Status, status_path
from app.status_reporter import StatusReporter

YESTERDAY = "2026-01-01T00:00:00+00:00"
PATIENCE = Patience(begin=20, silence=30, just_failed=6, failed=3)
BEGIN = Sign("wait for the converter to begin")
SETTLE = Sign("see whether another converter goes on")


def _status(state: State = State.RUNNING, beat: int = 0, **changes: Any) -> Status:
    heartbeat = f"2026-01-02T00:00:{beat:02d}+00:00"
    whole = Status("a", state, "build", 42.0, "no room", "make some", YESTERDAY, YESTERDAY, heartbeat, 7)
    return replace(whole, **changes)


OLD_FAILURE, OLD_READY = _status(State.FAILED), _status(State.READY)
OLD_RUN = _status()

ERROR, TRY = "error", "try"


@pytest.mark.parametrize(
    ("words", "outcomes"),
    [
        pytest.param([(0, None), (20, None), (21, None)], [BEGIN, BEGIN, ERROR], id="nobody-converts"),
        pytest.param([(0, OLD_FAILURE), (20, OLD_FAILURE), (21, OLD_FAILURE)], [BEGIN, BEGIN, ERROR], id="old-failure"),
        pytest.param([(0, OLD_READY), (20, OLD_READY), (21, OLD_READY)], [BEGIN, BEGIN, ERROR], id="old-engine"),
        pytest.param([(0, OLD_RUN), (30, OLD_RUN), (31, OLD_RUN)], [BEGIN, BEGIN, ERROR], id="killed-before"),
        pytest.param(
            [(0, OLD_FAILURE), (5, _status(beat=1)), (9, _status(State.READY, beat=2))],
            [BEGIN, Sign("build", 42.0), TRY],
            id="restarted-after-a-failure",
        ),
        pytest.param([(0, OLD_READY), (5, _status(State.READY, beat=1))], [BEGIN, TRY], id="ready-between-two-looks"),
        pytest.param(
            [(0, None), (1, _status(beat=1)), (25, _status(beat=1)), (32, _status(beat=1))],
            [BEGIN, Sign("build", 42.0), Sign("build", 42.0), ERROR],
            id="killed-while-we-watch",
        ),
        pytest.param(
            [(0, None), (1, _status(beat=1)), (25, _status(beat=2)), (54, _status(beat=2))],
            [BEGIN, Sign("build", 42.0), Sign("build", 42.0), Sign("build", 42.0)],
            id="a-slow-one-that-lives",
        ),
        pytest.param(
            [(0, None), (1, _status(beat=9)), (2, _status(beat=1))],
            [BEGIN, Sign("build", 42.0), Sign("build", 42.0)],
            id="the-clock-was-set-back",
        ),
        pytest.param(
            [(0, None), (1, _status(State.WAITING, beat=1, message="waiting for b"))],
            [BEGIN, Sign("waiting for b")],
            id="one-that-waits-itself",
        ),
        pytest.param(
            [(0, None), (1, _status(State.FAILED, beat=1)), (4, _status(State.FAILED, beat=1)), (5, _status(beat=2))],
            [BEGIN, SETTLE, SETTLE, Sign("build", 42.0)],
            id="another-one-takes-over",
        ),
        pytest.param(
            [(0, None), (1, _status(State.FAILED, beat=1)), (5, _status(State.FAILED, beat=1))],
            [BEGIN, SETTLE, ERROR],
            id="failed",
        ),
        pytest.param(
            [(0, None), (1, _status(beat=1)), (2, None), (22, None), (23, None)],
            [BEGIN, Sign("build", 42.0), BEGIN, BEGIN, ERROR],
            id="the-file-vanished",
        ),
    ],
)
def test_only_what_is_new_counts(words: list[tuple[float, Status | None]], outcomes: list[object]) -> None:
    watch = Watch(words[0][1], 0, PATIENCE)
    seen: list[object] = []
    for now, status in words:
        try:
            seen.append(watch.look(status, now) or TRY)
        except ConvertError:
            seen.append(ERROR)
    assert seen == outcomes


@pytest.mark.parametrize(
    ("first", "given_up_after"),
    [
        pytest.param(OLD_FAILURE, 6, id="a-failure"),
        pytest.param(OLD_READY, 20, id="an-engine-that-is-stale-since"),
        pytest.param(OLD_RUN, 30, id="one-that-was-killed"),
    ],
)
def test_a_failure_of_seconds_ago_is_not_waited_for_as_long(first: Status, given_up_after: float) -> None:
    watch = Watch(first, 0, PATIENCE, is_fresh=True)
    assert watch.look(first, given_up_after) == BEGIN
    with pytest.raises(ConvertError):
        watch.look(first, given_up_after + 1)


class Finder:
    """An engine that is not there, until it is put there."""

    def __init__(self) -> None:
        self.engine: Engine | None = None
        self.error: Exception = EngineNotFound("There is no engine.", hint="Build it: jetsmith convert")
        self.looks = 0
        self.at_look: Callable[[], None] = lambda: None

    def __call__(self) -> Engine:
        self.looks += 1
        found = self.engine
        self.at_look()
        if found is None:
            raise self.error
        return found


ENGINE = cast(Engine, object())
SHORT = Patience(begin=1.5, silence=1.5, just_failed=0.5, failed=0.3)
NONE = Patience(begin=0.1, silence=0.1, just_failed=0.1, failed=0.1)  # where nothing comes any more


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(waiting, "_POLL_S", 0.02)
    return status_path(tmp_path / "models", "a")


def _wait(find: Finder, path: Path, patience: Patience = SHORT) -> Engine:
    return wait_for_engine(find, path, SilentReporter(), patience)


def _convert(find: Finder, path: Path) -> None:
    with StatusReporter(SilentReporter(), path) as reporter:
        with reporter.phase("build"):
            time.sleep(0.2)
        find.engine = ENGINE
        reporter.ready("built")


def test_an_engine_that_is_there_is_taken_at_once(path: Path) -> None:
    find = Finder()
    find.engine = ENGINE
    assert _wait(find, path) is ENGINE
    assert find.looks == 1


def test_what_a_conversion_does_not_mend_is_not_waited_for(path: Path) -> None:
    find = Finder()
    find.error = BackendUnavailable("no driver")
    with pytest.raises(BackendUnavailable):
        _wait(find, path)
    assert find.looks == 1


def test_it_follows_a_converter_that_begins_later(path: Path) -> None:
    find = Finder()
    converter = threading.Timer(0.3, _convert, [find, path])
    converter.start()
    assert _wait(find, path) is ENGINE
    converter.join()


def test_one_that_is_done_between_the_look_and_the_first_word_is_heard(path: Path) -> None:
    find = Finder()
    find.at_look = lambda: _convert(find, path) if find.looks == 1 else None
    started = time.monotonic()
    assert _wait(find, path) is ENGINE
    assert time.monotonic() - started < SHORT.begin


def test_an_engine_that_was_published_by_one_who_then_was_killed_is_taken(path: Path) -> None:
    find = Finder()
    path.parent.mkdir(parents=True)
    path.write_text(_status().to_json())
    find.at_look = lambda: setattr(find, "engine", ENGINE)
    assert _wait(find, path, NONE) is ENGINE
    assert find.looks == 2


def test_a_failure_says_why_and_what_to_do(path: Path) -> None:
    find = Finder()

    def fail() -> None:
        with suppress(BuildFailed), StatusReporter(SilentReporter(), path):
            raise BuildFailed("no room on the disk", hint="Make some.")

    threading.Timer(0.2, fail).start()
    with pytest.raises(EngineNotFound, match="no room on the disk") as caught:
        _wait(find, path)
    assert caught.value.hint == "Make some."


def test_a_failure_just_before_it_came_is_told_soon(path: Path) -> None:
    with suppress(BuildFailed), StatusReporter(SilentReporter(), path):
        raise BuildFailed("no room on the disk", hint="Make some.")
    started = time.monotonic()
    with pytest.raises(EngineNotFound, match="no room on the disk"):
        _wait(Finder(), path)
    assert time.monotonic() - started < SHORT.begin


def test_nobody_who_converts_is_told_with_the_way_to_start_one(path: Path) -> None:
    with pytest.raises(EngineNotFound, match="nobody is building it") as caught:
        _wait(Finder(), path, NONE)
    assert "docker compose up converter" in caught.value.hint


def test_an_engine_that_does_not_fit_though_the_converter_is_done_is_no_reason_to_wait_on(path: Path) -> None:
    find = Finder()
    find.error = EngineStale("a.engine does not fit any more")
    threading.Timer(0.2, _convert, [Finder(), path]).start()
    with pytest.raises(EngineStale, match="other settings"):
        _wait(find, path)


@pytest.mark.parametrize("content", [b"{", b"\x00" * 10])
def test_a_status_that_cannot_be_read_is_named(content: bytes, path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(EngineNotFound, match=r"a\.json holds no status"):
        _wait(Finder(), path, NONE)


def test_a_status_in_a_place_that_cannot_be_opened_is_named(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(EngineNotFound, match="Is a directory"):
        _wait(Finder(), path, NONE)
