"""
Locks between processes, and between containers that share a folder.

`flock` alone decides: the kernel frees it when its holder dies, whatever killed it, and process ids mean nothing from
one container to the next. What stands in a lock file only tells a waiting person whom they wait for. A lock file is
removed by its holder on release; the one that a killed process leaves is empty of force and swept at the next start.
"""

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from app.engines.files import make_folder, store_errors
from app.errors import StoreError

POLL_S = 0.1


@dataclass(frozen=True)
class Holder:
    """Who holds a lock, in its own words: the pid is that of its own container."""

    pid: str
    host: str
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


Waiting = Callable[[Holder], None]


@contextmanager
def hold(path: Path, waiting: Waiting | None = None, timeout_s: float | None = None) -> Iterator[None]:
    """
    Hold the lock; `waiting` is told of each holder that is waited for.

    Raises:
        StoreError: the folder cannot be written, or the time is over.
    """
    descriptor = _acquire(path, waiting, timeout_s)
    try:
        yield
    finally:
        try:
            with store_errors(path, "release"):
                if _is_at(descriptor, path):
                    path.unlink()
        finally:
            os.close(descriptor)


def is_free(path: Path) -> bool:
    """Whether it is there and nobody holds it. Only a look: another may take it the next moment."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return _try(descriptor)
    finally:
        os.close(descriptor)


def remove_if_free(path: Path) -> bool:
    """Remove a lock file that nobody holds; whoever opened it meanwhile sees that it is gone and starts over."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        free = _try(descriptor) and _is_at(descriptor, path)
        if free:
            path.unlink()
        return free
    finally:
        os.close(descriptor)


@contextmanager
def guard(path: Path) -> Iterator[None]:
    """Mark a new folder as in use for as long as this process lives."""
    with path.open("xb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _acquire(path: Path, waiting: Waiting | None, timeout_s: float | None) -> int:
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    told: Holder | None = None
    while True:
        with store_errors(path.parent, "lock"):
            descriptor = _attempt(path)
        if descriptor is not None:
            return descriptor
        holder = _holder(path)
        if waiting and holder and holder != told:
            waiting(holder)
            told = holder
        if deadline is not None and time.monotonic() > deadline:
            raise StoreError(
                f"{path.parent.parent} is locked by {holder or 'another process'}.",
                hint="Wait until that process has ended, or end it.",
            )
        time.sleep(POLL_S)


def _attempt(path: Path) -> int | None:
    """The open descriptor of the lock that we hold now, or None."""
    make_folder(path.parent)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    held = False
    try:
        if _try(descriptor) and _is_at(descriptor, path):  # else: its last holder removed the file we opened
            _introduce(descriptor)
            held = True
    finally:
        if not held:
            os.close(descriptor)
    return descriptor if held else None


def _introduce(descriptor: int) -> None:
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    myself = Holder(str(os.getpid()), socket.gethostname(), now)
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(asdict(myself)).encode(), 0)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        # The lock itself needs no room, and `prune` must work on a full disk: those who wait see no name.


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), there)


def _holder(path: Path) -> Holder | None:
    try:
        values = json.loads(path.read_text("utf-8"))
        return Holder(str(values["pid"]), str(values["host"]), str(values["since"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # it has just been taken or released: the next look will tell
