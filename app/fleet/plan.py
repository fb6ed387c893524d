"""
What is to be done on one device: pure, from what it shall be and what was seen there.

A plan is made anew after every interruption, so each step is named by what is missing, never by what was done before.
The table of states is in README.md beside this.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from app.fleet.base import LABEL_SPEC, LABEL_WORK, Container, Observed, Role, Slot, Step, StepKind, Target
from app.fleet.fitness import unfit

DEADLINES: Mapping[StepKind, float] = {  # seconds
    StepKind.RESTORE: 120,
    StepKind.IMAGE: 3600,  # several gigabytes over a site's uplink
    StepKind.PROBE: 120,
    StepKind.FILES: 900,
    StepKind.STOP_INFER: 120,
    StepKind.CONVERT: 3 * 3600,  # INT8 on a small board
    StepKind.VERIFY: 600,
    StepKind.START: 120,
    StepKind.SWITCH: 300,
}


@dataclass(frozen=True)
class Plan:
    steps: tuple[Step, ...] = ()
    error: str = ""  # why nothing can be done; there are no steps then
    hint: str = ""

    @property
    def is_done(self) -> bool:
        return not self.steps and not self.error


def plan(target: Target, seen: Observed, *, stop_infer: bool = False) -> Plan:
    """
    What brings a device from what was seen to the target.

    Args:
        stop_infer: the running infer may be stopped before the conversion.
    """
    problem = unfit(target, seen)
    if problem:
        return Plan(error=problem.what, hint=problem.remedy)
    making = [*_convert(target, seen), *_verify(target, seen)]
    stays_off = stop_infer and bool(making)
    restoring = _restore(target, seen, stays_off=stays_off)
    settled = _after_restore(seen) if restoring else seen
    stopping = [Step(StepKind.STOP_INFER, "--stop-infer: no infer runs beside the conversion")] if stays_off else []
    if not _running(settled):
        stopping = []
    steps = [
        *restoring,
        *_images(target, seen),
        *_files(target, seen),
        *stopping,
        *making,
        *_infer(target, settled, stopped=stays_off),
    ]
    if steps and seen.board is None:
        steps.insert(
            len(restoring) + sum(step.kind is StepKind.IMAGE for step in steps),
            Step(StepKind.PROBE, "L4T, module, free disk and memory are not known yet"),
        )
    return Plan(tuple(steps))


def _images(target: Target, seen: Observed) -> Iterator[Step]:
    way = f"pulled from {target.device.registry}" if target.device.registry else "sent from this machine"
    for role in Role:
        image = target.images[role]
        if image.digest not in seen.images:
            yield Step(StepKind.IMAGE, f"{image.name} is not there: it is {way}", role.value)


def _files(target: Target, seen: Observed) -> Iterator[Step]:
    for file in target.files:
        found = seen.files.get(file.path)
        if found != file.digest:
            why = "is not there" if found is None else "is only half there"
            yield Step(StepKind.FILES, f"{file.source.name} {why}", file.path)


def _convert(target: Target, seen: Observed) -> Iterator[Step]:
    last = seen.containers.get(Slot.CONVERTER)
    if last is None:
        reason = "no conversion was recorded"
    elif last.label(LABEL_WORK) != target.work:
        reason = "the image, the settings or the weights are others than those of the last conversion"
    elif last.is_running:
        reason = "the conversion is under way: it is followed"
    elif not last.is_success:
        reason = f"the last conversion ended with {last.exit_code}" if last.state == "exited" else "it was not begun"
    elif seen.engine is None:
        reason = "the engine is gone"
    else:
        return
    yield Step(StepKind.CONVERT, reason)


def _verify(target: Target, seen: Observed) -> Iterator[Step]:
    proof = seen.containers.get(Slot.VERIFIER)
    if any(_convert(target, seen)) or seen.engine is None:
        yield Step(StepKind.VERIFY, "the new engine is tried on the device")
    elif proof is None or proof.label(LABEL_WORK) != target.proof(seen.engine.sha256):
        yield Step(StepKind.VERIFY, "this engine was not tried with this image")
    elif not proof.is_success:
        yield Step(StepKind.VERIFY, "the engine was tried, and no success was recorded")


def _restore(target: Target, seen: Observed, *, stays_off: bool) -> list[Step]:
    """Bring order into what an interrupted change left; the wanted next infer is none of that."""
    current, after = seen.containers.get(Slot.CURRENT), seen.containers.get(Slot.NEXT)
    reason = ""
    if current is None:
        reason = "a change was interrupted between two names" if after else ""
    elif after is not None:
        is_wanted = _is(after, target) and not (_is(current, target) and current.is_healthy)
        reason = "" if is_wanted else "an interrupted change left an infer that is not wanted"
    elif not current.is_running and not stays_off:
        reason = "infer is stopped"
    return [Step(StepKind.RESTORE, reason)] if reason else []


def _after_restore(seen: Observed) -> Observed:
    """What a device looks like then: one infer under its own name, about to be healthy."""
    containers = dict(seen.containers)
    after = containers.pop(Slot.NEXT, None)
    current = containers.get(Slot.CURRENT, after)
    if current is not None:
        containers[Slot.CURRENT] = replace(current, state="running", health="")
    return replace(seen, containers=containers)


def _infer(target: Target, seen: Observed, *, stopped: bool) -> Iterator[Step]:
    current, after = seen.containers.get(Slot.CURRENT), seen.containers.get(Slot.NEXT)
    if after is not None and _is(after, target):
        reason = "the change that was begun goes on"
    elif current is None:
        reason = "no infer is there"
    elif not _is(current, target):
        reason = "the image, the settings or the container's own are others than those of the running infer"
    elif stopped:
        yield Step(StepKind.RESTORE, "infer was stopped for the conversion")
        return
    elif current.health == "unhealthy" or not current.is_running:
        reason = f"infer is {current.health or current.state}"
    elif current.health == "starting":
        yield Step(StepKind.SWITCH, "infer is starting: it is waited for")
        return
    else:
        return
    yield Step(StepKind.START, reason)
    yield Step(StepKind.SWITCH, "once the new infer is healthy, it takes the place of the old one")


def _running(seen: Observed) -> bool:
    return any(c.is_running for slot in (Slot.CURRENT, Slot.NEXT) if (c := seen.containers.get(slot)))


def _is(container: Container, target: Target) -> bool:
    return container.label(LABEL_SPEC) == target.infer
