"""
Keeps the status file of a job while it is worked on.

One process at a time writes a job's file: the one that holds the lock beside it, which the kernel frees however that
process ends. Another one that works on the same job, or waits to, stays silent until the first is done, so that a
reader never sees two stories mixed. Its own log tells the second one's.
"""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any

from app.errors import JetsmithError
from app.progress import Phase, Reporter
from app.status import State, Status, read_status

_TICK_S = 1.0
_HEARTBEAT_S = 5.0
_LAST_WORD_S = 0.2


class StatusReporter:
    """
    Shows work as the reporter that it wraps does, and keeps the job's status file.

    Where the file cannot be written, that is said once, when there is something to tell, and the work goes on: it is
    not worth less for being watched less well.
    """

    def __init__(self, inner: Reporter, path: Path) -> None:
        self._inner, self._pen = inner, Pen(path)
        self._lock = threading.RLock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="status", daemon=True)
        self._error: OSError | None = None
        self._has_worked = self._said = self._changed = False
        self._written = 0.0
        self._before: Status | None = None
        now = _now()
        self._status = Status(path.stem, State.RUNNING, "start", None, "", "", now, now, now, os.getpid())

    # --- Reporter ---

    @contextmanager
    def phase(self, name: str, total: float | None = None, unit: str = "") -> Iterator[Phase]:
        with self._inner.phase(name, total, unit) as step:
            self._begin(phase=name)
            yield _WatchedPhase(step, self, total)

    @contextmanager
    def waiting(self, why: str) -> Iterator[None]:
        """As a phase, while another process does the work."""
        with self._inner.phase(why):
            self._begin(state=State.WAITING, phase="wait", message=why)
            try:
                yield
            finally:
                self._change(state=State.RUNNING, message="")

    def note(self, message: str) -> None:
        self._change(message=message)
        self._inner.note(message)

    def warn(self, message: str) -> None:
        self._change(message=message)
        self._inner.warn(message)

    def detail(self, message: str) -> None:
        self._inner.detail(message)

    # --- from start to end ---

    def __enter__(self) -> "StatusReporter":
        self._write()
        self._thread.start()
        return self

    def ready(self, message: str) -> None:
        """The engine is there; if it was before and nothing was done, since when it has been is left as it was."""
        self._finish(state=State.READY, phase="", percent=100.0, message=message)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if isinstance(error, JetsmithError):
                self._finish(state=State.FAILED, message=error.message, hint=error.hint)
            elif isinstance(error, KeyboardInterrupt | SystemExit):
                self._finish(state=State.FAILED, message="it was stopped before it was done", hint="Start it again.")
            elif error is not None:
                self._finish(state=State.FAILED, message=f"a bug: {type(error).__name__}: {error}")
            self._stop()
        finally:
            self._pen.put_down()

    # --- inside ---

    def percent(self, percent: float | None) -> None:
        self._change(percent=percent)

    def _begin(self, **changes: Any) -> None:
        with self._lock:
            self._has_worked = True
            self._change(percent=None, **changes)
            self._write()
            self._complain()

    def _finish(self, **changes: Any) -> None:
        self._stop()
        self._change(**changes)
        if not self._has_worked and self._status.state is State.READY:
            self._keep_since()
        if not self._write():
            time.sleep(_LAST_WORD_S)  # whoever just finished this job may be about to put down the pen
            self._write()
        if self._has_worked or self._status.state is State.FAILED:
            self._complain()

    def _keep_since(self) -> None:
        if self._before is not None and self._before.state is State.READY:
            self._status = replace(self._status, message=self._before.message, updated=self._before.updated)

    def _stop(self) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _beat(self) -> None:
        while not self._stopped.wait(_TICK_S):
            with self._lock:
                if self._changed or time.monotonic() - self._written >= _HEARTBEAT_S:
                    self._write()

    def _change(self, **changes: Any) -> None:
        with self._lock:
            self._status = replace(self._status, **changes, updated=_now())
            self._changed = True

    def _write(self) -> bool:
        """Whether there is nothing left to be said: it was written, or never can be."""
        with self._lock:
            self._status = replace(self._status, heartbeat=_now())
            try:
                if not self._pen.take():
                    return False
                if self._before is None:
                    self._before = read_status(self._pen.path)
                self._pen.write(self._status.to_json())
                self._error = None
            except OSError as error:
                self._error = error
                self._pen.put_down()  # who may write shall
            self._changed, self._written = False, time.monotonic()
            return True

    def _complain(self) -> None:
        if self._error is not None and not self._said:
            self._said = True
            self._inner.warn(
                f"the status cannot be written to {self._pen.path} ({self._error.strerror or self._error}): "
                "what watches that file does not see this conversion"
            )


class _WatchedPhase:
    def __init__(self, inner: Phase, status: StatusReporter, total: float | None) -> None:
        self._inner, self._status, self._total = inner, status, total

    def update(self, completed: float, total: float | None = None) -> None:
        self._total = self._total if total is None else total
        self._status.percent(round(100 * completed / self._total, 1) if self._total else None)
        self._inner.update(completed, total)


class Pen:
    """The right to write one status file. A lock file that a killed process leaves is free, and serves the next."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock_path = path.with_name(f".{path.stem}.lock")
        self._lock: int | None = None

    def take(self) -> bool:
        """Whether this process has it now. Raises OSError where no lock can be had at all."""
        if self._lock is None:
            _make_folder(self.path.parent)
            lock = os.open(self._lock_path, os.O_RDONLY | os.O_CREAT, 0o644)
            try:
                if _locked(lock) and self._is_at_its_place(lock):
                    self._lock = lock
            finally:
                if self._lock is None:
                    os.close(lock)
        return self._lock is not None

    def put_down(self) -> None:
        if self._lock is not None:
            with suppress(OSError):  # in a folder of another user it is theirs to remove
                self._lock_path.unlink()
            os.close(self._lock)
            self._lock = None

    def _is_at_its_place(self, lock: int) -> bool:
        """Else its last holder has removed the file that we opened."""
        try:
            return os.path.samestat(os.fstat(lock), self._lock_path.stat())
        except FileNotFoundError:
            return False

    def write(self, text: str) -> None:
        """Not synced: after a power cut there is no process to watch, and a card should not wear for it."""
        partial = self.path.with_name(f".{self.path.name}.part")  # one writer, so one name: no kill leaves a second
        partial.unlink(missing_ok=True)
        try:
            with partial.open("x", encoding="utf-8") as file:
                os.fchmod(file.fileno(), 0o644)
                file.write(text)
            partial.replace(self.path)
        except OSError:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)  # its readers may be other users


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
