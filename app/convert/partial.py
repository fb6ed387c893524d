"""A file that is on its way, and the notes that let a later run go on with it instead of starting anew."""

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from app.engines.files import store_error
from app.errors import WeightsError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True)
class Notes:
    """What the server said of the file when its first part came."""

    url: str  # as a digest: an address may carry a password or a token
    validator: str  # strong ETag, else Last-Modified, else empty
    length: int | None  # bytes of the whole file


class PartialFile:
    """`<target>.part` and, beside it, `<target>.part.json`. Both outlive the process that writes them."""

    def __init__(self, target: Path, url: str) -> None:
        self.target = target
        self.path = target.with_name(f"{target.name}.part")
        self._notes_path = target.with_name(f"{target.name}.part.json")
        self._url = hashlib.sha256(url.encode()).hexdigest()

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    def notes(self) -> Notes | None:
        """The notes, if the part is of the same address and may be gone on with."""
        try:
            fields = json.loads(self._notes_path.read_bytes())
            notes = Notes(str(fields["url"]), str(fields["validator"]), fields["length"])
        except (OSError, ValueError, KeyError, TypeError):
            return None  # notes are an aid: without good ones the download starts anew
        known = isinstance(notes.length, int) or (notes.length is None and notes.validator)
        return notes if known and notes.url == self._url and self.size else None

    @contextmanager
    def begin(self, validator: str, length: int | None) -> Iterator[IO[bytes]]:
        """Start anew: what was there is gone before the new notes are written."""
        with disk_errors_as_ours(self.path), self.path.open("wb") as file:
            write_atomically(self._notes_path, json.dumps(asdict(Notes(self._url, validator, length))))
            yield file

    @contextmanager
    def go_on(self) -> Iterator[IO[bytes]]:
        with disk_errors_as_ours(self.path), self.path.open("ab") as file:
            yield file

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self._notes_path.unlink(missing_ok=True)

    def publish(self) -> None:
        """Make the part the file: after a crash the target is either absent, the old one, or whole."""
        with disk_errors_as_ours(self.path):
            with self.path.open("rb") as file:
                os.fsync(file.fileno())
            self._notes_path.unlink(missing_ok=True)
            self.path.replace(self.target)
            _sync_folder(self.target.parent)


@contextmanager
def disk_errors_as_ours(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _disk_error(path, error) from error


def _disk_error(path: Path, error: OSError) -> WeightsError:
    if error.errno in _FULL:
        return WeightsError(
            f"The disk is full: {path} could not be written",
            hint=f"Free some space on the disk of {path.parent} and run the command again: it goes on from here.",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        ours = store_error(path, "write", error)  # which says whose the folder is
        return WeightsError(ours.message, hint=ours.hint)
    return WeightsError(
        f"{path} cannot be written: {error.strerror or error}",
        hint=f"Check that {path.parent} is a folder you may write to.",
    )


def write_atomically(path: Path, text: str) -> None:
    """
    Write beside and rename, so that a reader or a crash never sees half a file.

    One writer at a time (all hold the ledger's lock): the fixed name lets the next one clear up after a kill.
    """
    beside = path.with_name(f".{path.name}.tmp")
    try:
        with beside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems cannot; the rename itself has been done
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
