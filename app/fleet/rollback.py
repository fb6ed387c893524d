"""
The way back to the infer that ran before: pure.

Which of two infers is the older one tells which way a device was going, so nothing has to be remembered: an infer that
`apply` made is younger than the one it replaces. Done twice it changes nothing more.
"""

from app.fleet.base import Container, Observed, Slot, Step, StepKind
from app.fleet.plan import Plan

_SWITCH = "once the infer that ran before is healthy, it takes the place of the present one"


def plan_back(seen: Observed) -> Plan:
    """What brings a device back to the infer that ran before."""
    if not seen.is_reachable:
        return Plan(error=seen.error, hint=seen.hint)
    current, before, after = (seen.containers.get(slot) for slot in (Slot.CURRENT, Slot.PREVIOUS, Slot.NEXT))
    if after is not None and (current or before):
        return _after_interruption(current, before, after)
    if before is None:
        return Plan(
            error="there is no way back: no other infer ran on it before",
            hint="Put the older settings, weights or image tag into the fleet file, and apply that.",
        )
    if current is not None and _is_older(current, before):
        restoring = [] if current.is_running else [Step(StepKind.RESTORE, "infer is stopped")]
        return Plan(tuple(restoring))
    return Plan(_there("back to the infer that ran before"))


def _after_interruption(current: Container | None, before: Container | None, after: Container) -> Plan:
    if current is None and before is not None and not _is_older(after, before):
        named = Step(StepKind.RESTORE, "a change was interrupted between two names")
        return Plan((named, *_there("back to the infer that ran before")))
    if current is None:
        return Plan((Step(StepKind.RESTORE, "a way back was interrupted between two names"),))
    if _is_older(after, current):
        return Plan(_there("the way back that was begun goes on"))
    return Plan((Step(StepKind.RESTORE, "a change was interrupted: what ran before it stays"),))


def _there(reason: str) -> tuple[Step, ...]:
    return Step(StepKind.START, reason), Step(StepKind.SWITCH, _SWITCH)


def _is_older(one: Container, other: Container) -> bool:
    """Docker's clock, ISO 8601 in UTC: the text has the order of time."""
    return one.created < other.created
