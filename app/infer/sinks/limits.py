"""How much a run that never ends may leave on the disk: files of a size, and the oldest go."""

import re
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from app.infer.sinks.files import FreeNames, Inputs

_STAMPED = re.compile(r"-(\d{8}T\d{6}\.\d{3}Z)(-\d+)?\.\w+")


@dataclass(frozen=True)
class Limits:
    rotate_bytes: int  # a file that grows beyond this is closed, and another one begun
    keep_bytes: int  # of all files of one sink together


class Shelf:
    """
    The finished files of one sink: beyond the limit the oldest are removed.

    Only what carries a moment in its name as jetsmith writes it is counted and removed, so that a file of the user's
    own in that folder is safe; those of earlier runs are found again by it.
    """

    def __init__(self, folder: Path, limits: Limits | None, pattern: str = "**/*") -> None:
        self._limits = limits
        self._files: deque[tuple[str, int]] = deque()  # text, which is small: crops are many
        self._total = 0
        if limits is not None:
            found = [(match[1], path) for path in folder.glob(pattern) if (match := _STAMPED.search(path.name))]
            for _, path in sorted(found):
                if path.is_file() and not path.is_symlink():
                    self.add(path)

    def add(self, path: Path) -> None:
        """Called with each file once it is whole."""
        if self._limits is None:
            return
        size = path.stat().st_size
        self._files.append((str(path), size))
        self._total += size
        # One more may be growing meanwhile.
        while self._files and self._total > self._limits.keep_bytes - self._limits.rotate_bytes:
            oldest, size = self._files.popleft()
            Path(oldest).unlink(missing_ok=True)
            self._total -= size


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
