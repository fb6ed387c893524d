"""Flags over settings."""

import argparse
import os
from pathlib import Path
from typing import Any

from app.engines.engine import split_name
from app.types import Backend
from config.settings import Settings, load_settings

YOLO = "vision.yolo."
TENSORRT = "vision.yolo.tensorrt_engine_settings."
SOURCE = "vision.yolo.model_source."


def load(args: argparse.Namespace, overrides: dict[str, Any]) -> Settings:
    """The settings with this command's flags on top; a flag that was not given is None and changes nothing."""
    return load_settings(args.config, {key: value for key, value in overrides.items() if value is not None})


def own_file(path: str) -> str:
    """A file as the user sees it from where they stand; `~name` of a user that nobody knows is a name like any."""
    return os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111 (pathlib's raises there)


def store_root(settings: Settings) -> Path:
    return settings.models_dir / "engines"


def configured_job(settings: Settings) -> str:
    """The conversion that these settings ask for, by the name of its status."""
    return split_name(Path(settings.vision.yolo.model_path).name)[0]


def wanted_backend(settings: Settings) -> Backend | None:
    backend = settings.vision.yolo.backend
    return None if backend == "auto" else Backend(backend)
