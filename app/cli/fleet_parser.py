"""`jetsmith fleet` and its options; `scripts/provision_fleet.py` takes the same."""

import argparse
from collections.abc import Callable
from pathlib import Path

_NAMES = "devices or groups by name, or label=value; default: all"
_SLOTS = "infer", "next", "previous", "converter", "verifier"
_HOURS_4 = 4 * 3600.0


def add_fleet(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Exit: 0 all devices are well, 3 some are not, 1 none is or nothing could be done, 2 usage, 130 interrupted."
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    plan = actions.add_parser("plan", help="what apply would do; nothing is changed")
    apply = actions.add_parser("apply", help="bring every device to what the fleet file says")
    status = actions.add_parser("status", help="what runs where, and what is not as the fleet file says")
    rollback = actions.add_parser("rollback", help="back to the infer that ran before")
    logs = actions.add_parser("logs", help="the last lines of a container")
    for action in (plan, apply, status):
        action.add_argument("names", nargs="*", metavar="NAME", help=_NAMES)
    rollback.add_argument("names", nargs="+", metavar="NAME", help=_NAMES.partition(";")[0])
    rollback.add_argument("--dry-run", action="store_true", help="only show what would be done")
    for action in (plan, apply, status, rollback):
        _add_common(action)
        action.add_argument("--json", action="store_true", help="print the result as JSON")
    for action in (plan, apply):
        action.add_argument(
            "--stop-infer", action="store_true", help="stop infer for the conversion: for devices too small for both"
        )
    apply.add_argument(
        "--share-engines",
        action="store_true",
        help="devices take a copy of what one of their kind has built, and verify it (best with --canary)",
    )
    for action in (apply, rollback):
        _add_rollout(action)
    _add_logs(logs)
    for action, run in ((plan, _plan), (apply, _apply), (status, _status), (rollback, _rollback), (logs, _logs)):
        action.set_defaults(run=run)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--fleet", type=Path, metavar="FILE", help="the inventory; default: config/fleet.yaml")
    parser.add_argument("--verbose", action="store_true", help="show tracebacks")


def _add_rollout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--canary", type=_whole(0), default=0, metavar="N", help="the first N alone; a failure among them ends the run"
    )
    parser.add_argument("--parallel", type=_whole(1), default=8, metavar="N", help="devices at a time (8)")
    parser.add_argument("--max-failures", type=_whole(0), metavar="N", help="more failures end the run")
    parser.add_argument(
        "--device-timeout", type=_seconds, default=_HOURS_4, metavar="S", help="seconds that one device gets (14400)"
    )
    parser.add_argument(
        "--report", type=Path, metavar="DIR", help="folder for report.html and report.json; default: runs/fleet/<time>"
    )


def _add_logs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="a device")
    parser.add_argument("--of", choices=_SLOTS, default="infer", help="which container; default: infer")
    parser.add_argument("--lines", type=_whole(1), default=100, metavar="N", help="the last N lines (100)")
    _add_common(parser)


def _whole(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = int(text)
        if not least <= value <= 1_000_000:
            raise argparse.ArgumentTypeError(f"{text} is not from {least} to 1000000")
        return value

    return number


def _seconds(text: str) -> float:
    value = float(text)
    if not 1 <= value <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text} is not from 1 to 1000000")
    return value


def _plan(args: argparse.Namespace) -> int:
    from app.cli.fleet import plan_command

    return plan_command(args)


def _apply(args: argparse.Namespace) -> int:
    from app.cli.fleet import apply_command

    return apply_command(args)


def _status(args: argparse.Namespace) -> int:
    from app.cli.fleet import status_command

    return status_command(args)


def _rollback(args: argparse.Namespace) -> int:
    from app.cli.fleet import rollback_command

    return rollback_command(args)


def _logs(args: argparse.Namespace) -> int:
    from app.cli.fleet import logs_command

    return logs_command(args)
