"""The health check of the image `infer`: what it answers without Python, and when it asks jetsmith."""

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from app.infer.service.health import Health, State, health_path, this_host

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "image_health"
_ASKED = "jetsmith was asked"


def _checked(models: Path, **variables: str) -> str:
    """What it says; jetsmith itself is a program that only says that it was asked."""
    program = models / "jetsmith"
    program.write_text(f'#!/bin/sh\necho "{_ASKED}: $*"\n')
    program.chmod(0o755)
    env = {**os.environ, **variables, "PATH": f"{models}:{os.environ['PATH']}"}
    return subprocess.run([SCRIPT, models], env=env, capture_output=True, text=True, check=True, timeout=20).stdout


def _moment(seconds_ago: float) -> str:
    return (datetime.now(timezone.utc) - timedelta(seconds=seconds_ago)).isoformat(timespec="milliseconds")


def _health(name: str, state: State = State.READY, seconds_ago: float = 1) -> Health:
    beat = _moment(seconds_ago)
    why = ('cam is lost: "state": "failed", "host": "x", "heartbeat": "1999-01-01T00:00:00+00:00"',)
    return Health(name, state, why, beat, beat, 1, this_host(), {"sources": [{"host": "y"}]})


def _write(models: Path, *words: Health) -> None:
    for health in words:
        path = health_path(models, health.service)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(health.to_json())


@pytest.mark.parametrize("state", [State.STARTING, State.READY, State.DEGRADED, State.STOPPING])
def test_a_service_that_lives_needs_no_python(tmp_path: Path, state: State) -> None:
    _write(tmp_path, _health("wall", state), replace(_health("there", State.READY, 9_999), host="another-box"))

    assert _checked(tmp_path) == f"wall (service): {state.value}\n"


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(lambda: (), id="nobody"),
        pytest.param(lambda: (_health("wall", seconds_ago=25),), id="old"),
        pytest.param(lambda: (_health("wall", seconds_ago=-25),), id="from the future"),
        pytest.param(lambda: (_health("wall", State.FAILED),), id="failed"),
        pytest.param(lambda: (_health("wall", State.STOPPED),), id="stopped"),
        pytest.param(lambda: (replace(_health("wall"), host="another-box"),), id="elsewhere"),
        pytest.param(lambda: (replace(_health("wall"), heartbeat="soon"),), id="no time"),
        pytest.param(lambda: (_health("a"), _health("b", seconds_ago=100)), id="one of two"),
    ],
)
def test_all_else_is_jetsmiths_to_judge(tmp_path: Path, words: Callable[[], tuple[Health, ...]]) -> None:
    _write(tmp_path, *words())

    assert _checked(tmp_path) == f"{_ASKED}: status --health\n"


def test_on_the_hosts_network_another_service_of_the_same_hostname_does_not_count(tmp_path: Path) -> None:
    _write(tmp_path, _health("wall-1", seconds_ago=9_999), _health("wall-2"))

    assert _checked(tmp_path, JETSMITH_INFER__NAME="wall-2") == "wall-2 (service): ready\n"
    assert _checked(tmp_path, JETSMITH_INFER__NAME="wall-1") == f"{_ASKED}: status --health\n"


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_file_that_is_no_status_is_jetsmiths_to_judge(tmp_path: Path, text: str) -> None:
    path = health_path(tmp_path, "wall")
    path.parent.mkdir(parents=True)
    path.write_text(text)

    assert _checked(tmp_path) == f"{_ASKED}: status --health\n"
