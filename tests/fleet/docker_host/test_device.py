"""Real daemons behind real SSH: a look, images, files and the lock, and how each fails."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from app.errors import DeviceLost, FleetError
from app.fleet.base import LABEL, Holder, Image, Role
from app.fleet.docker_host import transfer
from app.fleet.docker_host.archive import thinned
from app.fleet.docker_host.host import DockerHost
from app.fleet.docker_host.images import resolve
from tests.docker.daemon import docker
from tests.fleet.devices import RealDevice, Rig
from tests.fleet.docker_host.samples import USER, file_in, target
from tests.fleet.docker_host.watch import StepWatch

pytestmark = pytest.mark.docker


@pytest.fixture(scope="session")
def image(cpu_base: str) -> Image:
    """Small, and with a Python: all that these rooms need of one."""
    return resolve(cpu_base, is_pulled=False)


@pytest.fixture
def device(rig: Rig, image: Image, cpu_base: str) -> RealDevice:
    """It has the image, under the name of this machine's own Docker alone."""
    return rig.device("device", seed=rig.seed(cpu_base))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return file_in(tmp_path)


@pytest.fixture
def host(device: RealDevice, image: Image, source: Path) -> Iterator[DockerHost]:
    host = DockerHost(device.address, "f", target(image, source))
    host.load_image(image, StepWatch())
    yield host
    host.close()


def listing(device: RealDevice, image: Image, folder: str = "/m/.fleet") -> str:
    """Owner, group and path of all that lies in the models volume."""
    find = ("find", folder, "-printf", "%U:%G %y %P\\n")
    return device.docker("run", "--rm", "--network", "none", "-v", "jetsmith-models:/m", image.on_device, *find).stdout


def test_a_look_at_a_device_that_has_nothing(rig: Rig) -> None:
    host = DockerHost(rig.device("bare").address, "f")
    seen = host.observe(StepWatch())
    host.close()
    assert (seen.error, seen.images, seen.containers, seen.board, seen.holder) == ("", frozenset(), {}, None, None)
    assert seen.docker
    assert "runc" in seen.runtimes
    assert abs(seen.clock_off_s) < 30


def test_an_image_that_is_there_under_another_name_is_not_sent(device: RealDevice, image: Image, source: Path) -> None:
    host, watch = DockerHost(device.address, "f", target(image, source)), StepWatch()
    assert host.observe(watch).images == frozenset()
    host.load_image(image, watch)
    assert watch.told == []
    seen = host.observe(watch)
    host.close()
    assert seen.images == {image.digest}
    assert seen.board is not None
    assert seen.board.free_disk_bytes > 1 << 20
    assert seen.board.free_memory_bytes > 1 << 20


def test_an_image_is_sent_and_is_the_very_same(rig: Rig, image: Image) -> None:
    bare = rig.device("bare")
    host, watch = DockerHost(bare.address, "f", target(image)), StepWatch(120)
    host.load_image(image, watch)
    host.load_image(image, watch)
    host.close()
    assert bare.docker("image", "inspect", "--format", "{{.Id}}", image.on_device).stdout.strip() == image.digest
    assert any("MiB are sent" in message for message, _ in watch.told)


@pytest.mark.slow
def test_of_an_image_only_the_layers_go_that_are_not_there(
    device: RealDevice, image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what arrives is the very same image."""
    left_out: list[frozenset[str]] = []

    def recorded(chunks: Iterator[bytes], dropped: frozenset[str]) -> Iterator[bytes]:
        left_out.append(dropped)
        return thinned(chunks, dropped)

    monkeypatch.setattr(transfer, "thinned", recorded)
    (tmp_path / "Dockerfile").write_text(f"FROM {image.name}\nRUN echo new > /new\nRUN echo newer > /newer\n")
    name = f"jetsmith-fleet-test:{os.getpid()}"
    docker("build", "--network", "none", "--tag", name, tmp_path)
    try:
        derived = resolve(name, is_pulled=False)
        host, watch = DockerHost(device.address, "f", target(derived)), StepWatch(120)
        host.load_image(derived, watch)
        host.close()
    finally:
        docker("image", "rm", name)
    assert device.docker("image", "inspect", "--format", "{{.Id}}", derived.on_device).stdout.strip() == derived.digest
    assert device.docker("run", "--rm", "--network", "none", derived.on_device, "cat", "/new", "/newer").stdout == (
        "new\nnewer\n"
    )
    assert [len(dropped) for dropped in left_out] == [1]
    assert not any("all its layers" in message for message, _ in watch.told)


@pytest.mark.slow
def test_images_of_older_versions_that_no_container_needs_make_room(rig: Rig, image: Image, tmp_path: Path) -> None:
    bare = rig.device("bare")
    (tmp_path / "x").write_text("x")
    (tmp_path / "Dockerfile").write_text("FROM scratch\nARG N\nLABEL n=$N\nCOPY x /x\n")
    names = [f"jetsmith-fleet/jetsmith-infer:{n * 64}" for n in "abc"]
    for name in (*names, "mine:1"):
        bare.docker("build", "--build-arg", f"N={name}", "--tag", name, tmp_path)
    bare.docker("create", "--name", "jetsmith-infer-previous", names[0], "/x")
    made = target(image)
    wanted = Image("jetsmith-infer:new", f"sha256:{'b' * 64}")
    host = DockerHost(bare.address, "f", replace(made, images={Role.INFER: wanted, Role.CONVERTER: image}))
    host.load_image(image, StepWatch(120))
    host.close()
    left = bare.docker("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()
    assert set(left) == {names[0], names[1], "mine:1", image.on_device}


def test_a_file_arrives_whole_with_its_owner(host: DockerHost, device: RealDevice, image: Image, source: Path) -> None:
    file = target(image, source).files[0]
    for _ in range(2):  # a second time does no harm
        host.put_file(file, StepWatch())
    assert set(listing(device, image).splitlines()) == {
        f"{USER} d ",
        f"{USER} d arriving",
        f"{USER} d {file.digest}",
        f"{USER} f {file.digest}/w.pt",
    }
    assert host.observe(StepWatch()).files == {file.path: file.digest}
    for volume in ("jetsmith-models", "jetsmith-output"):
        assert f'"{LABEL}": "f"' in device.docker("volume", "inspect", volume).stdout
    assert device.docker("ps", "--all", "--quiet").stdout == ""


def test_a_file_that_changes_on_the_way_does_not_arrive(
    host: DockerHost, device: RealDevice, image: Image, source: Path
) -> None:
    file = target(image, source).files[0]
    source.write_text("another")
    with pytest.raises(FleetError, match="did not arrive as it is"):
        host.put_file(file, StepWatch())
    assert " f " not in listing(device, image)


def test_half_a_file_is_not_taken_for_it(host: DockerHost, device: RealDevice, image: Image, source: Path) -> None:
    file = target(image, source).files[0]
    host.put_file(file, StepWatch())
    broken = ("sh", "-c", f"echo half > /m/{file.path}")
    device.docker("run", "--rm", "--network", "none", "-v", "jetsmith-models:/m", image.on_device, *broken)
    assert host.observe(StepWatch()).files[file.path] != file.digest
    host.put_file(file, StepWatch())
    assert host.observe(StepWatch()).files[file.path] == file.digest


def test_somebody_elses_volume_is_not_touched(host: DockerHost, device: RealDevice, image: Image, source: Path) -> None:
    device.docker("volume", "create", "jetsmith-models")
    with pytest.raises(FleetError, match="jetsmith did not make"):
        host.put_file(target(image, source).files[0], StepWatch())
    assert "jetsmith did not make" in host.observe(StepWatch()).error


def test_an_image_that_cannot_look_is_told_unless_an_older_one_can(
    host: DockerHost, device: RealDevice, image: Image, source: Path, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {image.on_device}\nRUN rm /usr/bin/python3*\n")
    device.docker("build", "--network", "none", "--tag", "broken", tmp_path)
    told = device.docker("image", "inspect", "--format", "{{.Id}}", "broken").stdout.strip()
    broken = Image("jetsmith-infer:broken", told)
    device.docker("tag", "broken", broken.on_device)
    other = DockerHost(device.address, "f", target(broken, source))
    assert other.observe(StepWatch()).board is not None
    device.docker("image", "rm", image.on_device)
    seen = other.observe(StepWatch())
    other.close()
    assert "python3" in seen.error
    assert seen.hint


def test_two_looks_at_once_do_not_meet(host: DockerHost, device: RealDevice, image: Image, source: Path) -> None:
    errors: list[str] = []

    def look() -> None:
        other = DockerHost(device.address, "f", target(image, source))
        errors.append(other.observe(StepWatch()).error)
        other.close()

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == [""] * 4
    assert device.docker("ps", "--all", "--quiet").stdout == ""


def test_the_lock_on_a_real_daemon(host: DockerHost, device: RealDevice) -> None:
    until = datetime.now(timezone.utc) + timedelta(seconds=120)
    ann, bob = (Holder(f"{name}@desk", name, until) for name in ("ann", "bob"))
    host.observe(StepWatch())
    host.lock(ann, StepWatch())
    host.lock(ann, StepWatch())
    with pytest.raises(FleetError, match="ann@desk works on it"):
        host.lock(bob, StepWatch())
    assert host.observe(StepWatch()).holder == ann
    host.unlock(ann)
    assert host.observe(StepWatch()).holder is None
    assert device.docker("volume", "ls", "--quiet").stdout == ""


def test_a_full_disk_is_told_as_such(rig: Rig, image: Image) -> None:
    small = rig.device("small", disk="100m")
    host = DockerHost(small.address, "f", target(image))
    with pytest.raises(FleetError) as raised:
        host.load_image(image, StepWatch(120))
    host.close()
    assert "its disk is full" in raised.value.message
    assert "docker system df" in raised.value.hint


class Acting(StepWatch):
    """Does something to the device once part of an image has gone there."""

    def __init__(self, act: Callable[[], None], seconds_after: float) -> None:
        super().__init__(120)
        self._act, self._seconds_after, self._acted = act, seconds_after, False

    def update(self, message: str, percent: float | None = None) -> None:
        super().update(message, percent)
        if "MiB are sent" in message and not self._acted:
            self._acted = True
            self._act()
            self.ends = time.monotonic() + self._seconds_after


@pytest.mark.slow
def test_ssh_that_is_cut_in_the_middle_of_an_image(rig: Rig, image: Image) -> None:
    bare = rig.device("bare")
    host = DockerHost(bare.address, "f", target(image))
    with pytest.raises(DeviceLost):
        host.load_image(image, Acting(bare.cut_ssh, 60))
    assert "nothing listens" in host.observe(StepWatch(15)).error
    bare.start_ssh()
    host.load_image(image, StepWatch(120))
    assert host.observe(StepWatch()).images == {image.digest}
    host.close()


@pytest.mark.slow
def test_a_device_that_freezes_in_the_middle_of_an_image(rig: Rig, image: Image) -> None:
    """The step's own time ends it, though no answer and no error ever comes."""
    bare = rig.device("bare")
    host, watch = DockerHost(bare.address, "f", target(image)), Acting(bare.freeze_ssh, 5)
    with pytest.raises(FleetError, match="longer than it may"):
        host.load_image(image, watch)
    assert time.monotonic() - watch.ends < 20
    bare.freeze_ssh(frozen=False)
    host.close()


def test_roles_share_one_name_for_one_image(image: Image) -> None:
    assert {one.on_device for one in target(image).images.values()} == {image.on_device}
    assert set(target(image).images) == set(Role)


def test_what_is_not_on_this_machine_says_what_to_do(image: Image) -> None:
    assert docker("image", "inspect", "jetsmith-none:x", code=None).returncode
    with pytest.raises(FleetError) as raised:
        resolve("jetsmith-none:x", is_pulled=False)
    assert "this machine's Docker: there is no image jetsmith-none:x" in raised.value.message
    assert "build" in raised.value.hint
