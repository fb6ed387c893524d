"""What the checks judge: plain values, so that a test can make up any machine."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from pathlib import Path

from app.device import Device
from app.power import Clocks, Power


class State(Enum):
    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True)
class Finding:
    """One line of the answer; whatever is not good says in `fix` what to do."""

    check: str
    state: State
    message: str
    fix: str = ""


@dataclass(frozen=True)
class Library:
    """How a Python package does when it is imported in a process of its own."""

    installed: bool
    version: str = ""
    error: str = ""  # of the import; empty if it went well
    hint: str = ""
    serves: tuple[str, ...] = ()  # the GPUs that it names: "SM86"; few libraries do

    @property
    def works(self) -> bool:
        return self.installed and not self.error


ABSENT = Library(installed=False)


@dataclass(frozen=True)
class Docker:
    installed: bool
    toolkit: bool  # NVIDIA's container runtime is installed
    runtimes: tuple[str, ...] = ()  # that daemon.json registers
    problem: str = ""  # with daemon.json
    is_broken: bool = False  # the problem keeps Docker from starting, not just us from reading


@dataclass(frozen=True)
class Container:
    """The container that this process runs in."""

    host_l4t: str  # "unknown" where the host's file is not mounted
    image_l4t: str  # what the image was made for: "36.4"


@dataclass(frozen=True)
class Store:
    path: Path
    free_bytes: int | None
    problem: str = ""  # why nothing can be written there


@dataclass(frozen=True)
class Weights:
    path: Path
    is_there: bool
    file: str = ""  # what would be downloaded; empty: nothing can be
    address: str = ""  # without anything secret
    status: int | None = None  # what the server answered; None: nothing
    problem: str = ""  # why not


@dataclass(frozen=True)
class Facts:
    device: Device
    power: Power
    clocks: Clocks
    python: tuple[int, int]
    now: datetime
    docker: Docker
    dla_cores: int | None = None  # None: unknown
    container: Container | None = None  # None: not in one
    gpu_files: bool = False  # the kernel shows an NVIDIA GPU, whether or not CUDA does
    libraries: Mapping[str, Library] = field(default_factory=dict)
    memory_bytes: int | None = None  # that a new process can have: RAM and swap
    settings_problem: str = ""
    settings_hint: str = ""
    store: Store | None = None  # None: the settings, which name it, cannot be read
    weights: Weights | None = None
    role: str = ""  # "convert" or "infer": what this installation is for, where that is told

    def library(self, name: str) -> Library:
        return self.libraries.get(name, ABSENT)
