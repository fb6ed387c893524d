"""How a run went, as plain values, lines and JSON; the page for people is made in `page`. Pure: who calls writes it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.board import jetpack_of
from app.device import UNKNOWN
from app.fleet.base import Done, EngineFacts, Observed, Outcome, Slot
from app.fleet.plan import Plan
from app.text import masked, printable

FORMAT = 1
_SHORT = 12  # characters of a digest, enough to tell two apart


@dataclass(frozen=True)
class Report:
    """One run over the fleet. Times are UTC, ISO 8601."""

    fleet: str
    verb: str  # apply, rollback
    started: str
    ended: str
    version: str  # of jetsmith
    outcomes: tuple[Outcome, ...]
    interrupted: int | None = None  # by a signal: what a shell says of a process that it ended

    @property
    def exit_code(self) -> int:
        """0 all are good, 3 some are, 1 none is; where a signal stopped it, that of the signal."""
        if self.interrupted is not None:
            return self.interrupted
        good = sum(outcome.is_good for outcome in self.outcomes)
        return 0 if good == len(self.outcomes) else 3 if good else 1

    @property
    def summary(self) -> str:
        states = [state_of(outcome) for outcome in self.outcomes]
        counted = [f"{states.count(state)} {state}" for state in ("done", "unchanged", "failed", "skipped")]
        took = duration(seconds_between(self.started, self.ended))
        noun = "device" if len(states) == 1 else "devices"
        parts = [part for part in counted if not part.startswith("0 ")]
        if self.interrupted is not None:
            parts.append("interrupted")
        return f"{len(states)} {noun} in {took}: " + ", ".join(parts)


def state_of(outcome: Outcome) -> str:
    if outcome.skipped:
        return "skipped"
    if outcome.error:
        return "failed"
    return "done" if outcome.done else "unchanged"


def shown(text: str) -> str:
    """Fit to be shown: devices, images and other programs have written into it."""
    return printable(masked(text))


def seconds_between(started: str, ended: str) -> float:
    return max(0.0, (datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds())


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def as_lines(report: Report) -> Iterator[str]:
    """One line a device, an error with its remedy below it, the summary last."""
    for outcome in report.outcomes:
        yield f"{outcome.device.name}: {state_of(outcome)}{_why(outcome)}"
        if outcome.hint:
            yield f"  {shown(outcome.hint)}"
    yield shown(report.summary)


def _why(outcome: Outcome) -> str:
    why = outcome.skipped or outcome.error
    return f": {shown(why)}" if why else ""


def line_of(name: str, done: Done) -> str:
    """For the log, when a step is over."""
    end = f"failed: {done.error}" if done.error else "done"
    return shown(
        f"{done.ended} {name} {done.step.kind.value} {end} ({duration(seconds_between(done.started, done.ended))})"
    )


def plan_rows(plans: Sequence[tuple[str, Plan]]) -> list[tuple[str, str, str]]:
    """Device, step, reason."""
    rows: list[tuple[str, str, str]] = []
    for name, plan in plans:
        if plan.error:
            rows.append((name, "cannot be served", shown(f"{plan.error}. {plan.hint}".strip())))
        rows += [(name, step.kind.value, shown(step.reason)) for step in plan.steps]
        if plan.is_done:
            rows.append((name, "nothing", "it is as it shall be"))
    return rows


def plan_json(plans: Sequence[tuple[str, Plan]]) -> list[dict[str, Any]]:
    return [
        {
            "device": name,
            "steps": [{"step": s.kind.value, "reason": masked(s.reason), "detail": s.detail} for s in plan.steps],
            "error": masked(plan.error) or None,
            "hint": masked(plan.hint) or None,
        }
        for name, plan in plans
    ]


def as_json(report: Report) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "fleet": report.fleet,
        "verb": report.verb,
        "started": report.started,
        "ended": report.ended,
        "jetsmith": report.version,
        "exit_code": report.exit_code,
        "summary": report.summary,
        "devices": [_device(outcome) for outcome in report.outcomes],
    }


def _device(outcome: Outcome) -> dict[str, Any]:
    device = outcome.device
    return {
        "name": device.name,
        "address": device.address,
        "group": device.group or None,
        "labels": dict(device.labels),
        "state": state_of(outcome),
        "error": masked(outcome.error) or None,
        "hint": masked(outcome.hint) or None,
        "skipped": outcome.skipped or None,
        "steps": [_step(done) for done in outcome.done],
        "versions": versions(outcome.observed),
    }


def _step(done: Done) -> dict[str, Any]:
    return {
        "step": done.step.kind.value,
        "reason": masked(done.step.reason),
        "started": done.started,
        "ended": done.ended,
        "seconds": seconds_between(done.started, done.ended),
        "error": masked(done.error) or None,
        "hint": masked(done.hint) or None,
    }


def versions(seen: Observed | None) -> dict[str, str]:
    """What a device told of itself at the end; what it did not tell is left out."""
    if seen is None:
        return {}
    board = seen.board
    told = {
        "Docker": seen.docker,
        "module": board.module if board else "",
        "L4T": board.l4t if board else "",
        "JetPack": jetpack_of(board.l4t) if board else "",
        "engine": _engine(seen.engine),
        "infer": _infer(seen),
    }
    return {name: value for name, value in told.items() if value and value != UNKNOWN}


def _engine(engine: EngineFacts | None) -> str:
    if engine is None:
        return ""
    built = engine.built.partition(".")[0].replace("T", " ").partition("+")[0]
    parts = (f"{engine.precision}, {engine.identity[:_SHORT]}", f"built {built} UTC", engine.agreement)
    return ", ".join(part for part in parts if part)


def _infer(seen: Observed) -> str:
    current = seen.containers.get(Slot.CURRENT)
    if current is None:
        return ""
    state, image = current.health or current.state, current.image.removeprefix("sha256:")[:_SHORT]
    return f"{state}, image {image}" if image else state
