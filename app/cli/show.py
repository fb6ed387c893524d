"""Engines in words, for people."""

from pathlib import Path

from app.engines.engine import Engine
from app.text import printable
from app.types import Precision


def engine_lines(engine: Engine, alias: Path, state: str) -> list[str]:
    manifest = engine.manifest
    height, width = engine.metadata.imgsz
    precision = manifest.actual.value
    if manifest.actual is not manifest.requested:
        precision += f" ({manifest.requested.value} was asked for)"
    core = manifest.model.get("dla")
    dla = "" if core is None else f", DLA core {printable(str(core))}"
    return [
        f"engine:   {shown(alias)} -> {shown(engine.path)}",
        f"          {state}",
        f"model:    {printable(manifest.weights.name)}, {engine.metadata.task.value}, input {height}×{width}, "
        f"{precision}, batch {engine.metadata.batch}, {manifest.size / 1e6:.1f} MB{dla}",
        f"verified: {verification_line(manifest.verification, manifest.actual)}",
    ]


def verification_line(figures: object, actual: Precision) -> str:
    """The figures of a manifest in one line."""
    if not isinstance(figures, dict) or figures.get("skipped"):
        return "no (--skip-verify)"
    shown = [
        f"{label} {_figure(figures[name])}{unit}"
        for name, label, unit in (
            ("objects", "objects", ""),
            ("objects_lost", "lost", ""),
            ("box_px_p95", "boxes within", " px"),
            ("keypoint_px_p95", "keypoints within", " px"),
            ("mask_iou", "mask IoU", ""),
            ("confidence_p95", "confidence within", ""),
            ("probability_max", "probabilities within", ""),
        )
        if isinstance(figures.get(name), int | float)
    ]
    for name, label in (("map50_95", "mAP50-95"), ("top1", "top-1")):
        if isinstance(figures.get(name), int | float) and isinstance(figures.get(f"{name}_fp32"), int | float):
            shown.append(f"{label} {_figure(figures[name])} (FP32 {_figure(figures[f'{name}_fp32'])})")
    return f"yes, against the FP32 graph on {figures.get('pictures', '?')} pictures: " + ", ".join(shown)


def _figure(value: float) -> str:
    """Four decimals are all that a person wants to read."""
    return "<0.0001" if 0 < value < 0.0001 else f"{value:.4f}".rstrip("0").rstrip(".")


def shown(path: Path) -> str:
    """Relative to where the user stands, if it lies below."""
    try:
        here = Path.cwd()
    except FileNotFoundError:  # it has been removed
        return printable(str(path))
    return printable(str(path.relative_to(here) if path.is_relative_to(here) else path))
