"""Flags over settings."""

import argparse
from pathlib import Path
from typing import Any

from app.types import Backend
from config.settings import Settings, load_settings

YOLO = "vision.yolo."
TENSORRT = "vision.yolo.tensorrt_engine_settings."
SOURCE = "vision.yolo.model_source."


def load(args: argparse.Namespace, overrides: dict[str, Any]) -> Settings:
    """The settings with this command's flags on top; a flag that was not given is None and changes nothing."""
    return load_settings(args.config, {key: value for key, value in overrides.items() if value is not None})


def store_root(settings: Settings) -> Path:
    return settings.models_dir / "engines"


def wanted_backend(settings: Settings) -> Backend | None:
    backend = settings.vision.yolo.backend
    return None if backend == "auto" else Backend(backend)
