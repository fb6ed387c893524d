"""`infer --wait` beside a real converter, as two containers run them."""

import json
import signal
import subprocess
import time

import pytest

from app.status import State, read_status, status_path
from tests.command import SCENES, Jetsmith

MODEL = ("--model", "demo-cls")
SIZE = ("--imgsz", "64", "64")
SCENE = sorted((SCENES / "cls").rglob("*.jpg"))[0]


def _start_waiting(jetsmith: Jetsmith) -> "subprocess.Popen[str]":
    """Standard error apart from the answers."""
    return subprocess.Popen(
        ["env", "--default-signal=INT", *jetsmith.command("infer", "--wait", *MODEL, SCENE)],
        env=jetsmith.env,
        cwd=jetsmith.home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _answer(output: str) -> object:
    return {key: value for key, value in json.loads(output).items() if key != "speed_ms"}


def test_it_waits_shows_the_build_and_answers_as_ever(jetsmith: Jetsmith) -> None:
    waiting = _start_waiting(jetsmith)
    jetsmith("convert", *MODEL, *SIZE)
    answers, said = waiting.communicate(timeout=60)
    assert waiting.returncode == 0, said
    assert "export …" in said  # the one step that lasts longer than the time between two looks
    again = jetsmith("infer", "--wait", *MODEL, SCENE)
    assert "wait" not in again.stderr
    assert _answer(answers) == _answer(again.stdout)


def test_it_tells_why_a_conversion_failed(jetsmith: Jetsmith) -> None:
    (jetsmith.models / "engines").mkdir(parents=True)
    waiting = _start_waiting(jetsmith)
    jetsmith("convert", *MODEL, *SIZE, "--backend", "tensorrt", code=1)
    status = read_status(status_path(jetsmith.models, "demo-cls"))
    assert status is not None
    assert status.state is State.FAILED
    _, said = waiting.communicate(timeout=60)
    assert waiting.returncode == 1
    assert status.message in said


@pytest.mark.slow
def test_a_converter_that_is_killed_is_told_of_unless_another_goes_on(jetsmith: Jetsmith) -> None:
    path = status_path(jetsmith.models, "demo-cls")
    for goes_on in (False, True):
        waiting = _start_waiting(jetsmith)
        converter = jetsmith.start("convert", *MODEL, *SIZE)
        _await(lambda: (status := read_status(path)) is not None and status.phase == "export")
        time.sleep(2)
        converter.kill()
        converter.communicate()
        if goes_on:
            jetsmith("convert", *MODEL, *SIZE)
        _, said = waiting.communicate(timeout=120)
        assert waiting.returncode == (0 if goes_on else 1), said
        assert ("no sign of life" in said) is not goes_on


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_wait_at_once(number: signal.Signals, code: int, jetsmith: Jetsmith) -> None:
    waiting = _start_waiting(jetsmith)
    assert waiting.stderr is not None
    while "wait for the converter" not in waiting.stderr.readline():
        pass
    started = time.monotonic()
    waiting.send_signal(number)
    _, said = waiting.communicate(timeout=60)
    assert time.monotonic() - started < 5
    assert (waiting.returncode, "Traceback" in said) == (code, False)


def test_a_converter_that_waits_for_another_says_so_and_stops_when_it_is_told(jetsmith: Jetsmith) -> None:
    """Two names for one engine: the second converter's job is not the one that is under way."""
    first = jetsmith.start("convert", *MODEL, *SIZE)
    _await(lambda: any((jetsmith.models / "engines").glob(".work/*")))
    other = {
        "JETSMITH_VISION__YOLO__MODEL_PATH": str(jetsmith.models / "other.engine"),
        "JETSMITH_VISION__YOLO__MODEL_SOURCE__BASE_MODEL": "demo-cls",
    }
    second = subprocess.Popen(
        jetsmith.command("convert", *SIZE),
        env={**jetsmith.env, **other},
        cwd=jetsmith.home,
        stderr=subprocess.PIPE,
        text=True,
    )
    path = status_path(jetsmith.models, "other")
    _await(lambda: (status := read_status(path)) is not None and status.state is State.WAITING)
    assert "waiting for process" in jetsmith("status", "other").stdout
    second.send_signal(signal.SIGTERM)
    _, said = second.communicate(timeout=60)
    assert (second.returncode, "Traceback" in said) == (143, False)
    status = read_status(path)
    assert status is not None
    assert (status.state, status.message) == (State.FAILED, "it was stopped before it was done")
    output, _ = first.communicate(timeout=60)
    assert first.returncode == 0, output
    assert jetsmith.litter() == []


def _await(condition: object) -> None:
    assert callable(condition)
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
