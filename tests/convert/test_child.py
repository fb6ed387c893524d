import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.cli.reporters import PlainReporter
from app.convert.child import run_child
from app.convert.pulse import Pulse, Quiet, Sign
from app.errors import BuildFailed, ConvertError, DigestMismatch, ExportFailed
from app.progress import Phase, SilentReporter
from tests.doubles.reporters import ListReporter

CHILD = """
import os, signal, sys, time
from app.convert.child import child_main
from app.errors import DigestMismatch

def work(job, channel):
    print("a library printed this")
    what = job["do"]
    if what == "refuse":
        raise DigestMismatch("not that file", hint="take the other")
    if what == "crash":
        raise RuntimeError("a bug in a foreign library")
    if what == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "silence":
        os._exit(0)
    if what == "hang":
        open("started", "w").write(str(os.getpid()))
        time.sleep(600)
    if what == "work silently":
        until = time.monotonic() + 2.5
        while time.monotonic() < until:
            pass
    if what == "speak now and then":
        for _ in range(12):
            time.sleep(0.2)
            channel.note("still here")
    channel.progress(0.5)
    channel.note("half way")
    return {"seen": job["do"], "long": "x" * 200_000}

child_main(work)
"""


class Recorder(SilentReporter):
    def __init__(self) -> None:
        self.seen: list[object] = []

    def note(self, message: str) -> None:
        self.seen.append(message)

    @contextmanager
    def phase(self, name: str, total: float | None = None, unit: str = "") -> Iterator[Phase]:
        recorder = self

        class Step:
            def update(self, completed: float, total: float | None = None) -> None:
                recorder.seen.append((completed, total))

        yield Step()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "a_child.py").write_text(CHILD)
    return tmp_path


def test_result_notes_and_progress_arrive_and_the_libraries_words_go_to_the_log(work: Path) -> None:
    reporter = Recorder()
    result = run_child("a_child", {"do": "well"}, work=work, reporter=reporter, phase="step")
    assert result == {"seen": "well", "long": "x" * 200_000}
    assert reporter.seen == [(50.0, 100), "half way"]
    assert "a library printed this" in (work / "a_child.log").read_text()


def test_an_error_a_user_can_mend_keeps_its_class_and_hint(work: Path) -> None:
    with pytest.raises(DigestMismatch) as caught:
        run_child("a_child", {"do": "refuse"}, work=work, reporter=SilentReporter(), phase="step")
    assert (caught.value.message, caught.value.hint) == ("not that file", "take the other")


@pytest.mark.parametrize(
    ("what", "message", "hint"),
    [
        pytest.param("crash", "exit code 1", "a bug in a foreign library", id="exception"),
        pytest.param("segfault", "SIGSEGV", "a library printed this", id="segfault"),
        pytest.param("kill", "SIGKILL", "The end of its output", id="out-of-memory-killer"),
        pytest.param("silence", "no result", "", id="exit-without-answer"),
    ],
)
def test_a_dead_child_is_an_error_that_says_how_it_died(work: Path, what: str, message: str, hint: str) -> None:
    told = io.StringIO()
    with pytest.raises(ExportFailed, match=message) as caught:
        run_child(
            "a_child",
            {"do": what},
            work=work,
            reporter=PlainReporter(told),
            phase="step",
            env={"PYTHONUNBUFFERED": "1"},
            error=ExportFailed,
        )
    assert hint in caught.value.hint
    assert "done" not in told.getvalue()


def test_a_child_that_hangs_is_ended(work: Path) -> None:
    with pytest.raises(BuildFailed, match="within 2 s"):
        run_child(
            "a_child",
            {"do": "hang"},
            work=work,
            reporter=SilentReporter(),
            phase="step",
            timeout_s=2,
            error=BuildFailed,
        )
    assert not _alive(int((work / "started").read_text()))


def test_a_child_does_not_outlive_a_killed_parent(work: Path) -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from pathlib import Path\n"
            "from app.convert.child import run_child\n"
            "from app.progress import SilentReporter\n"
            f"run_child('a_child', {{'do': 'hang'}}, work=Path({str(work)!r}), "
            "reporter=SilentReporter(), phase='step')",
        ]
    )
    child = _wait_for_pid(work / "started")
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 10
    while _alive(child):
        assert time.monotonic() < deadline, "the child outlived its parent"
        time.sleep(0.05)


def test_a_module_that_does_not_exist_is_an_error(work: Path) -> None:
    with pytest.raises(ConvertError, match="exit code 1") as caught:
        run_child("no_such_module", {}, work=work, reporter=SilentReporter(), phase="step")
    assert "No module named" in caught.value.hint


def _wait_for_pid(path: Path) -> int:
    deadline = time.monotonic() + 20
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline, "the child did not start"
        time.sleep(0.05)
    return int(path.read_text())


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


# A parent's heartbeat says nothing of a child that hangs


@pytest.fixture
def quick_pulse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pulse, "tick_s", 0.05)


def test_a_child_that_hangs_is_told_of_and_ended(work: Path, quick_pulse: None) -> None:
    reporter = ListReporter()
    with pytest.raises(BuildFailed, match=r"no sign of life for .* neither progress nor processor time") as caught:
        run_child(
            "a_child",
            {"do": "hang"},
            work=work,
            reporter=reporter,
            phase="a phase",
            error=BuildFailed,
            quiet=Quiet(warn_s=0.5, end_s=1.0),
        )
    assert caught.value.hint
    assert len(reporter.warnings) == 1
    assert "a phase: no sign of life" in reporter.warnings[0]
    with pytest.raises(ProcessLookupError):
        os.kill(int((work / "started").read_text()), 0)


@pytest.mark.parametrize("what", ["work silently", "speak now and then"])
def test_one_that_works_or_speaks_is_let_be(work: Path, what: str, quick_pulse: None) -> None:
    reporter = ListReporter()
    quiet = Quiet(warn_s=1.5, end_s=2.0)
    run_child("a_child", {"do": what}, work=work, reporter=reporter, phase="step", quiet=quiet)
    assert reporter.warnings == []


def test_time_in_which_all_was_held_is_not_silence() -> None:
    pulse = Pulse(os.getpid(), Quiet(warn_s=100, end_s=200))
    pulse._stat = Path("/dev/null/none")  # so that no tick is seen
    pulse._ticks = None
    pulse._asked = time.monotonic() - 3600  # a container that was paused for an hour
    assert pulse.feel() is Sign.ALIVE
    assert pulse.silence_s == 2 * pulse.tick_s
