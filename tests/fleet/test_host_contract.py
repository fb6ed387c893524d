"""What every host keeps to: the double, on which the tests of plans and roll-outs rest, and a real device."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from app.errors import FleetError
from app.fleet.base import Holder, Slot, Target
from app.fleet.docker_host.host import DockerHost
from app.fleet.docker_host.images import resolve
from app.fleet.host import Host
from tests.doubles import fleet_host
from tests.doubles.fleet_host import FakeHost, World
from tests.fleet.devices import Rig
from tests.fleet.docker_host import samples
from tests.fleet.docker_host.watch import StepWatch

Made = tuple[Host, Target]


def a_double(_: pytest.FixtureRequest, __: Path) -> Made:
    return FakeHost(World()), fleet_host.target()


def a_device(request: pytest.FixtureRequest, folder: Path) -> Made:
    base: str = request.getfixturevalue("cpu_base")  # first: made by this machine's user, not by the rig's operator
    rig: Rig = request.getfixturevalue("rig")
    target = samples.target(resolve(base, is_pulled=False), samples.file_in(folder))
    device = rig.device("contract", seed=rig.seed(base))
    return DockerHost(
        device.address, "f", replace(target, device=replace(target.device, address=device.address))
    ), target


@pytest.fixture(params=[a_double, pytest.param(a_device, marks=pytest.mark.docker)], ids=lambda make: make.__name__)
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Made]:
    make: Callable[[pytest.FixtureRequest, Path], Made] = request.param
    host, target = make(request, tmp_path)
    yield host, target
    host.close()


def held_by(name: str, seconds: float = 120) -> Holder:
    return Holder(f"{name}@desk", name, datetime.now(timezone.utc) + timedelta(seconds=seconds))


def test_a_device_is_brought_its_images_and_files(made: Made) -> None:
    """Each step may be done again, and what was done is seen."""
    host, target = made
    seen = host.observe(StepWatch())
    assert (seen.error, seen.images, seen.files, seen.containers, seen.board) == ("", frozenset(), {}, {}, None)
    for _ in range(2):
        for image in target.images.values():
            host.load_image(image, StepWatch())
    board = host.probe(target, StepWatch())
    assert board.free_disk_bytes > 0
    for _ in range(2):
        for file in target.files:
            host.put_file(file, StepWatch())
    seen = host.observe(StepWatch())
    assert seen.images == {image.digest for image in target.images.values()}
    assert seen.files == {file.path: file.digest for file in target.files}
    assert seen.board is not None
    assert seen.board.module == board.module
    assert host.logs(Slot.CURRENT, 10) == ""


def test_one_operator_at_a_time(made: Made) -> None:
    host, _ = made
    assert host.observe(StepWatch()).holder is None
    host.lock(held_by("ann"), StepWatch())
    with pytest.raises(FleetError, match="ann@desk works on"):
        host.lock(held_by("bob"), StepWatch())
    later = held_by("ann", 240)
    host.lock(later, StepWatch())
    assert host.observe(StepWatch()).holder == later
    host.unlock(later)
    assert host.observe(StepWatch()).holder is None
    host.lock(held_by("ann", -1), StepWatch())
    host.lock(held_by("bob"), StepWatch())
    holder = host.observe(StepWatch()).holder
    assert holder is not None
    assert holder.operator == "bob@desk"
