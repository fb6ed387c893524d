"""A small engine and all that belongs to it, for the tests of the store."""

from dataclasses import replace
from pathlib import Path

from app.engines.engine import Engine
from app.engines.identity import Identity
from app.engines.manifest import BuildRecord, WeightsFacts
from app.engines.store import EngineStore
from app.types import Precision

SLUG = "orin-nano-8gb-sm87"
WEIGHTS = "31e20dde3def" + "0" * 52
RECIPE = {
    "weights": WEIGHTS,
    "task": "pose",
    "imgsz": "640x640",
    "batch": "1",
    "precision": "FP16",
    "workspace": "2",
    "ultralytics": "8.4.190",
}
PLATFORM = {
    "backend": "tensorrt",
    "tensorrt": "10.3.0",
    "cuda": "12.6",
    "compute_capability": "8.7",
    "gpu": "Orin",
    "sm_count": "8",
    "module": "NVIDIA Jetson Orin Nano Developer Kit",
    "l4t": "36.4.3",
}


def identity(**changed: str) -> Identity:
    """The sample identity, with some components changed."""
    recipe = {name: changed.get(name, value) for name, value in RECIPE.items()}
    platform = {name: changed.get(name, value) for name, value in PLATFORM.items()}
    assert set(changed) <= {*recipe, *platform}
    return Identity(recipe, platform)


def record(wanted: Identity | None = None, created: str = "2026-01-02T03:04:05+00:00") -> BuildRecord:
    return BuildRecord(
        identity=wanted or identity(),
        model={"task": "pose", "names": {"0": "person"}, "imgsz": [640, 640], "kpt_shape": [17, 3]},
        requested=Precision.FP16,
        actual=Precision.FP16,
        created=created,
        versions={"jetsmith": "0.1.0", "tensorrt": "10.3.0"},
        seconds={"export": 12.5, "build": 301.0},
        verification={"raw": {"max_abs": 0.01}, "images": 4},
        weights=WeightsFacts("yolo11n-pose.pt", WEIGHTS, 6_000_000),
    )


def publish(
    store: EngineStore, wanted: Identity | None = None, content: bytes = b"a plan", alias: Path | None = None
) -> Engine:
    """Build and publish as the converter does."""
    made = record(wanted)
    with store.lock(made.identity), store.workspace(made.identity) as work:
        built = work / "built.engine"
        built.write_bytes(content)
        return store.publish(built, made, device_slug=SLUG, alias=alias or default_alias(store))


def later(made: BuildRecord) -> BuildRecord:
    return replace(made, created="2026-02-02T03:04:05+00:00")


def default_alias(store: EngineStore) -> Path:
    return store.root.parent / "yolo11n-pose.engine"


def everything(folder: Path) -> set[str]:
    """Every file and link below a folder, by relative path."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()}
