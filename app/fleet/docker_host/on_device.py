"""
What runs inside a container on a device, given as text to the Python of its image: the standard library alone.

`look` tells what Docker's API does not; `settle` gives a file that has arrived its name. One line of JSON each.
"""

import hashlib
import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

MOST_TEXT = 4096
MOST_MANIFEST = 1 << 20
NOT_WRITABLE = 77
NOT_WHOLE = 78


def look(asked: dict[str, Any]) -> dict[str, Any]:
    root, models = Path(asked["root"]), Path(asked["models"])
    return {
        "release": _text(root / "etc/nv_tegra_release"),
        "model": _text(root / "etc/jetsmith/model"),
        "compatible": _text(root / "etc/jetsmith/compatible"),
        "meminfo": _text(root / "proc/meminfo"),
        "disk": _free(root),
        "files": {path: _digest(models / path) for path in asked["files"]},
        "manifest": _manifest(models, [models / name for name in asked["aliases"]]),
    }


def settle(asked: dict[str, Any]) -> int:
    models = Path(asked["models"])
    arrived, place = models / asked["arrived"], models / asked["place"]
    if not os.access(models, os.W_OK) or not os.access(arrived.parent, os.W_OK):
        return NOT_WRITABLE
    if _digest(arrived) != asked["digest"]:
        arrived.unlink(missing_ok=True)
        return NOT_WHOLE
    place.parent.mkdir(parents=True, exist_ok=True)
    _sync(arrived)
    arrived.replace(place)
    _sync(place.parent)
    return 0


def _text(path: Path) -> str:
    """The null characters of a device tree stay: they end each of its names."""
    try:
        with path.open("rb") as file:
            return file.read(MOST_TEXT).decode(errors="replace")
    except OSError:
        return ""


def _free(root: Path) -> int:
    """Of the disk that holds Docker's own: a container's root lies on it."""
    told = os.statvfs(root)
    return told.f_bavail * told.f_frsize


def _digest(path: Path) -> str:
    """Empty where there is no regular file."""
    digest = hashlib.sha256()
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(number, "rb") as file:
            if not stat.S_ISREG(os.fstat(number).st_mode):
                return ""
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError:
        return ""
    return digest.hexdigest()


def _manifest(models: Path, aliases: list[Path]) -> str:
    """Beside the first engine that one of the aliases leads to, as the store has it."""
    for alias in aliases:
        engine = Path(os.path.realpath(alias))
        if alias.is_symlink() and engine.is_file() and engine.is_relative_to(os.path.realpath(models)):
            found = _beside(engine)
            if found:
                return found
    return ""


def _beside(engine: Path) -> str:
    for name in (engine.parent / f"{stem}.json" for stem in _stems(engine.name)):
        try:
            with name.open("rb") as file:
                data = file.read(MOST_MANIFEST + 1)
        except OSError:
            continue
        return data.decode(errors="replace") if len(data) <= MOST_MANIFEST else ""
    return ""


def _stems(name: str) -> list[str]:
    """ "a.ort.onnx" may belong to "a.ort.json" or "a.json"."""
    once = name.rpartition(".")[0]
    return [once, once.rpartition(".")[0]]


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def main(verb: str, asked: str) -> int:
    if verb == "settle":
        return settle(json.loads(asked))
    sys.stdout.write(json.dumps(look(json.loads(asked))) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
