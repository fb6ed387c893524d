"""`jetsmith fleet apply` is killed at random moments: the next one completes it, and an infer runs all the time."""

import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import docker
import pytest

from tests.docker.ground import Images
from tests.fleet.devices import RealDevice, Rig
from tests.fleet.operator import Operator

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(3600)]

KILLS = 20
SEED = 20261123
LEASE_S = 12.0
LATER = ("works on it", "Health check exceeded timeout")
_SERVICES = {"/jetsmith-infer", "/jetsmith-infer-next", "/jetsmith-infer-previous"}


# What a killed run holds is free again after its lease: a short one, so that nobody waits for two minutes twenty times.
SHORT_LEASE = f"""
import sys
from app.fleet import device_run
device_run.LEASE_S, device_run.RENEW_S = {LEASE_S}, {LEASE_S / 3}
from app.cli import main
sys.exit(main(["fleet", *sys.argv[1:]]))
"""


class Hurried(Operator):
    def command(self, verb: str, *arguments: object) -> list[str]:
        fleet = ["--fleet", self.home / "fleet.yaml"]
        return [sys.executable, "-c", SHORT_LEASE, verb, *map(str, [*fleet, *arguments])]

    def wants(self, devices: list[RealDevice], rate: int) -> None:
        """Another rate is another service."""
        settings = self.home / "service.yaml"
        settings.write_text(f"infer: {{sources: [models/demo/scenes/pose], fps: {rate}, sinks: {{jsonl: '-'}}}}\n")
        here = {"config": str(settings)}
        self.write({device.name: device.address for device in devices}, **{device.name: here for device in devices})

    def killed(self, after_s: float) -> str:
        """The last word of an apply that is killed then."""
        log = self.home / "killed.log"
        with (
            log.open("wb") as output,
            subprocess.Popen(
                self.command("apply", "--report", self.home / "report"), env=self.env, stdout=output, stderr=output
            ) as run,
        ):
            time.sleep(after_s)
            run.kill()
        return (log.read_text().splitlines() or ["before its first word"])[-1]


@pytest.fixture
def devices(rig: Rig, images: Images) -> list[RealDevice]:
    seed = rig.seed(images.converter, images.infer)
    return [rig.device(name, seed=seed) for name in ("one", "two")]


@contextmanager
def watched(devices: list[RealDevice]) -> Iterator[list[str]]:
    """What is in the list was seen at a moment when no infer ran."""
    dark: list[str] = []
    over = threading.Event()

    def watch(device: RealDevice) -> None:
        with closing(docker.APIClient(base_url=device.socket)) as client:
            while not over.wait(0.1):
                running = {name for one in client.containers() for name in one["Names"]}
                if not running & _SERVICES:
                    dark.append(f"{device.name} at {time.monotonic():.1f}: {sorted(running)}")

    threads = [threading.Thread(target=watch, args=(device,), daemon=True) for device in devices]
    for thread in threads:
        thread.start()
    try:
        yield dark
    finally:
        over.set()
        for thread in threads:
            thread.join()


def completed(operator: Operator) -> int:
    """
    How many runs it takes.

    All but the last are told that the killed one still holds a device, or that this machine is too busy for a service
    to say in time that it is healthy: then the one before goes on.
    """
    for runs in range(1, 10):
        done = operator("apply", code=None)
        if done.returncode == 0:
            return runs
        states = [(one["state"], one["error"] or "") for one in operator.report["devices"]]
        assert all(state != "failed" or any(why in error for why in LATER) for state, error in states), done.stdout
        time.sleep(LEASE_S / 3)
    raise AssertionError(done.stdout)


def at_rest(operator: Operator) -> list[dict[str, Any]]:
    """
    What the devices are, once nobody holds them.

    A run that was killed between its last step and its end leaves its lock, which ends by itself; the next run finds
    nothing to do, and needs none.
    """
    until = time.monotonic() + 2 * LEASE_S
    while True:
        found: list[dict[str, Any]] = json.loads(operator("status", "--json").stdout)["devices"]
        if not any(one["held_by"] for one in found):
            return found
        assert time.monotonic() < until, found
        time.sleep(1)


def is_clean(device: RealDevice) -> bool:
    """
    One infer under its own name, and the one before it at rest.

    A look that was killed may have left its container: a later look takes it away.
    """
    told = device.docker("ps", "--all", "--format", "{{.Names}}").stdout.split()
    known = {"jetsmith-infer", "jetsmith-infer-previous", "jetsmith-converter", "jetsmith-verifier"}
    return {name for name in told if not name.startswith("jetsmith-probe-")} == known


def test_killed_at_twenty_moments_the_next_apply_completes_it(
    rig: Rig, images: Images, devices: list[RealDevice], capsys: pytest.CaptureFixture[str]
) -> None:
    operator, dice = Hurried(rig.home, images.tag), random.Random(SEED)
    operator.wants(devices, 1)
    operator("apply", timeout_s=1800)
    operator.wants(devices, 2)
    began = time.monotonic()
    operator("apply")
    whole_s = time.monotonic() - began
    with watched(devices) as dark:
        for number in range(KILLS):
            operator.wants(devices, 3 + number)
            moment_s = whole_s * (number + dice.random()) / KILLS
            last = operator.killed(moment_s)
            told = f"killed after {moment_s:.1f} s, «{last}»; completed by {completed(operator)} run(s)"
            plans = json.loads(operator("plan", "--json").stdout)["devices"]
            assert [one["steps"] for one in plans] == [[]] * len(devices), told
            assert all(one["is_good"] for one in at_rest(operator)), told
            assert all(is_clean(device) for device in devices), told
            assert not dark, (told, dark)
            with capsys.disabled():
                sys.stdout.write(f"\n{told}")
