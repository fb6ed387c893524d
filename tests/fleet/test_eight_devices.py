"""One run of eight real devices, of which five go wrong, each in its way; mended, the next run completes them."""

import json
import re
import threading
import time
from collections.abc import Callable

import pytest

from app.fleet.base import Slot
from tests.docker.ground import Images
from tests.fleet.devices import RealDevice, Rig
from tests.fleet.operator import Operator

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(5400)]  # the first one builds the images

GOOD = ("good-1", "good-2", "good-3")
NOT_REACHED = ("dead", "silent")
NO_NETWORK = {"config": "config/camera.yaml"}  # whose weights would have to be downloaded
WRONG = {  # device -> what its error says, and its hint
    "dead": ("nothing listens at its address", "Is it on"),
    "silent": ("no SSH server answers", "sshd"),
    "full": ("its disk is full", "docker system df"),
    "unconverted": ("the conversion failed", ""),
    "cut": ("stopped answering|nothing listens", "goes on where it stopped|Is it on"),  # as its last try went
}


@pytest.fixture
def fleet(rig: Rig, images: Images) -> dict[str, RealDevice]:
    """All well but one, whose disk takes no image; the others have the images."""
    seed = rig.seed(images.converter, images.infer)
    names = [*GOOD, "dead", "silent", "unconverted", "cut"]
    return {**{name: rig.device(name, seed=seed) for name in names}, "full": rig.device("full", disk="600m")}


@pytest.fixture
def jetsmith_fleet(rig: Rig, images: Images) -> Operator:
    return Operator(rig.home, images.tag)


def test_three_of_eight_finish_and_five_are_told_then_mended(
    rig: Rig, fleet: dict[str, RealDevice], jetsmith_fleet: Operator
) -> None:
    addresses = {name: device.address for name, device in fleet.items()}
    jetsmith_fleet.write(addresses, unconverted=NO_NETWORK)
    fleet["dead"].cut_ssh()
    fleet["silent"].freeze_ssh()
    cutting = _once_it_converts(fleet["cut"], fleet["cut"].cut_ssh)
    jetsmith_fleet("apply", "--device-timeout", 900, code=3)
    cutting.join()

    told = {one["name"]: one for one in jetsmith_fleet.report["devices"]}
    assert [name for name in told if told[name]["state"] == "done"] == list(GOOD)
    _until(lambda: all(_serves(fleet[name]) for name in GOOD), "not all are healthy")
    for name, (what, remedy) in WRONG.items():
        said = {part: told[name][part] for part in ("state", "error", "hint")}
        assert said["state"] == "failed", said
        assert re.search(what, said["error"]), said
        assert re.search(remedy, said["hint"]), said
        assert not _serves(fleet[name])
    assert [name for name in WRONG if not told[name]["steps"]] == list(NOT_REACHED)

    for name in GOOD:  # eight services are more than a small machine can keep healthy
        rig.remove(fleet.pop(name))
    fleet["dead"].start_ssh()
    fleet["silent"].freeze_ssh(frozen=False)
    fleet["full"].resize("8g")
    fleet["cut"].start_ssh()
    jetsmith_fleet.write({name: addresses[name] for name in WRONG})
    _until(lambda: not _held(jetsmith_fleet, "cut"), "the lock of the run that was cut off never runs out")
    jetsmith_fleet("apply")
    assert {one["name"]: one["state"] for one in jetsmith_fleet.report["devices"]} == dict.fromkeys(WRONG, "done")
    _until(lambda: all(_serves(device) for device in fleet.values()), "not all are healthy")


def _once_it_converts(device: RealDevice, what: Callable[[], None]) -> threading.Thread:
    def wait() -> None:
        _until(lambda: _state(device, Slot.CONVERTER) == "running", "it never converted")
        what()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def _state(device: RealDevice, slot: Slot, what: str = ".State.Status") -> str:
    return device.docker("inspect", "--format", f"{{{{{what}}}}}", slot.value, code=None).stdout.strip()


def _serves(device: RealDevice) -> bool:
    return _state(device, Slot.CURRENT, ".State.Health.Status") == "healthy"


def _held(operator: Operator, name: str) -> bool:
    told = json.loads(operator("status", name, "--json", code=None).stdout)
    return bool(told["devices"][0]["held_by"])


def _until(condition: Callable[[], bool], complaint: str, limit_s: float = 600) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, complaint
        time.sleep(0.5)
