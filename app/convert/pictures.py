"""Which real pictures an engine is verified with, and later calibrated on."""

import glob
import hashlib
import importlib.util
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import yaml

from app.errors import SettingsError
from app.vision.pictures import PICTURE_SUFFIXES

_Item = TypeVar("_Item")


def calibration_pictures(wanted: str) -> list[Path]:
    """
    The pictures of a folder (with its sub-folders), a glob, or a dataset YAML (its `val`, else its `train`).

    Raises:
        SettingsError: there are none.
    """
    path = Path(wanted)
    if path.suffix.lower() in {".yaml", ".yml"}:
        found = _of_dataset(path)
    elif path.is_dir():
        found = _of_folder(path)
    else:
        found = _pictures(Path(name) for name in glob.glob(wanted, recursive=True))  # noqa: PTH207 (any root)
    if not found:
        raise SettingsError(
            f"calibration.images: no pictures in {wanted!r}",
            hint="Name a folder, a glob such as 'pictures/**/*.jpg', or a dataset YAML with a `val` or `train` key.",
        )
    return found


def verification_pictures(
    wanted: str | None, demo_scenes: Path | None, most: int = 16, most_labelled: int = 64
) -> list[Path]:
    """
    At most `most` pictures: spread over the calibration set, else the demo scenes and Ultralytics' two.

    More of a set with labels: an average precision over few pictures says little.
    """
    if wanted is not None:
        found = calibration_pictures(wanted)
        return spread(found, most_labelled if any(label_file(path).is_file() for path in found) else most)
    scenes = _of_folder(demo_scenes) if demo_scenes is not None and demo_scenes.is_dir() else []
    photos = _of_wheel()
    return photos + spread(scenes, most - len(photos))


def calibration_digest(wanted: str) -> str:
    """The sha256 of the set's contents, whatever the files are called: other pictures make another engine."""
    digests = sorted(hashlib.sha256(path.read_bytes()).digest() for path in calibration_pictures(wanted))
    return hashlib.sha256(b"".join(digests)).hexdigest()


def label_file(picture: Path) -> Path:
    """`images/…/a.jpg` has its labels in `labels/…/a.txt`, as Ultralytics keeps them, else beside it in `a.txt`."""
    parts = picture.parts
    for index in reversed(range(len(parts) - 1)):
        if parts[index] == "images":
            mirrored = Path(*parts[:index], "labels", *parts[index + 1 :]).with_suffix(".txt")
            return mirrored if mirrored.is_file() else picture.with_suffix(".txt")
    return picture.with_suffix(".txt")


def spread(paths: Sequence[_Item], most: int) -> list[_Item]:
    """`most` of `paths`, evenly spaced, so that a sorted dataset is not judged by its first folder."""
    if len(paths) <= most:
        return list(paths)
    return [paths[index * len(paths) // most] for index in range(most)]


def _of_folder(folder: Path) -> list[Path]:
    return _pictures(folder.rglob("*"))


def _pictures(paths: Iterable[Path]) -> list[Path]:
    """Without hidden ones: what a Mac leaves beside every picture is called ._a.jpg."""
    return sorted(
        path
        for path in paths
        if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def _of_dataset(path: Path) -> list[Path]:
    try:
        dataset = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(
            f"calibration.images: {path} cannot be read: {error}", hint="Name a dataset YAML."
        ) from error
    if not isinstance(dataset, dict):
        raise SettingsError(f"calibration.images: {path} is no dataset YAML", hint="It needs a `val` or a `train` key.")
    root = path.parent / str(dataset.get("path") or "")
    entry = dataset.get("val") or dataset.get("train") or []
    folders = [root / str(folder) for folder in (entry if isinstance(entry, list) else [entry])]
    return [picture for folder in folders if folder.is_dir() for picture in _of_folder(folder)]


def _of_wheel() -> list[Path]:
    """Two street photographs come with Ultralytics; its own code is not imported for them."""
    spec = importlib.util.find_spec("ultralytics")
    if spec is None or spec.origin is None:
        return []
    return _of_folder(Path(spec.origin).parent / "assets")
