"""A conversion on one real device, and the trial of its engine; the converter is a double."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.errors import FleetError
from app.fleet.base import LABEL, LABEL_WORK, Device, EngineFacts, Image, Role, Slot, Spec, Target
from app.fleet.docker_host import conversion
from app.fleet.docker_host.connection import Connection
from app.fleet.docker_host.containers import Containers
from app.fleet.docker_host.conversion import Conversion
from app.fleet.service import ENGINE_VARIABLE, MODELS_FOLDER
from tests.command import PROJECT_ROOT
from tests.fleet.devices import RealDevice, Rig
from tests.fleet.docker_host.watch import StepWatch

pytestmark = pytest.mark.docker

SHA256 = "a" * 64
DOUBLE = PROJECT_ROOT / "tests" / "doubles" / "fleet_converter.py"
DEVICE = Device("one", "ssh://one", "cpu", "cpu", Path("config/demo.yaml"))
IMAGES = {role: Image(f"jetsmith-{role.value}:cpu", f"sha256:{'0' * 64}") for role in Role}


def target(behaviour: str = "well", sha256: str = SHA256, **more: Any) -> Target:
    arguments: dict[str, Any] = {
        "image": "jetsmith-converter:cpu",
        "entrypoint": ["jetsmith", "convert"],
        "environment": {ENGINE_VARIABLE: f"{MODELS_FOLDER}/m-1.engine", "DOUBLE": behaviour, "SHA256": sha256},
        "labels": {LABEL: "test"},
        "mounts": [{"Type": "volume", "Source": "jetsmith-models", "Target": MODELS_FOLDER}],
        "network_mode": "none",
        "init": True,
        **more,
    }
    return Target(DEVICE, IMAGES, (), {role: Spec(role, arguments) for role in Role})


@pytest.fixture(scope="module")
def one(session_rig: Rig, cpu_base: str) -> Iterator[RealDevice]:
    made = session_rig.device("converting", seed=session_rig.seed(cpu_base))
    made.docker("create", "--name", "double", cpu_base, "true")
    made.docker("cp", DOUBLE, "double:/usr/local/bin/jetsmith")
    for image in IMAGES.values():
        made.docker("commit", "double", image.on_device)
    yield made
    session_rig.remove(made)


def _look(_: Target, __: object) -> EngineFacts:
    return EngineFacts("key", SHA256, "FP16", "2026-11-23T00:00:00+00:00")


@pytest.fixture
def room(connection: Connection) -> Conversion:
    return Conversion(connection, _look)


def test_it_is_followed_to_its_end_and_begun_anew_the_next_time(room: Conversion, connection: Connection) -> None:
    watch, wanted = StepWatch(60), target()
    room.convert(wanted, watch)
    assert ("build", 40.0) in watch.told
    first = Containers(connection).find(Slot.CONVERTER, StepWatch())
    assert first is not None
    assert first.container.is_success
    assert first.container.label(LABEL_WORK) == wanted.work
    room.convert(wanted, StepWatch(60))
    second = Containers(connection).find(Slot.CONVERTER, StepWatch())
    assert second is not None
    assert second.id != first.id


def test_one_that_runs_is_followed_if_it_does_the_same_work(room: Conversion, connection: Connection) -> None:
    with pytest.raises(FleetError, match="longer than it may"):
        room.convert(target("waits"), StepWatch(4))
    left = Containers(connection).find(Slot.CONVERTER, StepWatch())
    assert left is not None
    assert left.container.is_running
    with pytest.raises(FleetError, match="longer than it may"):
        room.convert(target("waits"), StepWatch(4))
    again = Containers(connection).find(Slot.CONVERTER, StepWatch())
    assert again is not None
    assert again.id == left.id
    room.convert(target("well"), StepWatch(60))


@pytest.mark.parametrize(
    ("behaviour", "message", "hint"),
    [
        pytest.param("fails", "the conversion failed: the builder refused", "Take FP32.", id="its own word"),
        pytest.param("dumb", "ended with 1: error: the settings are wrong", "apply again", id="its last lines"),
        pytest.param("killed", "the conversion was killed", "--stop-infer", id="killed"),
    ],
)
def test_why_it_failed_is_told_with_what_to_do(room: Conversion, behaviour: str, message: str, hint: str) -> None:
    room.convert(target(), StepWatch(60))  # whose status still lies there
    with pytest.raises(FleetError, match=message) as caught:
        room.convert(target(behaviour), StepWatch(60))
    assert hint in caught.value.hint


def test_one_that_stands_still_is_told(room: Conversion, device: RealDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "_HUNG_S", 3.0)
    pause = threading.Timer(5, device.docker, ("pause", Slot.CONVERTER.value))
    pause.start()
    with pytest.raises(FleetError, match="no sign of life"):
        room.convert(target("waits"), StepWatch(60))
    pause.join()
    device.docker("unpause", Slot.CONVERTER.value)


def test_the_engine_is_tried_and_the_proof_stays(room: Conversion, connection: Connection) -> None:
    wanted = target()
    room.verify(wanted, StepWatch(60))
    proof = Containers(connection).find(Slot.VERIFIER, StepWatch())
    assert proof is not None
    assert proof.container.is_success
    assert proof.container.label(LABEL_WORK) == wanted.proof(SHA256)


@pytest.mark.parametrize(
    ("behaviour", "sha256", "message"),
    [
        pytest.param("fails", SHA256, "the engine does not load", id="it fails"),
        pytest.param("well", "b" * 64, "it is another engine", id="another was tried"),
    ],
)
def test_an_engine_that_was_not_tried_is_not_proven(
    room: Conversion, connection: Connection, behaviour: str, sha256: str, message: str
) -> None:
    with pytest.raises(FleetError, match=message):
        room.verify(target(behaviour, sha256), StepWatch(60))
    proof = Containers(connection).find(Slot.VERIFIER, StepWatch())
    assert proof is not None
    assert not proof.container.is_success


def test_without_an_engine_nothing_is_tried(connection: Connection) -> None:
    with pytest.raises(FleetError, match="left no engine"):
        Conversion(connection, lambda *_: None).verify(target(), StepWatch())
