"""What a fleet is, beside what it shall be: rows for people, plain values for programs. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app.board import jetpack_of
from app.device import UNKNOWN
from app.fleet.base import BoardFacts, Container, Device, EngineFacts, Observed, Role, Slot, Target
from app.fleet.plan import Plan
from app.fleet.report import duration, shown

FORMAT = 1
HEADS = ("device", "state", "module", "free", "image", "engine", "infer", "drift")
_GIB = 1 << 30
_SHORT = 12


@dataclass(frozen=True)
class DeviceStatus:
    """
    Args:
        target: what it shall be; None where this machine cannot tell, for the reason in `unknown`, with its `remedy`.
        plan: what `apply` would do; None likewise.
    """

    device: Device
    seen: Observed
    target: Target | None = None
    plan: Plan | None = None
    unknown: str = ""
    remedy: str = ""

    @property
    def is_good(self) -> bool:
        """It answers, and its infer does its work; whether it is the newest is another question."""
        current = self.seen.containers.get(Slot.CURRENT)
        return self.seen.is_reachable and current is not None and current.is_healthy

    @property
    def drift(self) -> str:
        if self.plan is None:
            return f"unknown: {self.unknown}"
        if self.plan.error:
            return self.plan.error
        return ", ".join(dict.fromkeys(step.kind.value for step in self.plan.steps)) or "none"


def holder_of(seen: Observed, now: datetime) -> str:
    """Who works on it; `now` is this machine's, the lock's end is by the device's clock."""
    holder = seen.holder
    is_held = holder is not None and not holder.is_over(now + timedelta(seconds=seen.clock_off_s))
    return holder.operator if holder is not None and is_held else ""


def row(status: DeviceStatus, now: datetime) -> tuple[str, ...]:
    """One row of the table, as `HEADS`."""
    seen = status.seen
    if not seen.is_reachable:
        return status.device.name, "unreachable", "", "", "", "", "", shown(f"{seen.error}. {seen.hint}")
    operator = holder_of(seen, now)
    cells = (
        f"held by {operator}" if operator else "reachable",
        _module(seen.board),
        _free(seen.board),
        _image(status),
        _engine(seen.engine, now),
        _infer(seen.containers.get(Slot.CURRENT)),
        status.drift,
    )
    return status.device.name, *map(shown, cells)


def _module(board: BoardFacts | None) -> str:
    if board is None:
        return "unknown"
    jetpack = jetpack_of(board.l4t)
    releases = () if jetpack == UNKNOWN else (f"JetPack {jetpack}", f"L4T {board.l4t}")
    return ", ".join((board.module or "no Jetson", *releases))


def _free(board: BoardFacts | None) -> str:
    if board is None:
        return "unknown"
    return f"{board.free_memory_bytes / _GIB:.1f} GiB, disk {board.free_disk_bytes / _GIB:.0f} GiB"


def _image(status: DeviceStatus) -> str:
    current = status.seen.containers.get(Slot.CURRENT)
    if current is None:
        return "none"
    wanted = status.target.images[Role.INFER] if status.target else None
    if wanted is not None and wanted.digest == current.image:
        return wanted.name
    return current.image.removeprefix("sha256:")[:_SHORT] or "unknown"


def _engine(engine: EngineFacts | None, now: datetime) -> str:
    if engine is None:
        return "none"
    age = duration(max(0.0, (now - datetime.fromisoformat(engine.built)).total_seconds()))
    tried = engine.agreement or "not verified"
    return f"{engine.precision}, {engine.identity[:_SHORT]}, {age} old, {tried}"


def _infer(current: Container | None) -> str:
    if current is None:
        return "none"
    return current.health or current.state if current.state == "running" else current.state


def as_json(statuses: Iterable[DeviceStatus], *, fleet: str, now: datetime) -> dict[str, Any]:
    return {"format": FORMAT, "fleet": fleet, "devices": [_device(status, now) for status in statuses]}


def _device(status: DeviceStatus, now: datetime) -> dict[str, Any]:
    device, seen = status.device, status.seen
    return {
        "name": device.name,
        "address": device.address,
        "group": device.group or None,
        "labels": dict(device.labels),
        "is_good": status.is_good,
        "reachable": seen.is_reachable,
        "error": seen.error or None,
        "hint": seen.hint or None,
        "docker": seen.docker or None,
        "clock_off_s": seen.clock_off_s,
        "held_by": holder_of(seen, now) or None,
        "board": _board(seen.board),
        "engine": _engine_values(seen.engine, now),
        "infer": _container(seen.containers.get(Slot.CURRENT)),
        "previous": _container(seen.containers.get(Slot.PREVIOUS)),
        "drift": _drift(status),
    }


def _board(board: BoardFacts | None) -> Mapping[str, Any] | None:
    if board is None:
        return None
    return {
        "module": board.module or None,
        "l4t": board.l4t or None,
        "jetpack": None if (jetpack := jetpack_of(board.l4t)) == UNKNOWN else jetpack,
        "free_memory_bytes": board.free_memory_bytes,
        "free_disk_bytes": board.free_disk_bytes,
    }


def _engine_values(engine: EngineFacts | None, now: datetime) -> Mapping[str, Any] | None:
    if engine is None:
        return None
    return {
        "identity": engine.identity,
        "sha256": engine.sha256,
        "precision": engine.precision,
        "built": engine.built,
        "age_s": (now - datetime.fromisoformat(engine.built)).total_seconds(),
        "verification": engine.agreement or None,
    }


def _container(found: Container | None) -> Mapping[str, Any] | None:
    if found is None:
        return None
    return {
        "state": found.state,
        "health": found.health or None,
        "image": found.image,
        "created": found.created,
        "exit_code": found.exit_code,
    }


def _drift(status: DeviceStatus) -> Mapping[str, Any]:
    plan = status.plan
    if plan is None:
        return {"known": False, "error": status.unknown, "steps": []}
    return {"known": True, "error": plan.error or None, "steps": [step.kind.value for step in plan.steps]}
