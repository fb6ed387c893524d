"""`jetsmith convert`."""

import argparse
import logging
import sys
import time
from pathlib import Path
from typing import Any

from app.catalog import bundled_weights, parse_model_name
from app.cli.pasteable import pasteable
from app.cli.reporters import make_reporter
from app.cli.settings import SOURCE, TENSORRT, YOLO, load, own_file, store_root, wanted_backend
from app.cli.settings_told import settings_told
from app.cli.show import engine_lines, shown
from app.convert.effort import Effort, workspace_bytes
from app.convert.keep import onnx_beside
from app.convert.options import ConvertOptions
from app.convert.pipeline import convert
from app.convert.trtexec import is_weakly_typed, trtexec
from app.convert.weights import WeightsRequest
from app.device import read_device
from app.errors import SettingsError, UnknownModel
from config.settings import PROJECT_ROOT, Settings


def convert_command(args: argparse.Namespace) -> int:
    if args.verbose:
        logging.basicConfig(level=logging.DEBUG, format="%(name)s: %(message)s")
    reporter = make_reporter(verbose=args.verbose)
    with settings_told(args.config, reporter):
        options = _options(_settings(args), args)
    if args.print_trtexec:
        return _print_trtexec(options, args)
    started = time.monotonic()
    conversion = convert(options, reporter)
    if conversion.engine is None or conversion.alias is None:
        print(f"weights: {shown(conversion.weights.path)} ({conversion.weights.origin})")
        return 0
    took = time.monotonic() - started
    state = f"built in {took:.1f} s" if conversion.built else f"up to date, nothing to build ({took:.1f} s)"
    print("\n".join(engine_lines(conversion.engine, conversion.alias, state)))
    print("ready:    the engine was built" if conversion.built else "ready:    the engine was there already")
    return 0


def _print_trtexec(options: ConvertOptions, args: argparse.Namespace) -> int:
    line = trtexec(
        onnx_beside(options),
        options.alias,
        options.precision,
        Effort(workspace_bytes(options.workspace_gb, read_device()), options.optimization_level),
        weakly_typed=is_weakly_typed(dla=options.dla_core is not None),
        dla_core=options.dla_core,
    )
    for difference in line.differences:
        print(f"note: {pasteable(difference, args)}", file=sys.stderr)
    print(line.command)
    return 0


def _settings(args: argparse.Namespace) -> Settings:
    overrides = {
        **_model_flag(args.model),
        f"{YOLO}backend": args.backend,
        f"{YOLO}input_size": args.imgsz,
        f"{TENSORRT}precision": args.precision,
        f"{TENSORRT}batch_size": args.batch,
        f"{SOURCE}trust_weights": args.trust_weights or None,
        f"{SOURCE}keep_onnx": args.keep_onnx or None,
    }
    return load(args, overrides)


def _model_flag(model: str | None) -> dict[str, Any]:
    """A `.pt` is a file of the user's own, seen from where they stand; anything else is a name."""
    if model is None:
        return {}
    if model.lower().endswith(".pt"):
        return {f"{SOURCE}pt_model_path": own_file(model)}
    try:
        return {f"{SOURCE}base_model": str(parse_model_name(model))}
    except UnknownModel as error:
        if Path(model).exists():
            raise SettingsError(
                f"--model {model} is a file, but no .pt", hint="Name a model, or the path of a .pt file."
            ) from error
        raise


def _options(settings: Settings, args: argparse.Namespace) -> ConvertOptions:
    yolo, source = settings.vision.yolo, settings.vision.yolo.model_source
    name = None if source.base_model is None else parse_model_name(source.base_model)
    engine = yolo.tensorrt_engine_settings
    return ConvertOptions(
        weights=WeightsRequest(
            path=source.pt_model_path,
            model=name,
            url=source.weights_url,
            ledger=settings.models_dir / "weights.json",
            force_download=args.force_download or args.force_all,
            bundled=None if name is None else bundled_weights(name, PROJECT_ROOT / "models"),
        ),
        expected=name,
        alias=Path(yolo.model_path),
        store=store_root(settings),
        imgsz=yolo.input_size,
        backend=wanted_backend(settings),
        precision=engine.precision,
        batch=engine.batch_size,
        workspace_gb=None if engine.workspace_size == "auto" else float(engine.workspace_size),
        optimization_level=engine.builder_optimization_level,
        dla_core=engine.dla_core,
        fall_back=engine.on_accuracy_loss == "fallback",
        head=source.head,
        trust_weights=source.trust_weights,
        keep_onnx=source.keep_onnx,
        pictures=yolo.calibration.images,
        demo_scenes=PROJECT_ROOT / "models" / "demo" / "scenes",
        force_convert=args.force_convert or args.force_all,
        download_only=args.download_only,
        skip_verify=args.skip_verify,
    )
