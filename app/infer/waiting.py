"""
Wait for a converter to build the engine, by what its status file says.

What counts is whether the file says anything *new* while we watch. A converter speaks at least every five seconds, so
whatever stands there unchanged is yesterday's word, or that of a process that was killed. The clock of the day decides
nothing, for a board without a battery starts in the past and jumps when the network comes: it only shortens the wait
after a converter that failed just before we looked.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import groupby
from pathlib import Path

from app.engines.engine import Engine
from app.errors import ConvertError, EngineDamaged, EngineError, EngineNotFound, EngineStale, JetsmithError
from app.progress import Reporter
from app.status import HUNG_AFTER, State, Status, read_status

_POLL_S = 0.5
_FRESH_S = 10.0
_BUILT = EngineNotFound, EngineStale, EngineDamaged  # what a conversion mends


@dataclass(frozen=True)
class Patience:
    """Seconds without a new word, after which nothing more is to be expected."""

    begin: float = 20.0  # a converter that starts together with us has to load Python and its settings first
    silence: float = HUNG_AFTER.total_seconds()
    just_failed: float = 6.0  # one that failed just before we came may be starting again
    failed: float = 3.0  # another converter may wait for the lock of the one that failed, and take over


@dataclass(frozen=True)
class Sign:
    """What is to be shown of the wait at one moment."""

    what: str
    percent: float | None = None


class Watch:
    """
    What the words of a status file, one after the other, mean to one who waits. Pure: `look` is told the time.

    `look` returns None once the engine is to be tried. `is_fresh`: the first word seems to be seconds old.
    """

    def __init__(
        self, first: Status | None, now: float, patience: Patience | None = None, *, is_fresh: bool = False
    ) -> None:
        self._patience, self._is_fresh = patience or Patience(), is_fresh
        self._last, self._since = first, now
        self._heard = False  # whether anything was said while we watched

    def look(self, status: Status | None, now: float) -> Sign | None:
        """
        Raises:
            ConvertError: the conversion failed, hangs, or nobody converts.
        """
        if status != self._last:
            self._last, self._since = status, now
            self._heard = status is not None
        silent = now - self._since
        if status is None or not self._heard:
            return self._not_heard(status, silent)
        if status.state is State.READY:
            return None
        if status.state is State.FAILED:
            return self._failed(status, silent)
        if silent > self._patience.silence:
            raise _hung(status)
        return _sign(status)

    def _not_heard(self, status: Status | None, silent: float) -> Sign:
        if silent <= self._begins_within(status):
            return Sign("wait for the converter to begin")
        if status is None or status.state is State.READY:
            raise ConvertError("nobody is building it")
        if status.is_under_way:
            raise _hung(status)
        raise _failure(status, "the last conversion failed, and none has begun since")

    def _begins_within(self, status: Status | None) -> float:
        if status is not None and status.is_under_way:
            return self._patience.silence
        if status is not None and status.state is State.FAILED and self._is_fresh:
            return self._patience.just_failed
        return self._patience.begin

    def _failed(self, status: Status, silent: float) -> Sign:
        if silent > self._patience.failed:
            raise _failure(status, "the conversion failed")
        return Sign("see whether another converter goes on")


def wait_for_engine(
    find: Callable[[], Engine], path: Path, reporter: Reporter, patience: Patience | None = None
) -> Engine:
    """
    The engine that `find` finds: at once, else once the converter that keeps the status at `path` is done.

    Raises:
        EngineError: there is none, and why none will come: the conversion failed, hangs, or nobody converts.
    """
    first = read_status(path)  # before the look, so that a converter that is done between the two is heard
    try:
        return find()
    except _BUILT as error:
        missing = error
    reporter.note(missing.message)
    try:
        _follow(path, first, reporter, patience)
    except ConvertError as error:
        return _last_look(find, _explained(error, missing, path))
    return _as_promised(find)


def _follow(path: Path, first: Status | None, reporter: Reporter, patience: Patience | None) -> None:
    """Show what the converter does until there is an engine to try."""
    for what, signs in groupby(_signs(path, first, patience), key=lambda sign: sign.what):
        with reporter.phase(what) as step:
            for sign in signs:
                if sign.percent is not None:
                    step.update(sign.percent, 100)


def _signs(path: Path, first: Status | None, patience: Patience | None) -> Iterator[Sign]:
    watch = Watch(first, time.monotonic(), patience, is_fresh=_is_fresh(first))
    while (sign := watch.look(read_status(path), time.monotonic())) is not None:
        yield sign
        time.sleep(_POLL_S)


def _is_fresh(status: Status | None) -> bool:
    if status is None:
        return False
    return abs((datetime.now(timezone.utc) - datetime.fromisoformat(status.heartbeat)).total_seconds()) < _FRESH_S


def _as_promised(find: Callable[[], Engine]) -> Engine:
    try:
        return find()
    except _BUILT as error:
        raise type(error)(
            f"{error.message} Yet a converter has just said that it is done: it was given other settings or weights, "
            "or sees another device.",
            hint="Let both see the same settings, models folder and board files, as docker-compose.yml does.",
        ) from error


def _last_look(find: Callable[[], Engine], error: EngineError) -> Engine:
    """A converter may have been killed after it published the engine, and before it could say so."""
    try:
        return find()
    except _BUILT:
        raise error from None


def _explained(error: ConvertError, missing: JetsmithError, path: Path) -> EngineError:
    unreadable = _unreadable(path)
    if unreadable:
        return EngineNotFound(f"{missing.message} {unreadable}", hint="Let this user read that file and its folder.")
    message = f"{missing.message} Waited for a converter, but {error.message}"
    return EngineNotFound(message, hint=error.hint or f"{missing.hint} (in Docker: docker compose up converter)")


def _unreadable(path: Path) -> str:
    """Why a status that is there cannot be read; nothing if it can, or if there is none."""
    try:
        path.open("rb").close()
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"Whether one is being built cannot be told: {path}: {error.strerror}."
    return "" if read_status(path) else f"Whether one is being built cannot be told: {path} holds no status."


def _sign(status: Status) -> Sign:
    if status.state is State.WAITING:
        return Sign(status.message)
    return Sign(status.phase, status.percent)


def _failure(status: Status, what: str) -> ConvertError:
    return ConvertError(f"{what}: {status.message}", hint=status.hint)


def _hung(status: Status) -> ConvertError:
    return ConvertError(
        f"the one that was at «{status.phase}» (process {status.pid}) gives no sign of life: "
        "it was killed, or has lost power"
    )
