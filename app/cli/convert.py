"""`jetsmith convert`."""

import argparse
import logging
import time
from pathlib import Path

from app.cli.reporters import make_reporter
from app.cli.settings import convert_options, convert_settings
from app.engines.engine import Engine
from app.types import Precision


def convert_command(args: argparse.Namespace) -> int:
    from app.convert.pipeline import convert

    if args.verbose:
        logging.basicConfig(level=logging.DEBUG, format="%(name)s: %(message)s")
    started = time.monotonic()
    conversion = convert(convert_options(convert_settings(args), args), make_reporter(verbose=args.verbose))
    if conversion.engine is None or conversion.alias is None:
        print(f"weights: {_shown(conversion.weights.path)} ({conversion.weights.origin})")
        return 0
    took = time.monotonic() - started
    state = f"built in {took:.1f} s" if conversion.built else f"up to date, nothing to build ({took:.1f} s)"
    print("\n".join(_summary(conversion.engine, conversion.alias, state)))
    return 0


def _summary(engine: Engine, alias: Path, state: str) -> list[str]:
    manifest = engine.manifest
    height, width = engine.metadata.imgsz
    precision = manifest.actual.value
    if manifest.actual is not manifest.requested:
        precision += f" ({manifest.requested.value} was asked for)"
    return [
        f"engine:   {_shown(alias)} -> {_shown(engine.path)}",
        f"          {state}",
        f"model:    {manifest.weights.name}, {engine.metadata.task.value}, input {height}×{width}, "
        f"{precision}, batch {engine.metadata.batch}, {manifest.size / 1e6:.1f} MB",
        f"verified: {verification_line(manifest.verification, manifest.actual)}",
    ]


def verification_line(figures: object, actual: Precision) -> str:
    """The figures of a manifest in one line."""
    if not isinstance(figures, dict) or figures.get("skipped"):
        return "no (--skip-verify)"
    shown = [
        f"{label} {figures[name]:g}{unit}"
        for name, label, unit in (
            ("objects", "objects", ""),
            ("objects_lost", "lost", ""),
            ("box_px_p95", "boxes within", " px"),
            ("keypoint_px_p95", "keypoints within", " px"),
            ("mask_iou_p5", "mask IoU", ""),
            ("confidence_max", "confidence within", ""),
            ("probability_max", "probabilities within", ""),
        )
        if isinstance(figures.get(name), int | float)
    ]
    return f"yes, against the FP32 graph on {figures.get('pictures', '?')} pictures: " + ", ".join(shown)


def _shown(path: Path) -> str:
    """Relative to where the user stands, if it lies below."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
