"""All checks, in the order in which people should read them."""

from collections.abc import Callable, Iterable

from app.doctor import device_checks, library_checks, project_checks
from app.doctor.facts import Facts, Finding, State

CHECKS: tuple[Callable[[Facts], Finding], ...] = (
    device_checks.board,
    device_checks.l4t,
    device_checks.gpu,
    device_checks.power,
    device_checks.container_runtime,
    library_checks.python,
    library_checks.numpy,
    library_checks.tensorrt,
    library_checks.gpu_support,
    library_checks.pycuda,
    library_checks.onnxruntime,
    library_checks.opencv,
    library_checks.converter,
    project_checks.settings,
    project_checks.store,
    project_checks.disk,
    project_checks.memory,
    project_checks.weights,
    project_checks.clock,
)


def diagnose(facts: Facts) -> list[Finding]:
    return [check(facts) for check in CHECKS]


def is_well(findings: Iterable[Finding]) -> bool:
    return all(finding.state is not State.BAD for finding in findings)
