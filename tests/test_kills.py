"""A device loses power at any moment: whatever was cut off, the next `convert` ends in one good engine."""

import random
import signal
import subprocess
import time
from contextlib import suppress

import psutil
import pytest

from tests.command import SCENES, Jetsmith

MODEL = ("--model", "demo-cls", "--imgsz", "64", "64")
ROUNDS = 100


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_hundred_kills(jetsmith: Jetsmith) -> None:
    whole = _seconds_of_a_conversion(jetsmith)
    moments = random.Random(20261122)
    finished = 0
    for _ in range(ROUNDS):
        process = jetsmith.start("convert", *MODEL, "--force-convert")
        try:
            process.communicate(timeout=moments.uniform(0, 1.1 * whole))
            finished += 1
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
    assert finished < ROUNDS / 2, "most were to be killed"
    jetsmith("convert", *MODEL)
    assert jetsmith.litter() == []
    assert len(jetsmith.engines()) == 1
    jetsmith("infer", "--model", "demo-cls", SCENES / "cls" / "**" / "*.jpg")


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(10))
def test_a_first_build_that_is_killed_is_simply_done_again(jetsmith: Jetsmith, seed: int) -> None:
    process = jetsmith.start("convert", *MODEL)
    time.sleep(random.Random(seed).uniform(0.1, 8))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert jetsmith("convert", *MODEL).returncode == 0
    assert jetsmith.litter() == []
    assert len(jetsmith.engines()) == 1


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_fifty_killed_children(jetsmith: Jetsmith) -> None:
    """As the kernel kills them when memory runs out: the command says so, and the engine that was there stays."""
    whole = _seconds_of_a_conversion(jetsmith)
    moments = random.Random(20261123)
    killed = 0
    for _ in range(50):
        process = jetsmith.start("convert", *MODEL, "--force-convert")
        time.sleep(moments.uniform(0.1 * whole, whole))
        children = psutil.Process(process.pid).children() if process.poll() is None else []
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.send_signal(signal.SIGKILL)
        output, _ = process.communicate(timeout=120)
        assert "Traceback" not in output
        assert process.returncode in (0, 1), output
        killed += process.returncode
        assert process.returncode == 0 or "killed by SIGKILL" in output
        assert jetsmith.litter() == []
        assert len(jetsmith.engines()) == 1
        assert jetsmith("status", code=process.returncode).stdout
    assert killed > 25, "most were to be killed"
    jetsmith("infer", "--model", "demo-cls", SCENES / "cls" / "**" / "*.jpg")


def _seconds_of_a_conversion(jetsmith: Jetsmith) -> float:
    started = time.monotonic()
    jetsmith("convert", *MODEL)
    return time.monotonic() - started
