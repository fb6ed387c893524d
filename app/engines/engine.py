"""One engine on disk: how it is named, how it is read, and whether it may be used here."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app.engines.files import read_capped, regular_size, sha256_of, store_errors
from app.engines.identity import Change, Identity, differences, in_words
from app.engines.manifest import MAX_BYTES, BuildRecord, Manifest, damaged
from app.errors import EngineStale
from app.metadata import ModelMetadata
from app.types import Backend

STORED_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*-[0-9a-f]{12}\.(?:json|engine|rtx|ort\.onnx)")
SLUG = re.compile(r"[a-z0-9][a-z0-9.-]{0,59}")  # of a device, in folder names
_MAX_STEM_CHARS = 80


@dataclass(frozen=True)
class Engine:
    path: Path
    manifest: Manifest

    @property
    def identity(self) -> Identity:
        return self.manifest.identity

    @property
    def backend(self) -> Backend:
        return self.identity.backend

    @property
    def metadata(self) -> ModelMetadata:
        return ModelMetadata.from_header(self.manifest.model)

    def unlike(self, platform: Mapping[str, str], asked: Mapping[str, str] | None = None) -> list[Change]:
        """What differs from this engine in the platform, and in the parts of the recipe that are `asked` for."""
        asked = asked or {}
        recipe = {name: value for name, value in self.identity.recipe.items() if name in asked}
        return [*differences(recipe, asked), *differences(self.identity.platform, platform)]


def check(
    engine: Engine, platform: Mapping[str, str], asked: Mapping[str, str] | None = None, *, hint: str = ""
) -> None:
    """
    Refuse an engine that was built on another platform, or from a recipe that differs in what is `asked` for.

    A foreign engine can crash the process that loads it, so this comes before loading.

    Raises:
        EngineStale: it names every component that differs; `hint` says how to build the right one.
    """
    changes = engine.unlike(platform, asked)
    if changes:
        raise EngineStale(f"{engine.path.name} does not fit any more: {in_words(changes)}.", hint=hint)


# --- names ---


def split_name(name: str) -> tuple[str, str]:
    """("yolo11n-pose", ".ort.onnx"): stem and suffix of an engine or alias; ("…", "") if it is neither."""
    suffix = next((backend.suffix for backend in Backend if name.endswith(backend.suffix)), "")
    return name.removesuffix(suffix), suffix


def alias_for(model_path: Path, backend: Backend) -> Path:
    """Where this backend's engine is found: `model_path`'s stem with the backend's suffix."""
    stem, suffix = split_name(model_path.name)
    return model_path.with_name((stem if suffix else model_path.stem) + backend.suffix)


def stored_name(alias: Path, record: BuildRecord) -> tuple[str, str]:
    """File names of an engine and its manifest: "yolo11n-pose-fp16-0123456789ab.engine" and "….json"."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", split_name(alias.name)[0]).lstrip("._-")[:_MAX_STEM_CHARS] or "model"
    base = f"{stem}-{record.requested.value.lower()}-{record.identity.short_key}"
    return base + record.identity.backend.suffix, base + ".json"


def manifest_path(engine: Path) -> Path:
    return engine.with_name(split_name(engine.name)[0] + ".json")


# --- reading ---


def read_manifest(path: Path) -> Manifest:
    """
    Raises:
        EngineDamaged: it is missing, unreadable, or stands beside files of another name.
        EngineStale: a newer jetsmith wrote it.
        StoreError: it may not be read.
    """
    with store_errors(path, "read"):
        if regular_size(path) is None:
            damaged(path.name, "there is no such manifest beside the engine")
        data = read_capped(path, MAX_BYTES)
    manifest = Manifest.from_json(data, path.name)
    identity = manifest.identity
    if not path.stem.endswith(f"-{identity.short_key}") or manifest.engine != path.stem + identity.backend.suffix:
        damaged(path.name, "it belongs to an engine of another name")
    return manifest


def read_engine(manifest: Path) -> Engine:
    """
    The engine that this manifest describes, as far as names and sizes tell; `check_content` compares the bytes.

    Raises:
        EngineDamaged, EngineStale, StoreError: as `read_manifest`; EngineDamaged also if the engine is not whole.
    """
    facts = read_manifest(manifest)
    path = manifest.with_name(facts.engine)
    size = regular_size(path)
    if size is None:
        damaged(path.name, "the file is gone")
    if size != facts.size:
        damaged(path.name, f"it has {size} bytes instead of {facts.size}")
    return Engine(path, facts)


def check_content(engine: Engine) -> Engine:
    """
    Compare the bytes with the digest in the manifest (about 1 GB/s where the CPU has SHA instructions).

    Raises:
        EngineDamaged: they differ.
    """
    with store_errors(engine.path, "read"):
        digest = sha256_of(engine.path)
    if digest != engine.manifest.sha256:
        was, now = engine.manifest.sha256[:12], digest[:12]
        damaged(engine.path.name, f"its content was altered (sha256 {now} instead of {was})")
    return engine
