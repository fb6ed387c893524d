"""`jetsmith infer`."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.catalog import parse_model_name
from app.cli.own_stderr import own_stderr
from app.cli.reporters import make_reporter
from app.cli.settings import SOURCE, YOLO, configured_job, load, own_file, store_root, wanted_backend
from app.cli.soft_stop import SoftStop
from app.engines.engine import Engine, alias_for, check, split_name
from app.engines.files import sha256_of
from app.engines.identity import ABSENT, platform_of
from app.engines.store import EngineStore
from app.errors import EngineNotFound, UnknownModel
from app.progress import Reporter
from app.status import status_path
from app.types import Backend
from config.settings import Settings

if TYPE_CHECKING:
    from app.infer.pipeline import Predictor
    from app.infer.sinks.open import SinkOptions
    from app.infer.sources.base import Source
    from app.vision.decode import Thresholds


def infer_command(args: argparse.Namespace) -> int:
    with own_stderr():
        return _infer(args)


def _infer(args: argparse.Namespace) -> int:
    from app.infer.pipeline import InferOptions, infer
    from app.infer.sources.base import Selection
    from app.infer.sources.choose import open_sources

    reporter = make_reporter(verbose=args.verbose)
    if not args.sources:
        from app.cli.service import service_command

        return service_command(args, reporter)
    settings = inference_settings(args)
    engine = waited_for(settings, args.model, reporter) if args.wait else find_engine(settings, args.model, reporter)
    selection = Selection(args.fps, args.stride, args.duration, settings.infer.hardware_decoding)
    sources = open_sources(args.sources, selection)
    at_once = _at_once(settings, engine, sources)
    options = InferOptions(sources, _sinks(args), selection, progress=not sys.stdout.isatty())
    with open_model(settings, engine, reporter, at_once) as model, SoftStop() as stop:
        summary = infer(options, model, sys.stdout, reporter, stop.event)
    reporter.note(str(summary))
    return stop.exit_code or summary.exit_code


def _at_once(settings: Settings, engine: Engine, sources: "Sequence[Source]") -> int:
    """How many batches the engine runs at the same time; on a GPU one has it all."""
    from app.infer import at_once

    if engine.backend is not Backend.ONNXRUNTIME:
        return 1
    described = at_once.EngineSize(engine.manifest.size, engine.metadata.imgsz, engine.metadata.batch)
    return at_once.batches_at_once(sources, described, at_once.Machine.here(), settings.infer.frames_at_once)


@contextmanager
def open_model(settings: Settings, engine: Engine, reporter: Reporter, at_once: int = 1) -> Iterator["Predictor"]:
    """
    An engine ready for pictures, with the thresholds of the settings.

    Args:
        at_once: how many batches it runs at the same time; more than one only of an engine on the processor.
    """
    from app.engines.open import open_runner
    from app.infer.gpu import cpu_model, model_for
    from app.vision.parallel import ParallelModel

    yolo = settings.vision.yolo
    with open_runner(engine.path, engine.backend, yolo.gpu_memory, 1 if at_once > 1 else None) as runner:
        thresholds = thresholds_of(settings, engine)
        if at_once > 1:
            with closing(ParallelModel(runner, thresholds, at_once)) as model:
                yield model
        elif yolo.frame_path == "cpu":
            yield cpu_model(runner, thresholds)
        else:
            yield model_for(runner, thresholds, store_root(settings), reporter)


def _sinks(args: argparse.Namespace) -> "SinkOptions":
    """A table for who watches, JSON lines for a pipe, and nothing there if a file gets them already."""
    from app.infer.sinks.open import OutputFormat, SinkOptions

    in_a_pipe = None if args.output else OutputFormat.JSONL
    form = OutputFormat.TABLE if sys.stdout.isatty() else in_a_pipe
    return SinkOptions(
        OutputFormat(args.format) if args.format else form, args.output, args.save, args.crops, args.track
    )


def inference_settings(args: argparse.Namespace) -> Settings:
    overrides: dict[str, Any] = {
        **_model_flag(args.model),
        f"{YOLO}backend": args.backend,
        f"{YOLO}confidence": args.conf,
        f"{YOLO}iou": args.iou,
        f"{YOLO}max_detections": args.max_det,
        f"{YOLO}classes": args.classes,
    }
    return load(args, overrides)


def _model_flag(model: str | None) -> dict[str, Any]:
    """A model's name, the path of its weights or engine, or the stem of either."""
    if model is None:
        return {}
    if model.lower().endswith(".pt"):
        return {f"{SOURCE}pt_model_path": own_file(model)}
    if split_name(model)[1]:
        return {f"{YOLO}model_path": own_file(model)}
    try:
        return {f"{SOURCE}base_model": str(parse_model_name(model))}
    except UnknownModel:  # the stem of a model of one's own, if there is an engine of that name
        return {f"{SOURCE}pt_model_path": f"models/{model}.pt"}


def waited_for(settings: Settings, model: str | None, reporter: Reporter) -> Engine:
    from app.infer.waiting import wait_for_engine

    status = status_path(settings.models_dir, configured_job(settings))
    return wait_for_engine(lambda: find_engine(settings, model, reporter), status, reporter)


def find_engine(settings: Settings, model: str | None, reporter: Reporter) -> Engine:
    """
    The engine that `model_path` stands for on this machine, checked before anything loads it.

    Raises:
        EngineNotFound, EngineStale, EngineDamaged: each says how to build the right one.
    """
    from app.device import read_device
    from app.runtime.choose import backend_versions, choose_backend

    backend, why = choose_backend(wanted_backend(settings))
    reporter.detail(why)
    alias = alias_for(Path(settings.vision.yolo.model_path), backend)
    command = f"jetsmith convert{f' --model {model}' if model else ''}"
    try:
        engine = EngineStore(store_root(settings)).resolve_alias(alias, hint=f"Build it: {command}")
    except EngineNotFound as error:
        raise _not_found(error, alias, backend) from error
    platform = platform_of(read_device(), backend, backend_versions(backend))
    check(engine, platform, _asked(settings, model), hint=f"Build it anew: {command}")
    changes = _unlike_settings(settings, engine)
    if changes:
        reporter.note(f"{engine.path.name} is used as it was built; the settings differ: {', '.join(changes)}")
    if engine.manifest.verification.get("skipped"):
        reporter.warn(f"{engine.path.name} was never verified (--skip-verify); verify it: {command}")
    return engine


def _not_found(error: EngineNotFound, alias: Path, backend: Backend) -> EngineNotFound:
    """Say where there is one for another backend: `auto` may have chosen what nobody built for."""
    others = [other for other in Backend if other is not backend and alias_for(alias, other).exists()]
    if not others:
        return error
    there = ", ".join(other.value for other in others)
    return EngineNotFound(
        error.message, hint=f"{error.hint}, or take the one built for {there}: --backend {others[0].value}"
    )


def _asked(settings: Settings, model: str | None) -> dict[str, str]:
    """The weights that the settings name, if they are there: an engine of others would answer wrongly."""
    weights = settings.vision.yolo.model_source.pt_model_path
    names_an_engine = model is not None and bool(split_name(model)[1])  # then nothing says which its weights were
    if names_an_engine or not weights.is_file():
        return {}
    return {"weights": sha256_of(weights)}


def _unlike_settings(settings: Settings, engine: Engine) -> list[str]:
    """What `convert` would build otherwise. The answers are right all the same, so it is said, not refused."""
    yolo, tensorrt = settings.vision.yolo, settings.vision.yolo.tensorrt_engine_settings
    asked = {
        "imgsz": f"{yolo.input_size[0]}x{yolo.input_size[1]}",
        "batch": str(tensorrt.batch_size),
        "head": yolo.model_source.head.value,
        "precision": tensorrt.precision.value,
    }
    if tensorrt.dla_core is not None or "dla_core" in engine.identity.recipe:  # which names none but for the DLA
        asked["dla_core"] = ABSENT if tensorrt.dla_core is None else str(tensorrt.dla_core)
    return [str(change) for change in engine.unlike(engine.identity.platform, asked)]


def thresholds_of(settings: Settings, engine: Engine) -> "Thresholds":
    from app.vision.decode import Thresholds

    yolo = settings.vision.yolo
    classes = None
    if yolo.classes is not None:
        from app.infer.classes import resolve_classes

        classes = resolve_classes(yolo.classes, engine.metadata.names)
    return Thresholds(yolo.confidence, yolo.iou, yolo.max_detections, classes)
