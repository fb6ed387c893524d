"""
The nouns of the fleet.

Nothing here imports Docker. What is kept where on a device, and how an interrupted run goes on: README.md beside this.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any

LABEL = "jetsmith.fleet"  # = the fleet's name; nothing without it is ever touched
LABEL_SPEC = f"{LABEL}.spec"  # digest of what a container was made from
LABEL_WORK = f"{LABEL}.work"  # converter, verifier: digest of everything the result depends on
MODELS_VOLUME = "jetsmith-models"
OUTPUT_VOLUME = "jetsmith-output"
LONGEST_LEASE = timedelta(hours=1)
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
    digest: str  # sha256:…, as the operator's Docker calls it

    @property
    def on_device(self) -> str:
        """The name it has on every device; containers are made by it, for ids differ between Docker's two stores."""
        repository = self.name.rpartition("/")[2].partition("@")[0].partition(":")[0]
        return f"jetsmith-fleet/{repository}:{self.digest.rpartition(':')[2]}"


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
        """Not of the image's name and the labels: another tag, registry or fleet is no reason to do anything anew."""
        return digest_of({key: value for key, value in self.arguments.items() if key not in ("image", "labels")})


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
    """
    Of the engine of the last conversion, from its manifest.

    The alias is in `Slot.CONVERTER`'s environment (`service.ENGINE_VARIABLE`): each version of a device has its own.
    """

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
        """A lease is of minutes: one that ends much later was made by a clock that was wrong."""
        return now >= self.until or self.until - now > LONGEST_LEASE


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
