"""Two hundred devices in memory, each call of one to five seconds: time beside the ideal, and memory."""

import json
import os
import random
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

PARALLEL = 32
DEVICES = 200


def main() -> None:
    """In a process of its own, whose memory is that of the command: its libraries, its live table, the report."""
    from rich.console import Console

    import app.fleet.docker_host.host  # noqa: F401 (what the command loads)
    from app.cli.fleet_shown import LiveTable
    from app.fleet.course import Apply
    from app.fleet.device_run import Job
    from app.fleet.page import as_html
    from app.fleet.report import Report
    from app.fleet.rollout import Options, Rollout
    from tests.doubles.fleet_host import FakeHost, World, target

    dice, slept, lock = random.Random(7), [0.0] * DEVICES, threading.Lock()

    def job(number: int) -> Job:
        def sleep(what: str) -> None:
            with lock:
                seconds = dice.uniform(1.0, 5.0)
            slept[number] += seconds
            time.sleep(seconds)

        world = World()
        return Job(Apply(target(name=f"d{number}")), lambda: FakeHost(world, sleep))

    begun = time.monotonic()
    with Path(os.devnull).open("w") as nowhere:
        screen = Console(file=nowhere, force_terminal=True, width=160, height=50)
        with LiveTable(DEVICES, threading.Event()).shown(screen) as table:
            outcomes = Rollout([job(number) for number in range(DEVICES)], table, Options(parallel=PARALLEL)).run()
    took = time.monotonic() - begun
    now = "2026-01-01T00:00:00+00:00"
    page = as_html(Report("f", "apply", now, now, "0", outcomes))
    figures = {
        "good": sum(outcome.is_good for outcome in outcomes),
        "took_s": took,
        "ideal_s": max(sum(slept) / PARALLEL, *slept),
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "page_kb": len(page) / 1024,
    }
    sys.stdout.write(json.dumps(figures) + "\n")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_hundred_devices_take_little_longer_than_they_must_and_little_memory() -> None:
    command = [sys.executable, "-m", "tests.fleet.test_two_hundred"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=850)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["good"] == DEVICES
    assert figures["took_s"] <= 1.2 * figures["ideal_s"], figures
    assert figures["memory_mb"] < 300, figures


if __name__ == "__main__":
    main()
