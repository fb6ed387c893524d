"""How much a run that never ends may leave on the disk: files of a size, and the oldest go."""

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from app.errors import OutputError
from app.infer.sinks.files import FreeNames, Inputs

_STAMPED = re.compile(r"-(\d{8}T\d{6}\.\d{3}Z)(-\d+)?(\.[^.]+)?$")
MOMENT = "????????T??????.???Z"  # a stamp, for a pattern
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

    Raises:
        OutputError: the oldest cannot be removed.
    """

    def __init__(self, folder: Path, limits: Limits | None, pattern: str, suffixes: Iterable[str]) -> None:
        self._limits = limits
        self._files: deque[tuple[str, int]] = deque()  # text, which is small: crops are many
        self._total = 0
        if limits is not None:
            for path in _finished(folder, pattern, frozenset(suffixes)):
                self.add(path)

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
        self._files.append((str(path), size))
        self._total += size
        # One more may be growing meanwhile.
        while self._files and self._total > self._limits.keep_bytes - self._limits.rotate_bytes:
            oldest, size = self._files[0]
            _remove(Path(oldest))
            self._files.popleft()
            self._total -= size


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
