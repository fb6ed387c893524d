"""What any host does to the infer of a device: the double in memory, and a real Docker behind real SSH."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from app.errors import FleetError
from app.fleet.base import LABEL, LABEL_SPEC, MODELS_VOLUME, Role, Slot, Target
from app.fleet.docker_host.host import DockerHost
from app.fleet.host import Host
from tests.doubles import fleet_host
from tests.fleet.devices import Rig
from tests.fleet.docker_host import test_services as real
from tests.fleet.docker_host.watch import StepWatch


@dataclass
class Subject:
    """
    Args:
        target: of a version, whose infer works or not.
    """

    host: Host
    target: Callable[..., Target]

    def states(self) -> dict[str, tuple[str, bool]]:
        """Who is there: which version, and whether it runs."""
        versions = {self.target(version, works=works).infer: version for version in "12" for works in (True, False)}
        seen = self.host.observe(StepWatch(60))
        assert not seen.error
        found = seen.containers
        slots = (Slot.CURRENT, Slot.NEXT, Slot.PREVIOUS)
        there = {slot.name: one for slot in slots if (one := found.get(slot))}
        return {name: (versions[one.label(LABEL_SPEC)], one.is_running) for name, one in there.items()}

    def run(self, version: str) -> None:
        self.host.start_next(self.target(version), StepWatch(60))
        self.host.switch(StepWatch(60))


def _double() -> Subject:
    world = fleet_host.World()

    def target(version: str, *, works: bool = True) -> Target:
        made = fleet_host.target(f"{version}{'' if works else '-broken'}")
        if not works:
            world.unhealthy.add(made.infer)
        return made

    return Subject(fleet_host.FakeHost(world), target)


def _real(address: str, base: str) -> Subject:
    def target(version: str, *, works: bool = True) -> Target:
        return real.target(base, version, "well" if works else "crash")

    return Subject(DockerHost(address, "test"), target)


@pytest.fixture(params=["double", pytest.param("docker", marks=pytest.mark.docker)])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    if request.param == "double":
        yield _double()
        return
    base: str = request.getfixturevalue("cpu_base")
    rig: Rig = request.getfixturevalue("rig")
    device = rig.device("contract", seed=rig.seed(base))
    for version in "12":
        device.docker("tag", base, real.target(base, version).images[Role.INFER].on_device)
    device.docker("volume", "create", "--label", f"{LABEL}=test", MODELS_VOLUME)
    made = _real(device.address, base)
    yield made
    made.host.close()


def test_there_and_back_and_interrupted(subject: Subject) -> None:
    host = subject.host
    subject.run("1")
    assert subject.states() == {"CURRENT": ("1", True)}
    host.start_next(subject.target("2"), StepWatch(60))
    assert subject.states() == {"CURRENT": ("1", True), "NEXT": ("2", True)}
    host.switch(StepWatch(60))
    assert subject.states() == {"CURRENT": ("2", True), "PREVIOUS": ("1", False)}
    host.start_previous(StepWatch(60))
    assert subject.states() == {"CURRENT": ("2", True), "NEXT": ("1", True)}
    host.restore(StepWatch(60))
    assert subject.states() == {"CURRENT": ("2", True), "PREVIOUS": ("1", False)}
    host.start_previous(StepWatch(60))
    host.switch(StepWatch(60))
    assert subject.states() == {"CURRENT": ("1", True), "PREVIOUS": ("2", False)}


def test_one_that_does_not_work_leaves_the_old_one(subject: Subject) -> None:
    subject.run("1")
    subject.host.start_next(subject.target("2", works=False), StepWatch(60))
    with pytest.raises(FleetError):
        subject.host.switch(StepWatch(60))
    subject.host.restore(StepWatch(60))
    assert subject.states() == {"CURRENT": ("1", True)}
    subject.host.stop_infer(StepWatch(60))
    assert subject.states() == {"CURRENT": ("1", False)}
    subject.host.restore(StepWatch(60))
    assert subject.states() == {"CURRENT": ("1", True)}
