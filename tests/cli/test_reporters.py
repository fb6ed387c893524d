"""What a log shows of long work."""

import io
import re
import time

import pytest

from app.cli.reporters import PlainReporter


def test_a_log_hears_of_work_that_says_nothing() -> None:
    log = io.StringIO()
    with PlainReporter(log, interval_s=0.05).phase("build engine"):
        time.sleep(0.3)
    lines = log.getvalue().splitlines()
    assert lines[0] == "build engine …"
    assert lines[1:-1]
    assert all(re.fullmatch(r"build engine: \d+ s", line) for line in lines[1:-1])
    assert lines[-1].startswith("build engine: done in")


def test_a_log_shows_how_far_it_is() -> None:
    log = io.StringIO()
    with PlainReporter(log, interval_s=0.05).phase("build engine") as step:
        step.update(42, 100)
        time.sleep(0.2)
    assert re.search(r"^build engine: 42 %, \d+ s$", log.getvalue(), re.MULTILINE)


def test_many_updates_are_no_more_lines() -> None:
    log = io.StringIO()
    with PlainReporter(log).phase("download", 1000, "B") as step:
        for done in range(1000):
            step.update(done)
    assert len(log.getvalue().splitlines()) == 2


def test_failed_work_is_not_called_done_and_its_clock_stops() -> None:
    log = io.StringIO()
    with pytest.raises(ZeroDivisionError), PlainReporter(log, interval_s=0.01).phase("build engine"):
        raise ZeroDivisionError
    said = log.getvalue()
    time.sleep(0.05)
    assert log.getvalue() == said
    assert "done" not in said
