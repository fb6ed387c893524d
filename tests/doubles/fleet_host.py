"""
A device in memory, which speaks the protocol of `app.fleet.host.Host`.

What Docker does at once is one `_at_once`; between two of them the program may be killed, and the device stays so.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path

from app.errors import FleetError
from app.fleet.base import (
    LABEL_SPEC,
    LABEL_WORK,
    BoardFacts,
    Container,
    Device,
    EngineFacts,
    File,
    Holder,
    Image,
    Observed,
    Role,
    Slot,
    Spec,
    StepKind,
    Target,
)
from app.fleet.host import Watch

BOARD = BoardFacts("36.4.3", "Jetson Orin Nano 8GB", 40 << 30, 6 << 30)


class Killed(BaseException):
    """As SIGKILL: nothing is cleaned up."""


def target(version: str = "1", *, name: str = "d") -> Target:
    """What a device shall be; another version has other images, settings and weights."""
    device = Device(name, f"ssh://{name}", "jetpack6", "jetpack6", Path("config/config.yaml"))
    files = tuple(File(f".fleet/{version}/{what}", f"{what}-{version}", Path(what)) for what in ("c.yaml", "w.pt"))
    specs = {role: Spec(role, {"image": role.value, "environment": {"V": version}}) for role in Role}
    images = {role: Image(f"jetsmith-{role.value}:{version}", f"sha256:{role.value}-{version}") for role in Role}
    return Target(device, images, files, specs, runtime="nvidia", jetpack=6)


@dataclass
class World:
    """The state of one device, and how many things may still be done on it before the program is killed."""

    seen: Observed = field(default_factory=lambda: Observed(runtimes=("nvidia", "runc"), docker="27.5"))
    left: int | None = None
    fails: dict[StepKind, str] = field(default_factory=dict)
    unhealthy: set[str] = field(default_factory=set)  # specs whose infer never becomes healthy
    ticks: int = 0  # its clock
    had_infer: bool = False
    dark: list[str] = field(default_factory=list)  # what was done when no infer ran any more
    done: list[str] = field(default_factory=list)


class FakeHost:
    def __init__(self, world: World, sleep: Callable[[str], None] = lambda what: None) -> None:
        self.world = world
        self._sleep = sleep

    def observe(self, watch: Watch) -> Observed:
        self._sleep("observe")
        return replace(self.world.seen, board=BOARD if self.world.seen.images else None)

    def lock(self, holder: Holder, watch: Watch) -> None:
        held = self.world.seen.holder
        if held and held.token != holder.token and not held.is_over(datetime.now(timezone.utc)):
            raise FleetError(f"{held.operator} works on this device", hint="Wait, or ask.")
        self.world.seen = replace(self.world.seen, holder=holder)

    def unlock(self, holder: Holder) -> None:
        held = self.world.seen.holder
        if held and held.token == holder.token:
            self.world.seen = replace(self.world.seen, holder=None)

    def load_image(self, image: Image, watch: Watch) -> None:
        self._begin(StepKind.IMAGE)
        self._at_once(f"image {image.name}", images=self.world.seen.images | {image.digest})

    def probe(self, target: Target, watch: Watch) -> BoardFacts:
        self._begin(StepKind.PROBE)
        return BOARD

    def put_file(self, file: File, watch: Watch) -> None:
        self._begin(StepKind.FILES)
        self._at_once(f"half of {file.path}", files={**self.world.seen.files, file.path: "half"})
        self._at_once(f"{file.path}", files={**self.world.seen.files, file.path: file.digest})

    def convert(self, target: Target, watch: Watch) -> None:
        last = self._get(Slot.CONVERTER)
        work = {LABEL_WORK: target.work}
        if last is None or not (last.is_running and last.labels == work):
            self._put(Slot.CONVERTER, None)
            self._put(Slot.CONVERTER, Container("created", labels=work))
            self._put(Slot.CONVERTER, Container("running", labels=work))
        if StepKind.CONVERT in self.world.fails:
            self._put(Slot.CONVERTER, Container("exited", exit_code=1, labels=work))
        self._begin(StepKind.CONVERT)
        self._at_once("engine", engine=EngineFacts("id", f"engine-{target.work}", "FP16", "2026-01-01T00:00:00+00:00"))
        self._put(Slot.CONVERTER, Container("exited", labels=work))

    def verify(self, target: Target, watch: Watch) -> None:
        engine = self.world.seen.engine
        assert engine is not None
        proof = {LABEL_WORK: target.proof(engine.sha256)}
        self._put(Slot.VERIFIER, None)
        self._put(Slot.VERIFIER, Container("running", labels=proof))
        self._begin(StepKind.VERIFY)
        self._put(Slot.VERIFIER, Container("exited", labels=proof))

    def stop_infer(self, watch: Watch) -> None:
        self._begin(StepKind.STOP_INFER)
        for slot in (Slot.CURRENT, Slot.NEXT):
            self._state(slot, "exited")

    def start_next(self, target: Target, watch: Watch) -> None:
        self._begin(StepKind.START)
        after = self._get(Slot.NEXT)
        if after is not None and after.label(LABEL_SPEC) != target.infer:
            self._put(Slot.NEXT, None)
            after = None
        if after is None:
            self._put(Slot.NEXT, Container("created", created=self._clock(), labels={LABEL_SPEC: target.infer}))
        self._state(Slot.NEXT, "running")

    def start_previous(self, watch: Watch) -> None:
        self._begin(StepKind.START)
        if self._get(Slot.NEXT) is None:
            self._rename(Slot.PREVIOUS, Slot.NEXT)
        self._state(Slot.NEXT, "running")

    def switch(self, watch: Watch) -> None:
        self._begin(StepKind.SWITCH)
        after = self._get(Slot.NEXT)
        if after is None:
            self._state(Slot.CURRENT, "running", "healthy")
            return
        self._state(Slot.CURRENT, "exited")
        if after.label(LABEL_SPEC) in self.world.unhealthy:
            self._state(Slot.NEXT, "running", "unhealthy")
            raise FleetError("the new infer is unhealthy", hint="Look at its logs.")
        self._state(Slot.NEXT, "running", "healthy")
        if self._get(Slot.CURRENT) is not None:
            self._put(Slot.PREVIOUS, None)
            self._rename(Slot.CURRENT, Slot.PREVIOUS)
        self._rename(Slot.NEXT, Slot.CURRENT)

    def restore(self, watch: Watch) -> None:
        self._begin(StepKind.RESTORE)
        if self._get(Slot.CURRENT) is None:
            self._rename(Slot.NEXT, Slot.CURRENT)
        self._state(Slot.CURRENT, "running", "healthy")
        current, after = self._get(Slot.CURRENT), self._get(Slot.NEXT)
        if current and after and after.created < current.created and self._get(Slot.PREVIOUS) is None:
            self._state(Slot.NEXT, "exited")
            self._rename(Slot.NEXT, Slot.PREVIOUS)
        self._put(Slot.NEXT, None)

    def logs(self, slot: Slot, lines: int) -> str:
        return ""

    def close(self) -> None:
        return None

    def _clock(self) -> str:
        self.world.ticks += 1
        return f"2026-01-01T00:00:{self.world.ticks:02}Z"

    def _begin(self, kind: StepKind) -> None:
        self._sleep(kind.value)
        if kind in self.world.fails:
            raise FleetError(self.world.fails[kind], hint="Mend it.")

    def _get(self, slot: Slot) -> Container | None:
        return self.world.seen.containers.get(slot)

    def _put(self, slot: Slot, container: Container | None) -> None:
        if container is None and self._get(slot) is None:
            return
        others = {name: one for name, one in self.world.seen.containers.items() if name is not slot}
        self._at_once(f"{slot.value}: {container}", containers=others | ({slot: container} if container else {}))

    def _state(self, slot: Slot, state: str, health: str = "starting") -> None:
        found = self._get(slot)
        if found is not None and (found.state != state or (state == "running" and health == "healthy")):
            self._put(slot, replace(found, state=state, health=health if state == "running" else ""))

    def _rename(self, slot: Slot, to: Slot) -> None:
        assert self._get(to) is None, f"{to} is taken"
        others = {name: one for name, one in self.world.seen.containers.items() if name is not slot}
        self._at_once(f"{slot.value} → {to.value}", containers={**others, to: self.world.seen.containers[slot]})

    def _at_once(self, what: str, **changed: object) -> None:
        if self.world.left == 0:
            raise Killed
        if self.world.left is not None:
            self.world.left -= 1
        self.world.seen = replace(self.world.seen, **changed)  # type: ignore[arg-type]
        self.world.done.append(what)
        runs = any(one.is_running for slot in (Slot.CURRENT, Slot.NEXT) if (one := self._get(slot)))
        self.world.had_infer |= runs
        if self.world.had_infer and not runs:
            self.world.dark.append(what)
