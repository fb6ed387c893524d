"""Files that sinks write: names that are safe and free, folders that can be written, nothing half done."""

import os
import re
import secrets
from collections.abc import Iterable
from pathlib import Path

from app.errors import OutputError
from app.infer.frame import Frame, Kind
from app.types import Image

ELSEWHERE = "Free some space, or name another folder."
PICTURE_SUFFIXES = (".jpg", ".png")
_JPEG_QUALITY = 95
_JPEG_MAX_SIDE = 65_500
_LONGEST_NAME = 150  # bytes; what is added to it stays within the 255 of every file system


class Inputs:
    """Every file that a run reads: none of them is overwritten, not even through a link."""

    def __init__(self, paths: Iterable[Path] = ()) -> None:
        # Both the file and the name that leads to it: a link must not be replaced either.
        self._keys = {_key(form) for path in paths for form in (path.resolve(), path.parent.resolve() / path.name)}

    def hold(self, path: Path) -> bool:
        return _key(path.parent.resolve() / path.name) in self._keys or _key(path.resolve()) in self._keys


class FreeNames:
    """Gives each result a file of its own: a second x.jpg becomes x-2.jpg."""

    def __init__(self, folder: Path, inputs: Inputs) -> None:
        self.folder, self._inputs = folder, inputs
        self._given: set[str] = set()

    def take(self, stem: str, suffix: str) -> Path:
        number = 1
        while True:
            target = self.folder / f"{stem if number == 1 else f'{stem}-{number}'}{suffix}"
            if _key(target) not in self._given and not self._inputs.hold(target):
                self._given.add(_key(target))
                return target
            number += 1


def stem_of(frame: Frame) -> str:
    """What the files of this source are called: a file by its own stem, a camera by its address."""
    if frame.kind is not Kind.LIVE:
        return _cut(Path(frame.source).stem)
    return safe_name(frame.source.partition("://")[2] or frame.source)


def safe_name(text: str) -> str:
    """Letters and digits of any script, dots, lines; "" if nothing of `text` can stand in a file name."""
    return _cut(re.sub(r"[^\w.-]+", "-", text).strip(".-"))


def _cut(name: str) -> str:
    return os.fsencode(name)[:_LONGEST_NAME].decode(errors="ignore") if len(os.fsencode(name)) > _LONGEST_NAME else name


def _key(path: Path) -> str:
    return str(path).casefold()  # some file systems hold X.jpg and x.jpg for one


def picture_suffix(frame: Frame, image: Image) -> str:
    """PNG for what came as PNG, and for what no JPEG can hold."""
    lossless = Path(frame.source).suffix.lower() == ".png" or max(image.shape[:2]) > _JPEG_MAX_SIDE
    return ".png" if lossless else ".jpg"


def encoded(image: Image, suffix: str) -> bytes:
    import cv2
    import numpy as np

    options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if suffix == ".jpg" else []
    _, data = cv2.imencode(suffix, np.ascontiguousarray(image), options)
    made: bytes = data.tobytes()
    return made


def make_writable(folder: Path) -> None:
    """
    Raises:
        OutputError: the folder cannot be made, or not be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror}", hint="Name another folder.") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{folder} cannot be written", hint="Change its permissions, or name another folder.")


def write_atomically(target: Path, data: bytes) -> None:
    """
    Raises:
        OutputError: it cannot be written; nothing is left behind then.
    """
    # By bytes and not by cv2.imwrite, which fails on some names and does not say why it failed.
    part = part_beside(target)
    try:
        try:
            part.write_bytes(data)
            part.replace(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise cannot_write(target, error) from error


def part_beside(target: Path) -> Path:
    return target.with_name(f".{secrets.token_hex(8)}.part")


def cannot_write(target: Path, error: OSError) -> OutputError:
    return OutputError(f"{target} cannot be written: {error.strerror or error}", hint=ELSEWHERE)
