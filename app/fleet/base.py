"""
The nouns of the fleet, and the protocol that a device's Docker and its double speak.

Nothing here imports Docker. What is kept where on a device, and how an interrupted run goes on: README.md beside this.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

LABEL = "jetsmith.fleet"  # = the fleet's name; nothing without it is ever touched
LABEL_SPEC = f"{LABEL}.spec"  # digest of what a container was made from
LABEL_WORK = f"{LABEL}.work"  # converter, verifier: digest of everything the result depends on
LABEL_CONVERTER = f"{LABEL}.converter"  # infer: its converter's arguments as JSON, for the way back
MODELS_VOLUME = "jetsmith-models"
OUTPUT_VOLUME = "jetsmith-output"
FILES_FOLDER = ".fleet"  # in the models volume: what this program put there, named by digest


class Role(str, Enum):
    CONVERTER = "converter"
    INFER = "infer"


class Slot(str, Enum):
    """The containers of a device. A name can be given once, which makes creating one atomic."""

    CONVERTER = "jetsmith-converter"  # the last conversion; it stays, for its exit code and labels are the record
    VERIFIER = "jetsmith-verifier"  # the last proof, likewise
    PROBE = "jetsmith-probe"
    CURRENT = "jetsmith-infer"
    NEXT = "jetsmith-infer-next"
    PREVIOUS = "jetsmith-infer-previous"


def digest_of(value: object) -> str:
    """Of plain values; the order of keys does not count."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Device:
    """One line of the inventory, completed from its group and the defaults."""

    name: str
    address: str  # ssh://user@host:port, unix:///path or tcp://host:port
    preset: str  # of config/*.env
    tag: str
    config: Path  # the settings file; one model a device
    group: str = ""
    registry: str = ""  # empty: the images are streamed from this machine
    labels: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)  # JETSMITH_… over the preset's
    line: int = 0  # of the fleet file


@dataclass(frozen=True)
class Fleet:
    name: str
    devices: tuple[Device, ...]


@dataclass(frozen=True)
class Image:
    name: str  # registry/repository:tag
    digest: str  # sha256:… of its configuration, which is the same wherever the image is


@dataclass(frozen=True)
class File:
    """One file for the models volume; `path` holds the digest, so that a new one never overwrites one in use."""

    path: str  # in the volume: .fleet/<digest>/<name>
    digest: str
    source: Path  # here


@dataclass(frozen=True)
class Spec:
    """What a container is made from: keyword arguments of the Docker SDK's `containers.create`, all plain values."""

    role: Role
    arguments: Mapping[str, Any]

    @property
    def digest(self) -> str:
        return digest_of(dict(self.arguments))


@dataclass(frozen=True)
class Target:
    """What a device shall be, resolved to digests: comparing it with what is there needs no further knowledge."""

    device: Device
    images: Mapping[Role, Image]
    files: tuple[File, ...]
    specs: Mapping[Role, Spec]
    runtime: str = ""  # that Docker must know; empty: its own will do
    jetpack: int | None = None  # that the images are made for; None: no Jetson is meant

    @property
    def work(self) -> str:
        """Changes when, and only when, the converter has to be run again."""
        files = sorted((file.path, file.digest) for file in self.files)
        return digest_of([self.specs[Role.CONVERTER].digest, self.images[Role.CONVERTER].digest, files])

    @property
    def infer(self) -> str:
        """Changes when, and only when, the running service has to be replaced."""
        return digest_of([self.specs[Role.INFER].digest, self.images[Role.INFER].digest])

    def proof(self, engine: str) -> str:
        """Which engine (by digest) which image has loaded and tried on this device."""
        return digest_of([engine, self.images[Role.INFER].digest])


@dataclass(frozen=True)
class Container:
    """What Docker says of one container."""

    state: str  # created, running, restarting, exited, dead, paused
    image: str = ""  # digest
    health: str = ""  # starting, healthy, unhealthy; empty where the image has no check
    exit_code: int = 0
    created: str = ""  # UTC, ISO 8601, by the device's clock
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_running(self) -> bool:
        return self.state in ("running", "restarting")

    @property
    def is_healthy(self) -> bool:
        return self.state == "running" and self.health in ("healthy", "")

    @property
    def is_success(self) -> bool:
        return self.state == "exited" and self.exit_code == 0

    def label(self, name: str) -> str:
        return self.labels.get(name, "")


@dataclass(frozen=True)
class EngineFacts:
    """Of the engine that the alias points to, from its manifest."""

    identity: str
    sha256: str
    precision: str
    built: str  # UTC, ISO 8601
    agreement: str = ""  # what its verification said, in words


@dataclass(frozen=True)
class BoardFacts:
    """What only a container on the device can see."""

    l4t: str
    module: str
    free_disk_bytes: int
    free_memory_bytes: int


@dataclass(frozen=True)
class Holder:
    operator: str  # user@machine
    token: str  # of one run
    until: datetime  # by the device's clock

    def is_over(self, now: datetime) -> bool:
        return now >= self.until


@dataclass(frozen=True)
class Observed:
    """All that one look at a device told; nothing of it is remembered here."""

    error: str = ""  # why it could not be looked at; everything else is then empty
    hint: str = ""
    docker: str = ""  # version
    runtimes: tuple[str, ...] = ()
    clock_off_s: float = 0.0
    images: frozenset[str] = frozenset()  # digests
    files: Mapping[str, str] = field(default_factory=dict)  # path in the models volume -> digest
    containers: Mapping[Slot, Container] = field(default_factory=dict)
    engine: EngineFacts | None = None
    board: BoardFacts | None = None  # by a probe in this very look; None: no image is there to run it
    holder: Holder | None = None

    @property
    def is_reachable(self) -> bool:
        return not self.error


class StepKind(str, Enum):
    """In the order in which they are done, but that `restore` may come last as well."""

    RESTORE = "restore"  # the infer that ran before an interrupted change
    IMAGE = "image"
    PROBE = "probe"
    FILES = "files"
    STOP_INFER = "stop infer"  # only where the operator allows it
    CONVERT = "convert"
    VERIFY = "verify"
    START = "start"  # the new infer, beside the old one
    SWITCH = "switch"  # the old one stops, the new one must become healthy, the names change


@dataclass(frozen=True)
class Step:
    kind: StepKind
    reason: str
    detail: str = ""  # which image, which file: what `Target` names


@dataclass(frozen=True)
class Done:
    """One step as it went. Times are UTC, ISO 8601."""

    step: Step
    started: str
    ended: str
    error: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Outcome:
    device: Device
    done: tuple[Done, ...] = ()
    error: str = ""
    hint: str = ""
    skipped: str = ""  # why it was not begun
    observed: Observed | None = None  # at the end

    @property
    def is_good(self) -> bool:
        return not self.error and not self.skipped


class Watch(Protocol):
    """One step under way, seen from above."""

    def update(self, message: str, percent: float | None = None) -> None: ...

    def remaining_s(self) -> float:
        """
        Above zero. To be called before each request and at least every ten seconds: it keeps the lock, too.

        Raises:
            FleetError: the step's or the device's time is over, the run was stopped, or the lock was lost.
        """


class Host(Protocol):
    """
    One device. Every method may be called again after it, or the whole program, was ended at any point.

    Raises:
        FleetError: from every method but `observe` and `close`; no foreign error passes.
    """

    def observe(self, watch: Watch) -> Observed:
        """Look; nothing is changed. A device that cannot be reached is told in `error`."""

    def lock(self, holder: Holder, watch: Watch) -> None:
        """Take or prolong the device, or say who holds it."""

    def unlock(self, holder: Holder) -> None: ...

    def load_image(self, image: Image, watch: Watch) -> None: ...

    def probe(self, target: Target, watch: Watch) -> BoardFacts: ...

    def put_file(self, file: File, watch: Watch) -> None: ...

    def convert(self, target: Target, watch: Watch) -> None:
        """Begin it, or follow the one that is under way for the same `target.work`."""

    def verify(self, target: Target, watch: Watch) -> None:
        """Load and try the engine with the new image, in a container of its own."""

    def stop_infer(self, watch: Watch) -> None: ...

    def start_next(self, target: Target, watch: Watch) -> None:
        """Have `Slot.NEXT` running as `target` says; one that is otherwise is removed. The current one goes on."""

    def switch(self, target: Target, watch: Watch) -> None:
        """
        Stop the current infer; once the next one is healthy, give it the name. If it fails: `restore`, and raise.

        Where there is no next one, wait until the current one is healthy.
        """

    def restore(self, watch: Watch) -> None:
        """
        Have the current infer running and no next one, in this order.

        Where there is a next one alone, it takes the name.
        """

    def logs(self, slot: Slot, lines: int) -> str: ...

    def close(self) -> None: ...
