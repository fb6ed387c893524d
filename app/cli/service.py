"""`jetsmith infer` without a SOURCE: the service of `infer.sources` and `infer.sinks`."""

import argparse
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from app.cli.infer import find_engine, inference_settings, open_model, waited_for
from app.cli.settings import configured_job, wanted_backend
from app.engines.engine import alias_for
from app.errors import SettingsError
from app.progress import Reporter
from config.settings import Settings

if TYPE_CHECKING:
    from app.infer.service.plan import Plan, SinkPlan
    from app.infer.service.report import Report

_MB = 1_000_000
_NOT_FOR_SERVICES = {  # flags, and their values where they are not given
    **dict.fromkeys(("output", "save", "crops", "format", "fps", "duration")),
    "track": False,
    "stride": 1,
}


def service_command(args: argparse.Namespace, reporter: Reporter) -> int:
    """
    Runs until SIGTERM or Ctrl-C, and then returns 0.

    Raises:
        SettingsError: there is no source, or a flag that a service does not take.
        JetsmithError: what the settings ask for cannot be had.
    """
    from app.infer.service.health import health_path
    from app.infer.service.report import Report

    settings = _checked(inference_settings(args), args)
    path = health_path(settings.models_dir, _name(settings))
    with _reload_on_hangup() as reload, Report(path, reporter) as report:
        if args.wait:
            waited_for(settings, args.model, reporter)
        return _serve(settings, args, reload, reporter, report)


def _serve(
    settings: Settings, args: argparse.Namespace, reload: threading.Event, reporter: Reporter, report: "Report"
) -> int:
    from app.infer.service.service import Service, Signals

    def load() -> "Plan":
        return _plan(_checked(inference_settings(args), args), args, reporter)

    service = Service(_plan(settings, args, reporter), load, sys.stdout, reporter, report)
    reporter.note(f"watching {len(settings.infer.sources)} sources; SIGHUP reads the settings anew, SIGTERM ends it")
    with _stop_on_signals() as stop:
        summary = service.run(Signals(stop, reload))
    reporter.note(str(summary))
    return 0


def _checked(settings: Settings, args: argparse.Namespace) -> Settings:
    if not settings.infer.sources:
        raise SettingsError(
            "There is no SOURCE, and infer.sources names none either",
            hint="Name pictures, videos or cameras; or set infer.sources for a service.",
        )
    given = [f"--{name}" for name, absent in _NOT_FOR_SERVICES.items() if getattr(args, name) != absent]
    if given:
        raise SettingsError(
            f"{', '.join(given)}: not for a service", hint="Name a SOURCE, or set the keys of `infer` in the settings."
        )
    sinks = settings.infer.sinks
    if sinks.jsonl is None and sinks.save is None and sinks.crops is None:
        raise SettingsError(
            "infer.sinks names none, so the service's results would go nowhere",
            hint='Set infer.sinks.jsonl to a file, or to "-" for standard output.',
        )
    if sinks.rotate_mb > sinks.keep_mb / 2:
        raise SettingsError(
            f"infer.sinks.rotate_mb is {sinks.rotate_mb:g}, but keep_mb only {sinks.keep_mb:g}",
            hint="Keep at least twice as much as one file holds, else nothing is left when one is full.",
        )
    return settings


def _name(settings: Settings) -> str:
    return settings.infer.name or configured_job(settings)


def _plan(settings: Settings, args: argparse.Namespace, reporter: Reporter) -> "Plan":
    from app.infer.service.plan import ModelPlan, Plan
    from app.infer.sources.base import Selection
    from app.runtime.choose import choose_backend

    backend, _ = choose_backend(wanted_backend(settings))
    model = ModelPlan(
        key=(settings.vision.model_dump_json(), backend),
        alias=alias_for(Path(settings.vision.yolo.model_path), backend),
        find=lambda: find_engine(settings, args.model, reporter),
        open=lambda engine: open_model(settings, engine, reporter),
    )
    infer = settings.infer
    selection = Selection(infer.fps, infer.stride, hardware=infer.hardware_decoding)
    return Plan(_name(settings), infer.sources, selection, _sinks(settings), model)


def _sinks(settings: Settings) -> "SinkPlan":
    from app.infer.service.plan import SinkPlan
    from app.infer.sinks.limits import Limits

    sinks = settings.infer.sinks
    limits = Limits(round(sinks.rotate_mb * _MB), round(sinks.keep_mb * _MB))
    return SinkPlan(sinks.jsonl, sinks.save, sinks.crops, settings.infer.track, limits)


@contextmanager
def _reload_on_hangup() -> Iterator[threading.Event]:
    """From the beginning: a service that still starts is not ended by it, but reads its settings again once it runs."""
    reload = threading.Event()
    before = signal.signal(signal.SIGHUP, lambda number, frame: reload.set())
    try:
        yield reload
    finally:
        signal.signal(signal.SIGHUP, before)


@contextmanager
def _stop_on_signals() -> Iterator[threading.Event]:
    stop = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
