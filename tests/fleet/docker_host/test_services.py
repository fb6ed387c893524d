"""The services of one real device, by every arrow of the picture in app/fleet/README.md; the infer is a double."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.errors import FleetError
from app.fleet.base import LABEL, Device, Image, Role, Slot, Spec, Target
from app.fleet.docker_host.connection import Connection
from app.fleet.docker_host.containers import Containers, Found
from app.fleet.docker_host.services import Services
from app.fleet.service import MODELS_FOLDER, NAME_VARIABLE
from tests.command import PROJECT_ROOT
from tests.fleet.devices import RealDevice, Rig
from tests.fleet.docker_host.watch import StepWatch

pytestmark = pytest.mark.docker

DOUBLE = PROJECT_ROOT / "tests" / "doubles" / "fleet_service.py"
SECOND = 1_000_000_000
DEVICE = Device("one", "ssh://one", "cpu", "cpu", Path("config/demo.yaml"))


def target(base: str, version: str, behaviour: str = "well", health: str = "true") -> Target:
    arguments: dict[str, Any] = {
        "image": base,
        "entrypoint": ["python3", "-c", DOUBLE.read_text(), behaviour],
        "environment": {NAME_VARIABLE: f"door-{version}"},
        "healthcheck": {"test": ["CMD-SHELL", health], "interval": SECOND, "timeout": 20 * SECOND, "retries": 1},
        "labels": {LABEL: "test"},
        "log_config": {"type": "json-file", "config": {"max-size": "10m"}},
        "mounts": [{"Type": "volume", "Source": "jetsmith-models", "Target": MODELS_FOLDER}],
        "network_mode": "none",
        "restart_policy": {"Name": "always", "MaximumRetryCount": 0},
        "init": True,
    }
    image = Image(f"registry.example:5000/sites/infer:{version}", f"sha256:{version * 64}"[:71])
    return Target(DEVICE, {Role.INFER: image}, (), {Role.INFER: Spec(Role.INFER, arguments)})


@pytest.fixture(scope="module")
def one(session_rig: Rig, cpu_base: str) -> Iterator[RealDevice]:
    """With one image, under the names that two versions have there."""
    made = session_rig.device("one", seed=session_rig.seed(cpu_base))
    for version in "12":
        made.docker("tag", cpu_base, target(cpu_base, version).images[Role.INFER].on_device)
    yield made
    session_rig.remove(made)


@pytest.fixture
def services(connection: Connection) -> Services:
    return Services(connection, sources_s=3, patience_s=5)


def _states(connection: Connection) -> dict[str, tuple[str, str]]:
    """Who is there: which version, and whether it runs."""
    found = {slot: Containers(connection).find(slot, StepWatch()) for slot in Slot}
    return {slot.name: _state(one) for slot, one in found.items() if one is not None}


def _state(found: Found) -> tuple[str, str]:
    return found.environment[NAME_VARIABLE][-1], found.container.state


def _policy(device: RealDevice, slot: Slot) -> str:
    told = device.docker("inspect", "--format", "{{json .HostConfig.RestartPolicy}}", slot.value).stdout
    return str(json.loads(told)["Name"])


def _run(services: Services, wanted: Target) -> None:
    services.start_next(wanted, StepWatch())
    services.switch(StepWatch(60))


def test_from_nothing_to_the_next_version_and_back(
    services: Services, connection: Connection, device: RealDevice, cpu_base: str
) -> None:
    _run(services, target(cpu_base, "1"))
    assert _states(connection) == {"CURRENT": ("1", "running")}

    services.start_next(target(cpu_base, "2"), StepWatch())
    assert _states(connection) == {"CURRENT": ("1", "running"), "NEXT": ("2", "running")}
    services.switch(StepWatch(60))
    assert _states(connection) == {"CURRENT": ("2", "running"), "PREVIOUS": ("1", "exited")}
    assert (_policy(device, Slot.CURRENT), _policy(device, Slot.PREVIOUS)) == ("always", "no")

    services.start_previous(StepWatch())
    services.start_previous(StepWatch())
    assert _states(connection) == {"CURRENT": ("2", "running"), "NEXT": ("1", "running")}
    services.restore(StepWatch())
    assert _states(connection) == {"CURRENT": ("2", "running"), "PREVIOUS": ("1", "exited")}

    services.start_previous(StepWatch())
    services.switch(StepWatch(60))
    assert _states(connection) == {"CURRENT": ("1", "running"), "PREVIOUS": ("2", "exited")}
    assert (_policy(device, Slot.CURRENT), _policy(device, Slot.PREVIOUS)) == ("always", "no")


@pytest.mark.parametrize(
    ("behaviour", "health", "limit_s", "message"),
    [
        pytest.param("crash", "true", 60, "does not stay up: there is no engine", id="crash"),
        pytest.param("well", "ls /nothing", 60, "is unhealthy: .*/nothing", id="unhealthy"),
        pytest.param("silent", "true", 6, "took longer", id="silent"),
    ],
)
def test_one_that_does_not_work_never_takes_the_place(
    services: Services, connection: Connection, cpu_base: str, behaviour: str, health: str, limit_s: float, message: str
) -> None:
    _run(services, target(cpu_base, "1"))
    services.start_next(target(cpu_base, "2", behaviour, health), StepWatch())
    with pytest.raises(FleetError, match=message):
        services.switch(StepWatch(limit_s))
    assert _states(connection)["CURRENT"] == ("1", "running"), "it was stopped for one that did not work"
    services.restore(StepWatch())
    assert _states(connection) == {"CURRENT": ("1", "running")}


def test_one_that_hangs_makes_way_for_another_of_its_name(
    services: Services, connection: Connection, cpu_base: str
) -> None:
    """Which refuses to run beside it, so that it cannot be waited for."""
    _run(services, target(cpu_base, "1"))
    before = Containers(connection).find(Slot.CURRENT, StepWatch())
    _run(services, target(cpu_base, "1"))
    assert _states(connection) == {"CURRENT": ("1", "running"), "PREVIOUS": ("1", "exited")}
    after = Containers(connection).find(Slot.CURRENT, StepWatch())
    assert before is not None
    assert after is not None
    assert after.id != before.id


def test_a_camera_that_is_away_is_told_and_does_no_harm(
    services: Services, connection: Connection, cpu_base: str
) -> None:
    watch = StepWatch(60)
    services.start_next(target(cpu_base, "1", "blind"), StepWatch())
    services.switch(watch)
    assert _states(connection) == {"CURRENT": ("1", "running")}
    assert ("infer is degraded: camera:0 is away", None) in watch.told


def test_what_was_interrupted_goes_on_or_back(
    services: Services, connection: Connection, device: RealDevice, cpu_base: str
) -> None:
    _run(services, target(cpu_base, "1"))
    device.docker("rename", Slot.CURRENT.value, Slot.NEXT.value)
    services.restore(StepWatch())
    assert _states(connection) == {"CURRENT": ("1", "running")}, "the next one takes the name"

    services.start_next(target(cpu_base, "1"), StepWatch())
    services.start_next(target(cpu_base, "2"), StepWatch())
    assert _states(connection)["NEXT"] == ("2", "running"), "one of another version is removed"
    device.docker("stop", Slot.CURRENT.value)
    services.restore(StepWatch())
    assert _states(connection) == {"CURRENT": ("1", "running")}

    services.stop_infer(StepWatch())
    services.stop_infer(StepWatch())
    assert _states(connection) == {"CURRENT": ("1", "exited")}


def test_somebody_elses_container_is_not_touched(services: Services, device: RealDevice, cpu_base: str) -> None:
    device.docker("create", "--name", Slot.NEXT.value, cpu_base, "true")
    for step in (services.restore, services.stop_infer, services.switch, services.start_previous):
        with pytest.raises(FleetError, match="that jetsmith did not make"):
            step(StepWatch())
    with pytest.raises(FleetError, match="that jetsmith did not make"):
        services.start_next(target(cpu_base, "1"), StepWatch())
    assert device.docker("ps", "--all", "--quiet").stdout.count("\n") == 1
