"""Annotated pictures in a folder: no two under one name, no input overwritten, none half written."""

import os
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from app.errors import OutputError
from app.infer.draw import Drawer
from app.infer.frame import Failure, Frame
from app.types import Image, Result

_JPEG_QUALITY = 95
_JPEG_MAX_SIDE = 65_500
_ELSEWHERE = "Free some space, or name another folder."


class AnnotatedPictures:
    """
    Draws each result and saves it in `folder`: PNG for PNG, else JPEG.

    A second x.jpg becomes x-2.jpg. A picture of an earlier run under the same name is replaced.

    Args:
        inputs: every file that this run reads: none of them is overwritten, even if it lies in `folder`.

    Raises:
        OutputError: supervision is not installed, or the folder cannot be made or written.
    """

    def __init__(self, folder: Path, names: Mapping[int, str], inputs: Iterable[Path] = ()) -> None:
        self._folder = folder
        self._drawer = Drawer(names)
        _make_writable(folder)
        # Both the file and the name that leads to it: a link must not be replaced either.
        self._taken = {_key(form) for path in inputs for form in (path.resolve(), path.parent.resolve() / path.name)}

    def write(self, frame: Frame, result: Result) -> None:
        image = self._drawer.draw(frame.image, result)
        target = self._free_name(Path(frame.source), _suffix_for(frame))
        _write_atomically(target, _encode(image, target.suffix))

    def fail(self, failure: Failure) -> None:
        return None

    def close(self) -> None:
        return None

    def _free_name(self, source: Path, suffix: str) -> Path:
        number = 1
        while True:
            stem = source.stem if number == 1 else f"{source.stem}-{number}"
            target = self._folder / f"{stem}{suffix}"
            key = _key(self._folder.resolve() / target.name)
            if key not in self._taken:
                self._taken.add(key)
                return target
            number += 1


def _key(path: Path) -> str:
    return str(path).casefold()  # some file systems hold X.jpg and x.jpg for one


def _suffix_for(frame: Frame) -> str:
    lossless = Path(frame.source).suffix.lower() == ".png" or max(frame.image.shape[:2]) > _JPEG_MAX_SIDE
    return ".png" if lossless else ".jpg"


def _encode(image: Image, suffix: str) -> bytes:
    import cv2

    options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if suffix == ".jpg" else []
    _, data = cv2.imencode(suffix, np.ascontiguousarray(image), options)
    encoded: bytes = data.tobytes()
    return encoded


def _make_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror}", hint="Name another folder.") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{folder} cannot be written", hint="Change its permissions, or name another folder.")


def _write_atomically(target: Path, data: bytes) -> None:
    # By bytes and not by cv2.imwrite, which fails on some names and does not say why it failed.
    part = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        try:
            part.write_bytes(data)
            part.replace(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OutputError(f"{target} cannot be written: {error.strerror}", hint=_ELSEWHERE) from error
