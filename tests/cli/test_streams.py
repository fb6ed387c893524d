"""Streams that are closed, full or of few letters; folders and names that nobody can use; impatience."""

import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from app.engines.store import EngineStore
from tests.command import Jetsmith
from tests.engines.samples import publish


@pytest.fixture
def jetsmith(tmp_path: Path) -> Jetsmith:
    (tmp_path / "home").mkdir()
    command = Jetsmith(tmp_path / "models", tmp_path / "home")
    publish(EngineStore(command.models / "engines"))
    return command


def shell(jetsmith: Jetsmith, line: str, **env: str) -> "subprocess.CompletedProcess[str]":
    """The line as bash runs it; `J` stands for jetsmith."""
    command = " ".join(jetsmith.command())
    script = f'J() {{ {command} "$@"; }}; set -o pipefail; {line}'
    done = subprocess.run(
        ["bash", "-c", script], env={**jetsmith.env, **env}, cwd=jetsmith.home, capture_output=True, text=True
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert "Exception ignored" not in done.stderr, done.stderr
    return done


@pytest.mark.parametrize("arguments", ["config", "engines list --json", "engines list", "engines show yolo11n-pose"])
def test_a_full_disk_is_an_error_and_a_reader_that_goes_is_none(jetsmith: Jetsmith, arguments: str) -> None:
    full = shell(jetsmith, f"J {arguments} > /dev/full")
    assert full.returncode == 1
    assert "output cannot be written: No space left on device" in full.stderr
    gone = shell(jetsmith, f"J {arguments} | true")
    assert (gone.stderr, gone.returncode in (0, 141)) == ("", True)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", "2> /dev/full"])
def test_a_stream_that_is_closed_is_done_without(jetsmith: Jetsmith, closed: str) -> None:
    assert shell(jetsmith, f"J engines list {closed}").returncode == 0
    done = shell(jetsmith, f"J infer --backend onnxruntime nothing.jpg {closed}")
    assert done.returncode == 1
    assert ("error:" in done.stderr) == ("2>" not in closed)
    assert "error:" not in done.stdout


def test_a_terminal_of_few_letters_is_no_error(jetsmith: Jetsmith) -> None:
    done = shell(jetsmith, "J engines list", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", LC_ALL="C")
    assert done.returncode == 0
    assert r"640\xd7640" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param("convert --model '~nosuch/x.pt'", "nosuch/x.pt", id="a home of nobody"),
        pytest.param("infer --model '~nosuch/x.pt' a.jpg", "no engine", id="a home of nobody, to infer"),
        pytest.param("infer --model '~nosuch/x.engine' a.jpg", "no engine", id="an engine of nobody"),
        pytest.param(f"convert --model {'x' * 300}.pt", "File name too long", id="a long name"),
        pytest.param(f"infer --model {'x' * 300}.pt a.jpg", "xxx", id="a long engine"),
    ],
)
def test_a_name_that_nobody_can_use_is_an_error_of_two_lines(jetsmith: Jetsmith, arguments: str, says: str) -> None:
    done = shell(jetsmith, f"J {arguments}")
    assert done.returncode == 1
    assert "\nerror: " in f"\n{done.stderr}"
    assert says in done.stderr


@pytest.mark.parametrize("arguments", ["engines list", "infer '*.jpg'", "infer --model x.engine a.jpg", "config"])
def test_the_current_folder_may_be_gone(jetsmith: Jetsmith, arguments: str) -> None:
    done = shell(jetsmith, f"mkdir gone; cd gone; rmdir ../gone; J {arguments}")
    assert done.returncode in (0, 1)
    assert bool(done.returncode) == ("error: " in done.stderr)


@pytest.mark.parametrize("below", ["", "engines"])
def test_links_in_a_circle_are_an_error(jetsmith: Jetsmith, below: str) -> None:
    round_about = jetsmith.home / "circle"
    round_about.mkdir()
    (round_about / (below or "models")).symlink_to(below or "models")
    models = round_about if below else round_about / "models"
    done = replace(jetsmith, models=models)("engines", "list", code=1)
    assert "error: " in done.stderr


def test_an_alias_in_a_circle_is_no_obstacle_to_the_list(jetsmith: Jetsmith) -> None:
    (jetsmith.models / "round.engine").symlink_to("round.engine")
    assert "yolo11n-pose.engine" in jetsmith("engines", "list").stdout


def test_ctrl_c_at_any_moment_of_the_start_is_quiet(jetsmith: Jetsmith) -> None:
    for moment_ms in range(40, 140, 20):  # earlier, Python itself is not up
        process = subprocess.Popen(
            jetsmith.command("config"), env=jetsmith.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        time.sleep(moment_ms / 1000)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
        assert "app/cli" not in said, said


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    from app.cli import config, main

    def fail(_: object) -> int:
        raise OSError(22, os.strerror(22))

    monkeypatch.setattr(config, "config_command", fail)
    with pytest.raises(OSError, match="Invalid argument"):
        main(["config"])
