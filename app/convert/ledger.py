"""
`models/weights.json`: what was downloaded, when, from where, and with which digest.

It does two things: a digest seen once is expected again (trust on first use, for files whose digest is not
pinned), and only a file that stands here unchanged may be overwritten by `--force-download`.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from app.convert.partial import disk_errors_as_ours, write_atomically
from app.errors import WeightsError
from app.progress import Reporter

_FORMAT = 1


@dataclass(frozen=True)
class Record:
    sha256: str
    size: int
    url: str  # without user, password or query
    date: str  # UTC, ISO 8601
    paths: tuple[str, ...]  # where it was put; relative to the ledger's folder if below it


class Ledger:
    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, Record]:
        """
        Every record by the name of the weights file.

        Raises:
            WeightsError: the ledger is there but is damaged or cannot be read.
        """
        try:
            content = json.loads(self.path.read_bytes())
            if content["format"] != _FORMAT:
                raise ValueError(f"format {content['format']!r} is not {_FORMAT}")
            return {str(name): _record(fields) for name, fields in content["weights"].items()}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise WeightsError(
                f"The list of downloads {self.path} cannot be read: {error.strerror}",
                hint="Check its owner and permissions.",
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise WeightsError(
                f"The list of downloads {self.path} is damaged: {type(error).__name__}: {error}",
                hint="Restore it from a backup, or delete it: digests are then recorded anew at the next download.",
            ) from error

    def put_here(self, target: Path, sha256: str) -> bool:
        """Whether the file at `target`, which has this digest, is one that jetsmith downloaded."""
        place = self._place(target)
        return any(place in record.paths and record.sha256 == sha256 for record in self.read().values())

    def add(self, name: str, record: Record, target: Path) -> None:
        """Record a download; only while the lock is held."""
        records = self.read()
        known = records.get(name)
        paths = known.paths if known is not None and known.sha256 == record.sha256 else ()
        everywhere = tuple(dict.fromkeys([*paths, *record.paths, self._place(target)]))
        records[name] = Record(record.sha256, record.size, record.url, record.date, everywhere)
        content = {"format": _FORMAT, "weights": {key: asdict(value) for key, value in records.items()}}
        with disk_errors_as_ours(self.path):
            write_atomically(self.path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    @contextmanager
    def lock(self, reporter: Reporter) -> Iterator[None]:
        """One download at a time, across processes; the kernel frees the lock of one that dies."""
        from filelock import FileLock, Timeout

        with disk_errors_as_ours(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path.with_name(f".{self.path.name}.lock"))
            try:
                lock.acquire(timeout=0)
            except Timeout:
                reporter.note("Another jetsmith is downloading weights: waiting for it")
                lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _place(self, target: Path) -> str:
        folder, target = self.path.parent.absolute(), target.absolute()
        return target.relative_to(folder).as_posix() if target.is_relative_to(folder) else str(target)


def _record(fields: Mapping[str, Any]) -> Record:
    record = Record(
        sha256=str(fields["sha256"]),
        size=int(fields["size"]),
        url=str(fields["url"]),
        date=str(fields["date"]),
        paths=tuple(str(path) for path in fields["paths"]),
    )
    if len(record.sha256) != 64 or int(record.sha256, 16) < 0:
        raise ValueError(f"{record.sha256!r} is no SHA-256")
    return record
