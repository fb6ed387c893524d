"""How a run over a fleet shows itself: as much as fits, what is urgent first, nothing that steers a terminal."""

import io
import threading
from dataclasses import replace

import pytest
from rich.console import Console

from app.cli.fleet_shown import Lines, LiveTable, showing
from app.fleet.base import Done, Outcome, Step, StepKind
from tests.doubles.fleet_host import target

AT = "2026-01-01T00:00:00+00:00"


def outcome(name: str, **more: str) -> Outcome:
    return replace(Outcome(target(name=name).device), **more)  # type: ignore[arg-type]


def done(error: str = "") -> Done:
    return Done(Step(StepKind.CONVERT, "why"), AT, AT, error)


def text(table: LiveTable) -> str:
    screen = Console(file=io.StringIO(), width=100)
    with screen.capture() as captured:
        screen.print(table.renderable())
    return captured.get()


def test_who_is_under_way_and_who_failed_come_first_and_the_rest_is_counted() -> None:
    table = LiveTable(300, threading.Event(), height=lambda: 16)
    for number in range(200):
        table.step(f"d{number}", "image", "sent", None)
        table.finished(outcome(f"d{number}", error="no disk" if number == 150 else ""))
    table.step("d200", "convert", "build tensorrt engine", 42.0)
    shown = text(table)
    lines = shown.splitlines()
    assert len(lines) <= 16
    assert "d200" in lines[1]
    assert "42" in lines[1]
    assert "no disk" in lines[2]
    assert "1 failed, 199 unchanged, 1 under way, 99 waiting" in shown


def test_one_that_was_left_behind_does_not_come_back() -> None:
    table = LiveTable(1, threading.Event())
    table.finished(outcome("d", error="it did not answer"))
    table.step("d", "image", "still there", None)
    assert "still there" not in text(table)


def test_an_order_to_stop_is_shown() -> None:
    stop = threading.Event()
    stop.set()
    assert "begins nothing more" in text(LiveTable(1, stop))


def test_lines_are_few_while_a_step_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("app.cli.fleet_shown.time.monotonic", lambda: now[0])
    log = io.StringIO()
    lines = Lines(log, 2, threading.Event())
    for second in range(25):
        now[0] = float(second)
        lines.step("d", "convert", "building", float(second))
    lines.done("d", done())
    lines.finished(outcome("d"))
    assert log.getvalue().splitlines() == [
        "d convert 0 %: building",
        "d convert 10 %: building",
        "d convert 20 %: building",
        f"{AT} d convert done (0.0 s)",
        "d: unchanged (1 of 2)",
    ]


def test_what_a_device_says_cannot_steer_the_terminal() -> None:
    log = io.StringIO()
    lines, table = Lines(log, 1, threading.Event()), LiveTable(1, threading.Event())
    for listener in (lines, table):
        listener.step("d", "convert", "\x1b[2J[red]rtsp://me:secret@camera", None)
        listener.done("d", done("\x07\nerror: mine"))
    shown = log.getvalue() + text(table)
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "secret" not in shown
    assert "[red]" in shown
    assert len(log.getvalue().splitlines()) == 2


def test_a_log_that_nobody_reads_any_longer_stops_no_device() -> None:
    log = io.StringIO()
    log.close()
    Lines(log, 1, threading.Event()).finished(outcome("d"))


def test_without_a_terminal_there_are_lines() -> None:
    with showing(1, threading.Event()) as listener:
        assert isinstance(listener, Lines)
