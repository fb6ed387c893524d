"""What a run is after on one device: which steps, and how each is done."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from app.errors import FleetError
from app.fleet.base import Device, Observed, Role, Step, StepKind, Target
from app.fleet.fitness import unfit
from app.fleet.host import Host, Watch
from app.fleet.plan import Plan, plan
from app.fleet.rollback import plan_back


class Course(Protocol):
    @property
    def device(self) -> Device: ...

    def plan(self, seen: Observed) -> Plan: ...

    def execute(self, host: Host, step: Step, watch: Watch) -> None: ...


@dataclass(frozen=True)
class Apply:
    """To what the fleet file says."""

    target: Target
    stop_infer: bool = False  # the running infer may be stopped before the conversion

    @property
    def device(self) -> Device:
        return self.target.device

    def plan(self, seen: Observed) -> Plan:
        return plan(self.target, seen, stop_infer=self.stop_infer)

    def execute(self, host: Host, step: Step, watch: Watch) -> None:
        """What the probe finds may be a reason to go no further."""
        _STEPS[step.kind](host, step, self.target, watch)


@dataclass(frozen=True)
class Back:
    """To the infer that ran before."""

    device: Device

    def plan(self, seen: Observed) -> Plan:
        return plan_back(seen)

    def execute(self, host: Host, step: Step, watch: Watch) -> None:
        steps = {StepKind.RESTORE: host.restore, StepKind.START: host.start_previous, StepKind.SWITCH: host.switch}
        steps[step.kind](watch)


@dataclass(frozen=True)
class Look:
    """Nowhere: it is only looked at."""

    device: Device

    def plan(self, seen: Observed) -> Plan:
        return Plan(error=seen.error, hint=seen.hint)

    def execute(self, host: Host, step: Step, watch: Watch) -> None:
        raise ValueError(step.kind)


def _image(host: Host, step: Step, target: Target, watch: Watch) -> None:
    host.load_image(target.images[Role(step.detail)], watch)


def _file(host: Host, step: Step, target: Target, watch: Watch) -> None:
    host.put_file(next(file for file in target.files if file.path == step.detail), watch)


def _probe(host: Host, step: Step, target: Target, watch: Watch) -> None:
    problem = unfit(target, Observed(runtimes=(target.runtime,), board=host.probe(target, watch)))
    if problem:
        raise FleetError(problem.what, hint=problem.remedy)


_STEPS: Mapping[StepKind, Callable[[Host, Step, Target, Watch], None]] = {
    StepKind.RESTORE: lambda host, step, target, watch: host.restore(watch),
    StepKind.IMAGE: _image,
    StepKind.PROBE: _probe,
    StepKind.FILES: _file,
    StepKind.STOP_INFER: lambda host, step, target, watch: host.stop_infer(watch),
    StepKind.CONVERT: lambda host, step, target, watch: host.convert(target, watch),
    StepKind.VERIFY: lambda host, step, target, watch: host.verify(target, watch),
    StepKind.START: lambda host, step, target, watch: host.start_next(target, watch),
    StepKind.SWITCH: lambda host, step, target, watch: host.switch(watch),
}
