"""
What a conversion is doing, in a file that anyone may read: health checks, a waiting `infer`, fleets.

`models/.status/<job>.json` is replaced in one step, so a reader sees the old text or the new one. A process that was
killed leaves its last word and a heartbeat that grows old: that is how a reader tells. Process ids would not do, they
mean nothing from one container to the next.
"""

import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timedelta, timezone
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any

from app.errors import JetsmithError
from app.progress import Phase, Reporter

FOLDER = ".status"
HUNG_AFTER = timedelta(seconds=30)
_TICK_S = 1.0
_HEARTBEAT_S = 5.0
_MAX_BYTES = 2**16
_PARTIAL = ".part"


class State(Enum):
    RUNNING = "running"
    WAITING = "waiting"  # for another process, which builds the same engine
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True)
class Status:
    """One job's last word. Times are UTC, ISO 8601."""

    job: str
    state: State
    phase: str  # what is being done, or was last
    percent: float | None  # of the phase; None where it has no known end
    message: str  # the last remark; for a failure, why
    hint: str  # for a failure: what to do next
    started: str
    updated: str  # when anything but the heartbeat changed
    heartbeat: str
    pid: int  # in its own container

    @property
    def is_under_way(self) -> bool:
        return self.state in (State.RUNNING, State.WAITING)

    def is_hung(self, now: datetime) -> bool:
        """Whether it says that it is at work, and has shown no sign of life for half a minute."""
        return self.is_under_way and now - datetime.fromisoformat(self.heartbeat) > HUNG_AFTER

    def to_json(self) -> str:
        return json.dumps({**asdict(self), "state": self.state.value})


def status_path(models: Path, job: str) -> Path:
    """Where the status of a job is kept; a job is named as its engine's alias, without the ending."""
    return models / FOLDER / f"{job}.json"


def read_status(path: Path) -> Status | None:
    """The status that this file tells; None where there is none that can be read."""
    try:
        with path.open("rb") as file:
            values = json.loads(file.read(_MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    status = _status(values) if isinstance(values, dict) else None
    return status if status and status.job == path.stem else None  # a copy of another job's says nothing of this one


def _status(values: dict[str, Any]) -> Status | None:
    kinds = {"percent": (int, float, type(None)), "pid": (int,)}
    names = [field.name for field in fields(Status)]
    if any(not isinstance(values.get(name), kinds.get(name, (str,))) or name not in values for name in names):
        return None
    try:
        moments = [datetime.fromisoformat(values[name]) for name in ("started", "updated", "heartbeat")]
        state = State(values["state"])
    except ValueError:
        return None
    if any(moment.tzinfo is None for moment in moments):
        return None
    return Status(**{**{name: values[name] for name in names}, "state": state})


class StatusReporter:
    """
    Shows work as the reporter that it wraps does, and keeps the job's status file.

    The file is written from the first phase on, so that a process that only finds its engine there, or waits for
    another one that builds it, leaves the file alone. Where it cannot be written, that is said once, and the work
    goes on: it is not worth less for being watched less well.
    """

    def __init__(self, inner: Reporter, path: Path) -> None:
        self._inner, self._path = inner, path
        self._lock = threading.RLock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._said = False
        self._changed = False
        self._written = 0.0
        now = _now()
        self._status = Status(path.stem, State.RUNNING, "", None, "", "", now, now, now, os.getpid())

    # --- Reporter ---

    @contextmanager
    def phase(self, name: str, total: float | None = None, unit: str = "") -> Iterator[Phase]:
        with self._inner.phase(name, total, unit) as step:
            self._begin(name)
            yield _WatchedPhase(step, self, total)

    def note(self, message: str) -> None:
        self._change(message=message)
        self._inner.note(message)

    def warn(self, message: str) -> None:
        self._change(message=message)
        self._inner.warn(message)

    def detail(self, message: str) -> None:
        self._inner.detail(message)

    # --- the end ---

    def ready(self, message: str) -> None:
        """The engine is there. Nothing is written if the file says so already and nothing was done."""
        if self._thread is None and (known := read_status(self._path)) and known.state is State.READY:
            return
        self._finish(state=State.READY, phase="", percent=100.0, message=message)

    def __enter__(self) -> "StatusReporter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, JetsmithError):
            self._finish(state=State.FAILED, message=error.message, hint=error.hint)
        elif isinstance(error, KeyboardInterrupt | SystemExit):
            self._finish(state=State.FAILED, message="it was stopped before it was done", hint="Start it again.")
        elif error is not None:
            self._finish(state=State.FAILED, message=f"a bug: {type(error).__name__}: {error}")
        self._stop()

    # --- inside ---

    def percent(self, percent: float | None) -> None:
        self._change(percent=percent)

    def _begin(self, phase: str) -> None:
        with self._lock:
            self._change(phase=phase, percent=None)
            self._write()
            if self._thread is None:
                self._thread = threading.Thread(target=self._beat, name="status", daemon=True)
                self._thread.start()

    def _finish(self, **changes: Any) -> None:
        self._stop()
        self._change(**changes)
        self._write()

    def _stop(self) -> None:
        self._stopped.set()
        if self._thread is not None:
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

    def _write(self) -> None:
        with self._lock:
            self._status = replace(self._status, heartbeat=_now())
            self._changed, self._written = False, time.monotonic()
            try:
                _replace(self._path, self._status.to_json())
            except OSError as error:
                self._say(error)

    def _say(self, error: OSError) -> None:
        if not self._said:
            self._said = True
            self._inner.warn(
                f"the status cannot be written to {self._path} ({error.strerror or error}): "
                "what watches that file does not see this conversion"
            )


class _WatchedPhase:
    def __init__(self, inner: Phase, status: StatusReporter, total: float | None) -> None:
        self._inner, self._status, self._total = inner, status, total

    def update(self, completed: float, total: float | None = None) -> None:
        self._total = self._total if total is None else total
        self._status.percent(round(100 * completed / self._total, 1) if self._total else None)
        self._inner.update(completed, total)


def _replace(path: Path, text: str) -> None:
    """Not synced: after a power cut there is no process to watch, and a card should not wear for it."""
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.parent.chmod(0o755)  # its readers may be other users
    descriptor, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=_PARTIAL, dir=path.parent)
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        partial.chmod(0o644)
        partial.replace(path)
    except OSError:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    _sweep(path)


def _sweep(path: Path) -> None:
    """Remove what a kill between writing and renaming left; a live writer needs milliseconds."""
    for partial in path.parent.glob(f".*{_PARTIAL}"):
        with suppress(FileNotFoundError):
            if time.time() - partial.stat().st_mtime > HUNG_AFTER.total_seconds():
                partial.unlink()


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
