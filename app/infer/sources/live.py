"""Sources that go on for ever: newest frame first, and lost ones are tried again until the end of the run."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import chain
from typing import TYPE_CHECKING

from app.errors import SourceError
from app.infer.frame import Failure, Frame, Kind
from app.infer.sources.base import Desk, Selection, Shot
from app.infer.sources.errors import Refused

if TYPE_CHECKING:
    import tenacity

STALL_S = 10.0
"""A camera that sends no frame for so long is lost."""
_FIRST_RETRY_S, _LAST_RETRY_S = 0.5, 30.0


@dataclass(frozen=True)
class Feed:
    """A camera that answered; or an address that gives something with an end."""

    shots: Iterator[Shot] = field(default_factory=lambda: iter(()))
    rate: float | None = None  # frames a second, where the camera says it
    whole: Callable[[Desk], Iterator[Frame | Failure]] | None = None  # in place of `shots`: all that there is


Connect = Callable[[Desk], AbstractContextManager[Feed]]
"""
Opens the source, given where it works; leaving it closes it.

Raises:
    SourceError: when it cannot be opened, and out of the shots when it is lost.
"""


@dataclass(frozen=True)
class Patience:
    """How long a live source is waited for."""

    stall_s: float = STALL_S
    first_retry_s: float = _FIRST_RETRY_S
    last_retry_s: float = _LAST_RETRY_S
    with_refusals: bool = False  # a service goes on asking: the camera may be set up later


class Live:
    """A camera or a stream."""

    live = True

    def __init__(self, name: str, connect: Connect, selection: Selection, patience: Patience | None = None) -> None:
        self.name = name
        self._connect = connect
        self._selection = selection
        self._patience = patience or Patience()
        self._sieve = selection.sieve()
        self._index = -1  # goes on over losses
        self._began = 0.0

    def read(self, desk: Desk) -> Iterator[Frame | Failure]:
        """Frames until the run is over. Ends by itself only where the first answer of all is a refusal."""
        self._began = time.monotonic()
        while not self._is_over(desk):
            try:
                opened = self._attempts(desk)(self._open, desk)
                with opened.stack:
                    if opened.feed.whole is not None:
                        yield from opened.feed.whole(desk)
                        return
                    yield from self._frames(opened, desk)
            except SourceError as error:
                if isinstance(error, self._final):
                    yield Failure(self.name, error)
                    return
                desk.lost(error, self._patience.first_retry_s)
                desk.stop.wait(self._patience.first_retry_s)

    @property
    def _final(self) -> tuple[type[SourceError], ...]:
        """What ends it: a refusal, unless it gave frames before, or the camera may be set up later."""
        return () if self._patience.with_refusals or self._index >= 0 else (Refused,)

    def _attempts(self, desk: Desk) -> "tenacity.Retrying":
        """Until the first frame is there; the pauses grow, and start small again at the next loss."""
        import tenacity  # which takes 50 ms: too long for who has a picture

        patience = self._patience

        def tell(state: "tenacity.RetryCallState") -> None:
            error = state.outcome.exception() if state.outcome else None
            if isinstance(error, SourceError) and state.next_action is not None:
                desk.lost(error, state.next_action.sleep)

        return tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(SourceError) & tenacity.retry_if_not_exception_type(self._final),
            wait=tenacity.wait_exponential(multiplier=patience.first_retry_s, max=patience.last_retry_s)
            + tenacity.wait_random(0, patience.first_retry_s),  # cameras behind one switch do not all come at once
            stop=lambda _: self._is_over(desk),
            sleep=tenacity.sleep_using_event(desk.stop),
            before_sleep=tell,
            reraise=True,
        )

    def _open(self, desk: Desk) -> "_Opened":
        with ExitStack() as stack:
            feed = stack.enter_context(self._connect(desk))
            first = next(feed.shots, None)
            if first is None and feed.whole is None:
                raise SourceError("it ended before the first frame", hint="Look what the camera sends.")
            return _Opened(stack.pop_all(), feed, first)

    def _frames(self, opened: "_Opened", desk: Desk) -> Iterator[Frame]:
        rate = self._selection.rate(opened.feed.rate)
        last_good = time.monotonic()
        for shot in filter(None, chain([opened.first], opened.feed.shots)):
            now = time.monotonic()
            if self._is_over(desk):
                return
            self._index += 1
            if not self._sieve.wants(self._index, now):
                continue
            try:
                pixels = shot(desk.take)
            except SourceError as error:  # one bad frame; the next may be whole
                if now - last_good > self._patience.stall_s:
                    raise SourceError(
                        f"no whole frame for {now - last_good:.0f} s: {error}", hint=error.hint
                    ) from error
                continue
            last_good = now
            desk.back()
            moment = datetime.now(timezone.utc)
            yield Frame(self.name, self._index, pixels, moment=moment, rate=rate, kind=Kind.LIVE)
        raise SourceError("the stream ended", hint="Look whether the camera is still on.")

    def _is_over(self, desk: Desk) -> bool:
        return desk.stop.is_set() or self._sieve.over(time.monotonic() - self._began)


@dataclass(frozen=True)
class _Opened:
    stack: ExitStack
    feed: Feed
    first: Shot | None
