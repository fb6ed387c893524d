"""`jetsmith status`."""

import argparse
import glob
from datetime import datetime, timezone
from pathlib import Path

from app.cli.service_status import print_status, show_services
from app.cli.settings import configured_job, load
from app.cli.settings_told import models_folder, told_name
from app.engines.engine import split_name
from app.errors import EngineNotFound, SettingsError
from app.infer.service.health import health_folder, read_health
from app.status import FOLDER, State, Status, read_status, status_path


def status_command(args: argparse.Namespace) -> int:
    """Returns 0 if all that was asked for is ready or being built, 1 if any failed, hangs or cannot be read."""
    if args.health and not args.jobs and (here := _services_here(args)):
        return show_services(*here)
    settings = load(args, {})
    if args.service:
        return show_services(settings.models_dir, args.jobs, as_json=args.json)
    models, jobs = settings.models_dir, [*map(_job, args.jobs)]
    if args.health and not jobs:
        jobs = [configured_job(settings)]
    paths = [status_path(models, job) for job in jobs] or sorted((models / FOLDER).glob("[!.]*.json"))
    now = datetime.now(timezone.utc)
    if not paths and not args.json:
        print(f"No conversion has run yet in {models}. Start one: jetsmith convert")
    code = 0
    for path in paths:
        status = read_status(path)
        if status is None:
            raise EngineNotFound(f"There is no status at {path}", hint="Start the conversion: jetsmith convert")
        hung = status.is_hung(now)
        print_status(status, _line(status, now), hung=hung, as_json=args.json)
        code = max(code, int(hung or status.state is State.FAILED))
    return code if jobs else max(code, show_services(models, as_json=args.json))


def _services_here(args: argparse.Namespace) -> tuple[Path, list[str]] | None:
    """
    A health check is of what runs in its own container: there services, elsewhere a conversion.

    A service goes on with its old settings when the new ones are wrong, so they must not be in the way here.
    """
    try:
        models = load(args, {}).models_dir
    except SettingsError:
        models = models_folder()
    files = f"{glob.escape(name)}.json" if (name := told_name()) else "[!.]*.json"
    names = [path.stem for path in health_folder(models).glob(files) if _is_here(path)]
    return (models, names) if names else None


def _is_here(path: Path) -> bool:
    health = read_health(path)
    return health is not None and health.is_here


def _job(name: str) -> str:
    """A job by its name, or by the path of its engine."""
    stem, suffix = split_name(Path(name).name)
    return stem if suffix else name


def _line(status: Status, now: datetime) -> str:
    if status.state is State.READY:
        return f"{status.job}: ready since {_local(status.updated)}"
    if status.state is State.FAILED:
        hint = f"\n    {status.hint}" if status.hint else ""
        return f"{status.job}: failed at {_local(status.updated)}: {status.message}{hint}"
    if status.is_hung(now):
        return (
            f"{status.job}: hung: no sign of life since {_local(status.heartbeat)}, at «{status.phase}» "
            f"(process {status.pid}); it was killed or has lost power, start it again: jetsmith convert"
        )
    if status.state is State.WAITING:
        return f"{status.job}: {status.message}"
    percent = "" if status.percent is None else f" {status.percent:.0f} %"
    return f"{status.job}: building,{percent} {status.phase}, for {_for(status.started, now)}"


def _local(moment: str) -> str:
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _for(since: str, now: datetime) -> str:
    seconds = max(0, round((now - datetime.fromisoformat(since)).total_seconds()))
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
