"""
What a conversion is doing, in a file that anyone may read: health checks, a waiting `infer`, fleets.

`models/.status/<job>.json` is replaced in one step, so a reader sees the old text or the new one. A process that was
killed leaves its last word and a heartbeat that grows old: that is how a reader tells. Process ids would not do, they
mean nothing from one container to the next. Who writes it is in `status_reporter`.
"""

import json
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any

FOLDER = ".status"
HUNG_AFTER = timedelta(seconds=30)
MAX_BYTES = 2**16


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
        """
        Whether it says that it is at work, and has shown no sign of life for half a minute.

        A heartbeat from the future was written before the clock was set back: whoever lives gives the next in seconds.
        """
        return self.is_under_way and abs(now - datetime.fromisoformat(self.heartbeat)) > HUNG_AFTER

    def to_json(self) -> str:
        return json.dumps({**asdict(self), "state": self.state.value})


def status_path(models: Path, job: str) -> Path:
    """Where the status of a job is kept; a job is named as its engine's alias, without the ending."""
    return models / FOLDER / f"{job}.json"


def read_status(path: Path) -> Status | None:
    """The status that this file tells; None where there is none that can be read."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES)
    except OSError:
        return None
    return parse_status(data, path.stem)


def parse_status(data: bytes, job: str) -> Status | None:
    """As `read_status`; a copy of another job's says nothing of this one."""
    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        return None
    status = _status(values) if isinstance(values, dict) else None
    return status if status and status.job == job else None


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
