"""`jetsmith fleet`."""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app import __version__
from app.cli.fleet_hosts import opener, operator, require_docker, resolve_image
from app.cli.fleet_report import report_folder, write_report
from app.cli.fleet_shown import showing
from app.cli.fleet_targets import Targets
from app.cli.settings import own_file
from app.cli.show import shown as shown_path
from app.cli.soft_stop import SoftStop
from app.errors import FleetError, JetsmithError, SettingsError
from app.fleet import report as reports
from app.fleet import status as statuses
from app.fleet.base import Device, Fleet, Observed, Outcome, Slot, Target
from app.fleet.choose import choose
from app.fleet.course import Apply, Back, Look
from app.fleet.device_run import LOOK_S, Job
from app.fleet.donors import Donors
from app.fleet.host import Host
from app.fleet.plan import Plan
from app.fleet.report import Report
from app.fleet.rollback import plan_back
from app.fleet.rollout import Options, Rollout
from app.fleet.status import DeviceStatus
from app.text import masked, printable
from config.fleet import load_fleet
from config.settings import PROJECT_ROOT

if TYPE_CHECKING:
    from rich.table import Table

_LOOKS_AT_ONCE = 32
_SOME_FAILED, _NONE = 3, 1
_PIPE_COLUMNS = 1000  # one line a row, for grep


def plan_command(args: argparse.Namespace) -> int:
    fleet, devices = _chosen(args)
    looked = _looked(fleet, devices, stop_infer=args.stop_infer)
    return _show_plans(args, fleet, [(status.device.name, _plan_of(status)) for status in looked])


def apply_command(args: argparse.Namespace) -> int:
    fleet, devices = _chosen(args)
    targets = Targets(fleet.name, resolve_image)
    donors = Donors() if args.share_engines else None
    return _roll_out(args, fleet, "apply", [_apply_job(fleet, device, targets, args, donors) for device in devices])


def rollback_command(args: argparse.Namespace) -> int:
    fleet, devices = _chosen(args)
    if args.dry_run:
        seen = zip(devices, _observed(fleet, devices, {}), strict=True)
        return _show_plans(args, fleet, [(device.name, plan_back(one)) for device, one in seen])
    return _roll_out(
        args, fleet, "rollback", [Job(Back(device), opener(device, fleet.name, None)) for device in devices]
    )


def status_command(args: argparse.Namespace) -> int:
    fleet, devices = _chosen(args)
    looked, now = _looked(fleet, devices), datetime.now(timezone.utc)
    if args.json:
        print(json.dumps(statuses.as_json(looked, fleet=fleet.name, now=now), indent=1))
    else:
        from app.fleet.table import status_table

        _print_table(status_table(looked, now))
    return _code(status.is_good for status in looked)


def logs_command(args: argparse.Namespace) -> int:
    fleet, found = _fleet(args)
    named = [device for device in found if device.name == args.name]
    if not named:
        choose(found, [args.name])  # says what was meant
        raise FleetError(f"{args.name} is more than one device", hint="Name one: the logs of one device are shown.")
    host = opener(named[0], fleet.name, None)()
    try:
        said = printable(masked(host.logs(_SLOTS[args.of], args.lines)), keep="\n\t").rstrip("\n")
    finally:
        host.close()
    if not said:
        raise FleetError(
            f"{_SLOTS[args.of].value} is not on {args.name}, or has said nothing yet",
            hint=f"What is there: jetsmith fleet status {args.name}",
        )
    print(said)
    return 0


_SLOTS = {
    "infer": Slot.CURRENT,
    "next": Slot.NEXT,
    "previous": Slot.PREVIOUS,
    "converter": Slot.CONVERTER,
    "verifier": Slot.VERIFIER,
}


def _fleet(args: argparse.Namespace) -> tuple[Fleet, Sequence[Device]]:
    require_docker()
    usual = PROJECT_ROOT / "config" / "fleet.yaml"
    if args.fleet is None and not usual.exists():
        raise SettingsError(
            "There is no fleet file config/fleet.yaml",
            hint="Copy config/fleet.example.yaml there and write your devices into it, or name one: --fleet FILE",
        )
    path = usual if args.fleet is None else Path(own_file(str(args.fleet)))
    fleet = load_fleet(path)
    return fleet, fleet.devices


def _chosen(args: argparse.Namespace) -> tuple[Fleet, Sequence[Device]]:
    fleet, devices = _fleet(args)
    return fleet, choose(devices, args.names)


# --- looking ---


class _Silent:
    def step(self, device: str, what: str, message: str, percent: float | None) -> None:
        return None

    def done(self, device: str, done: Any) -> None:
        return None

    def finished(self, outcome: Outcome) -> None:
        return None


def _observed(fleet: Fleet, devices: Sequence[Device], targets: Mapping[str, Target]) -> list[Observed]:
    jobs = [Job(Look(device), opener(device, fleet.name, targets.get(device.name))) for device in devices]
    outcomes = Rollout(jobs, _Silent(), Options(parallel=_LOOKS_AT_ONCE, device_s=LOOK_S)).run()
    return [outcome.observed or Observed(error=outcome.error, hint=outcome.hint) for outcome in outcomes]


def _looked(fleet: Fleet, devices: Sequence[Device], *, stop_infer: bool = False) -> list[DeviceStatus]:
    wanted = Targets(fleet.name, resolve_image)
    targets: dict[str, Target] = {}
    problems: dict[str, JetsmithError] = {}
    for device in devices:
        try:
            targets[device.name] = wanted.of(device)
        except JetsmithError as error:
            problems[device.name] = error
    found = zip(devices, _observed(fleet, devices, targets), strict=True)
    return [
        _status(device, seen, targets.get(device.name) or problems[device.name], stop_infer=stop_infer)
        for device, seen in found
    ]


def _status(device: Device, seen: Observed, target: Target | JetsmithError, *, stop_infer: bool) -> DeviceStatus:
    if isinstance(target, JetsmithError):
        return DeviceStatus(device, seen, unknown=target.message, remedy=target.hint)
    return DeviceStatus(device, seen, target, Apply(target, stop_infer).plan(seen))


def _plan_of(status: DeviceStatus) -> Plan:
    return status.plan or Plan(error=status.unknown, hint=status.remedy)


def _show_plans(args: argparse.Namespace, fleet: Fleet, plans: Sequence[tuple[str, Plan]]) -> int:
    if args.json:
        print(
            json.dumps({"format": reports.FORMAT, "fleet": fleet.name, "devices": reports.plan_json(plans)}, indent=1)
        )
    else:
        from app.fleet.table import plan_table

        _print_table(plan_table(plans))
    return _code(not plan.error for _, plan in plans)


def _code(good: Iterable[bool]) -> int:
    answers = list(good)
    return 0 if all(answers) else _SOME_FAILED if any(answers) else _NONE


def _print_table(table: "Table") -> None:
    from rich.console import Console

    is_watched = sys.stdout.isatty()
    Console(width=None if is_watched else _PIPE_COLUMNS, highlight=False).print(table)


# --- changing ---


def _apply_job(fleet: Fleet, device: Device, targets: Targets, args: argparse.Namespace, donors: Donors | None) -> Job:
    """A device that cannot be given what it shall be is one that fails; the others go on."""
    try:
        target = targets.of(device)
    except JetsmithError as error:
        return Job(Look(device), _failing(error))
    return Job(Apply(target, args.stop_infer), opener(device, fleet.name, target, donors))


def _failing(error: JetsmithError) -> Callable[[], Host]:
    def fail() -> Host:
        raise FleetError(error.message, hint=error.hint) from error

    return fail


def _roll_out(args: argparse.Namespace, fleet: Fleet, verb: str, jobs: Sequence[Job]) -> int:
    folder, started = report_folder(args), _now()
    options = Options(
        canary=args.canary,
        parallel=args.parallel,
        max_failures=args.max_failures,
        device_s=args.device_timeout,
        operator=operator(),
    )
    with SoftStop() as stop, showing(len(jobs), stop.event) as listener:
        outcomes = Rollout(jobs, listener, options, stop.event).run()
    report = Report(fleet.name, verb, started, _now(), __version__, outcomes, stop.exit_code)
    _show_report(args, report)  # first, for it costs no disk
    page = write_report(folder, report)
    print(f"report: {printable(shown_path(page))}", file=sys.stderr if args.json else sys.stdout)
    return report.exit_code


def _show_report(args: argparse.Namespace, report: Report) -> None:
    if args.json:
        print(json.dumps(reports.as_json(report), indent=1))
    else:
        print(printable("\n".join(reports.as_lines(report)), keep="\n"))


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
