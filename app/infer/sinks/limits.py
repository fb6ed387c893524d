"""How much a run that never ends may leave on the disk: files of a size, and the oldest go."""

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from app.errors import OutputError
from app.infer.sinks.files import FreeNames, Inputs

_STAMPED = re.compile(r"-(\d{8}T\d{6}\.\d{3}Z)(-\d+)?(\.[^.]+)?$")
MOMENT = "????????T??????.???Z"  # a stamp, for a pattern
_STILL_S = 60.0  # a video that has not grown for so long is closed
_PERMISSIONS = "Change its permissions, or name another place for the results."


@dataclass(frozen=True)
class Limits:
    rotate_bytes: int  # a file that grows beyond this is closed, and another one begun
    keep_bytes: int  # of all files of one sink together


class Shelf:
    """
    The finished files of one sink: beyond the limit the oldest are removed.

    Only what carries a moment in its name as jetsmith writes it is counted and removed, so that a file of the user's
    own in that folder is safe; those of earlier runs are found again by it.

    Args:
        pattern: where below the folder this sink writes: another one may write beside it.
        suffixes: of the files of this sink.
        growing: those of files that another sink may still be writing, as a service's does for a while after a reload.

    Raises:
        OutputError: the oldest cannot be removed.
    """

    def __init__(
        self,
        folder: Path,
        limits: Limits | None,
        pattern: str,
        suffixes: Iterable[str],
        growing: Iterable[str] = (),
    ) -> None:
        self._limits = limits
        self._files: dict[str, int] = {}  # and their sizes, the oldest first; text, which is small: crops are many
        self._total = 0
        self._growing: set[str] = set()
        if limits is not None:
            for path in _finished(folder, pattern, frozenset(suffixes)):
                self.add(path)
            self._growing = {name for name in self._files if name.endswith(tuple(growing))}

    def add(self, path: Path) -> None:
        """Called with each file once it is whole."""
        if self._limits is None:
            return
        try:
            size = path.stat().st_size
        except FileNotFoundError:  # somebody else has removed it already
            return
        except OSError as error:
            raise OutputError(f"{path} cannot be looked at: {error.strerror}", hint=_PERMISSIONS) from error
        self._count(str(path), size)
        self._look_at_growing()
        # One more may be growing meanwhile.
        while self._files and self._total > self._limits.keep_bytes - self._limits.rotate_bytes:
            oldest = next(iter(self._files))
            _remove(Path(oldest))
            self._total -= self._files.pop(oldest)

    def _count(self, name: str, size: int) -> None:
        self._total += size - self._files.get(name, 0)
        self._files[name] = size

    def _look_at_growing(self) -> None:
        for name in list(self._growing):
            try:
                facts = Path(name).stat()
            except OSError:  # it is gone, or will be an error when it is removed
                self._growing.discard(name)
                continue
            if name in self._files:
                self._count(name, facts.st_size)
            if name not in self._files or time.time() - facts.st_mtime > _STILL_S:
                self._growing.discard(name)


def _finished(folder: Path, pattern: str, suffixes: frozenset[str]) -> list[Path]:
    """The oldest first."""
    try:
        found = [
            (match[1], path)
            for path in folder.glob(pattern)
            if (match := _STAMPED.search(path.name)) and (match[3] or "") in suffixes and _lies_in(folder, path)
        ]
    except OSError as error:
        raise OutputError(f"{folder} cannot be read: {error.strerror}", hint=_PERMISSIONS) from error
    return [path for _, path in sorted(found)]


def _lies_in(folder: Path, path: Path) -> bool:
    """A link leads out of the folder, to what others may need."""
    return path.is_file() and not path.is_symlink() and (path.parent == folder or not path.parent.is_symlink())


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{path} is the oldest and cannot be removed: {error.strerror}", hint=_PERMISSIONS) from error


class StampedNames(FreeNames):
    """Names with the moment in them: those of a run that never ends, and is started again."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, Inputs())

    def take(self, stem: str, suffix: str) -> Path:
        number, name = 1, f"{stem}-{stamp()}"
        while True:
            target = self.folder / f"{name if number == 1 else f'{name}-{number}'}{suffix}"
            if not target.exists():
                return target
            number += 1


def stamp() -> str:
    """20261122T100000.125Z"""
    now = datetime.now(timezone.utc)
    return f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03}Z"
