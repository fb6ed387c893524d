"""Keeps the status file of a service true while it runs."""

import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from app.errors import JetsmithError, SettingsError
from app.infer.lane import Condition, SourceState
from app.infer.service.health import Health, State, now, this_host
from app.progress import Reporter
from app.status_reporter import Pen

_TICK_S = 0.25
_BEAT_S = 5.0
_ALIVE_S = 10.0
"""So long may the engine's thread be silent; nothing that it does between two looks takes as long."""
_PATIENT_S = 10.0
"""A source that has given no frame for so long after the start is told of."""
_FRESH_S = 10.0
"""A rate is of the last frames: when they are older than this, it says nothing of now."""


class Watched(Protocol):
    """What a service lets be seen of it, from any thread."""

    def source_states(self) -> Sequence[SourceState]: ...

    def sink_states(self) -> Sequence[dict[str, Any]]: ...

    @property
    def engine_name(self) -> str: ...

    @property
    def frames(self) -> int: ...

    @property
    def silent_s(self) -> float:
        """Seconds since the thread that runs the engine gave a sign of life."""
        ...

    @property
    def is_stopping(self) -> bool: ...


@dataclass(frozen=True)
class _Last:
    """How the last attempt of one kind went."""

    at: str
    error: str | None


class Report:
    """
    Enter it before anything else is done; it ends with the service's last word.

    Raises:
        SettingsError: another service of this name runs.
    """

    def __init__(self, path: Path, reporter: Reporter) -> None:
        self._pen, self._reporter = Pen(path), reporter
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="status", daemon=True)
        self._watched: Watched | None = None
        self._reload: _Last | None = None
        self._refused: _Last | None = None
        self._reloads = self._reloads_refused = self._changeovers = 0
        self._began = time.monotonic()
        self._health = Health(path.stem, State.STARTING, (), now(), now(), os.getpid(), this_host())
        self._written_at, self._shown = 0.0, ""
        self._said = False

    def __enter__(self) -> "Report":
        with self._told():
            if not self._pen.take():
                raise SettingsError(
                    f"Another service {self._pen.path.stem!r} runs on this models folder",
                    hint="Stop it, or give this one another name: infer.name",
                )
        self._write()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        if isinstance(error, JetsmithError):
            last = replace(self._now(), state=State.FAILED, why=(error.message,))
        elif error is None or isinstance(error, KeyboardInterrupt | SystemExit):
            last = replace(self._now(), state=State.STOPPED, why=())
        else:
            last = replace(self._now(), state=State.FAILED, why=(f"a bug: {type(error).__name__}: {error}",))
        self._health = replace(last, heartbeat=now())
        self._write()
        self._pen.put_down()

    # --- what the service tells ---

    def watch(self, watched: Watched) -> None:
        self._began = time.monotonic()
        self._watched = watched

    def reloaded(self, error: JetsmithError | None = None) -> None:
        self._reload = _Last(now(), None if error is None else error.message)
        self._reloads += error is None
        self._reloads_refused += error is not None
        if error is None:
            self._refused = None  # the new settings brought an engine that works

    def changed_over(self, error: JetsmithError | None = None) -> None:
        self._refused = None if error is None else _Last(now(), error.message)
        self._changeovers += error is None

    # --- inside ---

    def _beat(self) -> None:
        while not self._over.wait(_TICK_S):
            self._health = self._now()
            shown = _without_figures(self._health)
            if shown != self._shown or time.monotonic() - self._written_at >= _BEAT_S:
                self._shown = shown
                self._write()

    def _now(self) -> Health:
        watched = self._watched
        if watched is None:
            return replace(self._health, heartbeat=now())
        sources, sinks = watched.source_states(), watched.sink_states()
        why = tuple(self._reasons(sources, sinks))
        state = State.DEGRADED if why else State.READY
        return replace(
            self._health,
            state=State.STOPPING if watched.is_stopping else state,
            why=why,
            heartbeat=now() if watched.silent_s < _ALIVE_S else self._health.heartbeat,
            facts={
                "frames": watched.frames,
                "engine": {
                    "name": watched.engine_name,
                    "changeovers": self._changeovers,
                    "refused": _shown(self._refused),
                },
                "reload": {
                    "done": self._reloads,
                    "refused": self._reloads_refused,
                    "last": _shown(self._reload),
                },
                "sources": [_source(state) for state in sources],
                "sinks": sinks,
            },
        )

    def _reasons(self, sources: Iterable[SourceState], sinks: Iterable[dict[str, Any]]) -> Iterable[str]:
        late = time.monotonic() - self._began > _PATIENT_S
        for state in sources:
            if state.condition is Condition.LOST:
                yield f"{state.name} is lost: {state.last_error}"
            elif state.condition is Condition.WAITING and late:
                yield f"{state.name} gives no frame"
            elif state.condition is Condition.ENDED and state.live:
                yield f"{state.name} has ended{f': {state.last_error}' if state.last_error else ''}"
        for sink in sinks:
            if sink["error"] is not None:
                yield f"{sink['name']}: {sink['error']}"
        if self._reload is not None and self._reload.error is not None:
            yield f"the new settings are refused: {self._reload.error}"
        if self._refused is not None:
            yield f"a newer engine is not used: {self._refused.error}"

    def _write(self) -> None:
        with self._told():
            self._pen.write(self._health.to_json())
            self._written_at = time.monotonic()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Errors of the status file end here, in one warning."""
        try:
            yield
        except OSError as error:
            self._tell(error)

    def _tell(self, error: OSError) -> None:
        """Once: the service is not worth less for being watched less well."""
        if not self._said:
            self._said = True
            self._reporter.warn(
                f"the status cannot be written to {self._pen.path} ({error.strerror or error}): "
                "what watches that file does not see this service"
            )


def _source(state: SourceState) -> dict[str, Any]:
    fresh = state.last_frame is not None and (datetime.now(timezone.utc) - state.last_frame).total_seconds() < _FRESH_S
    fresh = fresh and state.condition is Condition.RUNNING
    return {
        "name": state.name,
        "state": state.condition.value,
        "frames": state.frames,
        "dropped": state.dropped,
        "losses": state.losses,
        "rate": _rounded(state.rate if fresh else None),
        "latency_ms": _rounded(state.latency_ms if fresh else None),
        "last_frame": state.last_frame and state.last_frame.isoformat(timespec="milliseconds"),
        "last_error": state.last_error,
    }


def _shown(last: _Last | None) -> dict[str, Any] | None:
    return None if last is None else {"at": last.at, "error": last.error}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _without_figures(health: Health) -> str:
    """What is worth writing at once: everything but counts and rates, which change with each frame."""
    sources = [(source["name"], source["state"], source["losses"]) for source in health.facts.get("sources", ())]
    return repr((health.state, health.why, health.facts.get("engine"), health.facts.get("reload"), sources))
