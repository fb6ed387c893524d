"""Four real devices from nothing to a running fleet, to another precision, and back."""

import json
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from app.fleet.base import Slot
from config.settings import PROJECT_ROOT
from tests.docker.ground import Images
from tests.fleet.devices import RealDevice, Rig
from tests.fleet.operator import Operator

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(3600)]

SEEDED = ("one", "two", "three")
BARE = "four"  # its images are sent from here


@pytest.fixture
def fleet(rig: Rig, images: Images) -> dict[str, RealDevice]:
    seed = rig.seed(images.converter, images.infer)
    return {**{name: rig.device(name, seed=seed) for name in SEEDED}, BARE: rig.device(BARE)}


@pytest.fixture
def operator_of(rig: Rig, images: Images) -> Operator:
    return Operator(rig.home, images.tag)


def test_from_nothing_to_a_fleet_to_another_precision_and_back(
    fleet: dict[str, RealDevice], operator_of: Operator, capsys: pytest.CaptureFixture[str]
) -> None:
    addresses = {name: device.address for name, device in fleet.items()}
    operator_of.write(addresses, **{name: {"config": settings(operator_of.home, "FP32")} for name in fleet})

    def run(verb: str, *names: str) -> dict[str, Any]:
        """The seconds it took are shown, for who wants them."""
        began = time.monotonic()
        operator_of(verb, *names, timeout_s=1800)
        with capsys.disabled():
            sys.stdout.write(f"\n{verb}: {time.monotonic() - began:.1f} s\n")
        return {one["name"]: one for one in operator_of.report["devices"]}

    planned = json.loads(operator_of("plan", "--json").stdout)["devices"]
    steps = {one["device"]: [step["step"] for step in one["steps"]] for one in planned}
    assert all({"image", "files", "convert", "verify", "start", "switch"} <= set(steps[name]) for name in fleet)
    assert [device.docker("volume", "ls", "--quiet").stdout for device in fleet.values()] == [""] * 4

    assert {one["state"] for one in run("apply").values()} == {"done"}
    first = {name: serving(device) for name, device in fleet.items()}
    built = engines(operator_of)
    assert {one["state"] for one in run("apply").values()} == {"unchanged"}
    assert {name: serving(device) for name, device in fleet.items()} == first

    operator_of.write(addresses, **{name: {"config": settings(operator_of.home, "INT8")} for name in fleet})
    assert {one["state"] for one in run("apply").values()} == {"done"}
    second = {name: serving(device) for name, device in fleet.items()}
    rebuilt = engines(operator_of)
    assert all(rebuilt[name] != built[name] for name in fleet)
    for name, device in fleet.items():
        assert second[name] != first[name] == identifier(device, Slot.PREVIOUS)
        went = ended(device, Slot.PREVIOUS)
        assert ended(device, Slot.VERIFIER) < began_at(device, Slot.CURRENT) < went, "the old one served until then"

    assert {one["state"] for one in run("rollback", *fleet).values()} == {"done"}
    assert {name: serving(device) for name, device in fleet.items()} == first
    assert {name: identifier(device, Slot.PREVIOUS) for name, device in fleet.items()} == second
    assert {one["state"] for one in run("rollback", *fleet).values()} == {"unchanged"}
    for device in fleet.values():
        assert began_at(device, Slot.CURRENT) < ended(device, Slot.PREVIOUS)
        assert device.docker("volume", "ls", "--quiet", "--filter", "name=jetsmith-lock").stdout == ""


def settings(home: Path, precision: str) -> str:
    """The demo service in this precision, in a file of the operator's."""
    path = home / f"{precision}.yaml"
    text = (PROJECT_ROOT / "config" / "demo-service.yaml").read_text()
    engine = f"    tensorrt_engine_settings: {{precision: {precision}}}\n"
    path.write_text(text.replace("  yolo:\n", f"  yolo:\n{engine}"))
    return str(path)


def serving(device: RealDevice) -> str:
    """Which container the healthy infer is."""
    assert inspected(device, Slot.CURRENT)["State"]["Health"]["Status"] == "healthy"
    return identifier(device, Slot.CURRENT)


def engines(operator: Operator) -> dict[str, str]:
    """The identity of each device's, which holds the precision that was asked for."""
    told = json.loads(operator("status", "--json").stdout)["devices"]
    assert all(one["is_good"] for one in told)
    return {one["name"]: one["engine"]["identity"] for one in told}


def identifier(device: RealDevice, slot: Slot) -> str:
    return str(inspected(device, slot)["Id"])


def began_at(device: RealDevice, slot: Slot) -> datetime:
    return moment(inspected(device, slot)["State"]["StartedAt"])


def ended(device: RealDevice, slot: Slot) -> datetime:
    return moment(inspected(device, slot)["State"]["FinishedAt"])


def moment(text: str) -> datetime:
    """Docker tells nanoseconds and Z, which Python 3.10 does not read."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{whole}.{fraction[:6]:0<6}+00:00")


def inspected(device: RealDevice, slot: Slot) -> dict[str, Any]:
    told: list[dict[str, Any]] = json.loads(device.docker("inspect", slot.value).stdout)
    return told[0]
