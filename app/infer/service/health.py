"""
How a service fares, in a file that anyone may read: `models/.status/infer/<name>.json`.

As with a conversion, the file is replaced in one step, and a process that was killed or hangs is known by its
heartbeat, which grows old. The heartbeat is that of the thread that runs the engine, not of the one that writes.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import Enum
from pathlib import Path
from typing import Any

from app.status import FOLDER, HUNG_AFTER

_MAX_BYTES = 2**20
_OF_SOURCE = "name", "state", "frames", "dropped", "losses", "rate", "latency_ms", "last_frame", "last_error"
_OF_SINK = "name", "error", "lost", "left_out"
_ROOM = 2000  # characters of one message


class State(str, Enum):
    STARTING = "starting"
    READY = "ready"
    DEGRADED = "degraded"  # it works, but something that was asked for is not done: `why` says what
    STOPPING = "stopping"
    STOPPED = "stopped"  # as it was told to
    FAILED = "failed"

    @property
    def is_over(self) -> bool:
        return self in (State.STOPPED, State.FAILED)


@dataclass(frozen=True)
class Health:
    """The last word of one service. Times are UTC, ISO 8601."""

    service: str
    state: State
    why: tuple[str, ...]  # it is degraded or has failed
    heartbeat: str
    started: str
    pid: int  # in its own container
    host: str  # the name of that container, or of the machine
    facts: Mapping[str, Any] = field(default_factory=dict)  # frames, engine, reload, sources, sinks

    def is_hung(self, now: datetime) -> bool:
        """A heartbeat from the future was written before the clock was set back."""
        return not self.state.is_over and abs(now - datetime.fromisoformat(self.heartbeat)) > HUNG_AFTER

    @property
    def is_here(self) -> bool:
        """Whether it was begun in this container, or on this machine, and has not ended by itself."""
        return self.host == this_host() and not self.state.is_over

    def to_json(self) -> str:
        return json.dumps(
            {
                "service": self.service,
                "state": self.state.value,
                "why": [reason[:_ROOM] for reason in self.why],
                "heartbeat": self.heartbeat,
                "started": self.started,
                "pid": self.pid,
                "host": self.host,
                **self.facts,
            },
            allow_nan=False,
        )


def health_folder(models: Path) -> Path:
    return models / FOLDER / "infer"


def health_path(models: Path, name: str) -> Path:
    return health_folder(models) / f"{name}.json"


def read_health(path: Path) -> Health | None:
    """What this file tells; None where there is none that can be read."""
    try:
        with path.open("rb") as file:
            values = json.loads(file.read(_MAX_BYTES))
        health = _health(values)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return health if health.service == path.stem else None


def _health(values: dict[str, Any]) -> Health:
    known = {name: values.pop(name) for name in ("service", "state", "why", "heartbeat", "started", "pid", "host")}
    for name in ("heartbeat", "started"):
        if datetime.fromisoformat(known[name]).tzinfo is None:
            raise ValueError(name)
    if not isinstance(known["pid"], int) or not all(isinstance(known[name], str) for name in ("service", "host")):
        raise TypeError("pid, service or host")
    for source in values.get("sources", ()):
        _ = [source[name] for name in _OF_SOURCE]
    for sink in values.get("sinks", ()):
        _ = [sink[name] for name in _OF_SINK]
    known["state"], known["why"] = State(known["state"]), tuple(map(str, known["why"]))
    return Health(**known, facts=values)


def this_host() -> str:
    return os.uname().nodename


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
