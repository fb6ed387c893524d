"""Flags over settings, and settings into the plain options that the features take."""

import argparse
from pathlib import Path
from typing import Any

from app.catalog import bundled_weights, parse_model_name
from app.convert.options import ConvertOptions
from app.convert.weights import WeightsRequest
from app.errors import SettingsError, UnknownModel
from app.types import Backend
from config.schema import PROJECT_ROOT
from config.settings import Settings, load_settings

_YOLO = "vision.yolo."
_ENGINE = "vision.yolo.tensorrt_engine_settings."
_SOURCE = "vision.yolo.model_source."


def load(args: argparse.Namespace, overrides: dict[str, Any]) -> Settings:
    """The settings with this command's flags on top; a flag that was not given is None and changes nothing."""
    return load_settings(args.config, {key: value for key, value in overrides.items() if value is not None})


def convert_settings(args: argparse.Namespace) -> Settings:
    overrides = {
        **_model_flag(args.model),
        f"{_YOLO}backend": args.backend,
        f"{_YOLO}input_size": args.imgsz,
        f"{_ENGINE}precision": args.precision,
        f"{_ENGINE}batch_size": args.batch,
        f"{_SOURCE}trust_weights": args.trust_weights or None,
    }
    return load(args, overrides)


def _model_flag(model: str | None) -> dict[str, Any]:
    """A `.pt` is a file of the user's own, seen from where they stand; anything else is a name."""
    if model is None:
        return {}
    if model.lower().endswith(".pt"):
        return {f"{_SOURCE}pt_model_path": str(Path(model).expanduser().absolute())}
    try:
        return {f"{_SOURCE}base_model": str(parse_model_name(model))}
    except UnknownModel as error:
        if Path(model).exists():
            raise SettingsError(
                f"--model {model} is a file, but no .pt", hint="Name a model, or the path of a .pt file."
            ) from error
        raise


def convert_options(settings: Settings, args: argparse.Namespace) -> ConvertOptions:
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
        head=source.head,
        trust_weights=source.trust_weights,
        keep_onnx=source.keep_onnx,
        pictures=yolo.calibration.images,
        demo_scenes=PROJECT_ROOT / "models" / "demo" / "scenes",
        force_convert=args.force_convert or args.force_all,
        download_only=args.download_only,
        skip_verify=args.skip_verify,
    )


def store_root(settings: Settings) -> Path:
    return settings.models_dir / "engines"


def wanted_backend(settings: Settings) -> Backend | None:
    backend = settings.vision.yolo.backend
    return None if backend == "auto" else Backend(backend)
