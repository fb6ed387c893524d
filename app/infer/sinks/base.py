"""What every sink can do."""

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from app.errors import JetsmithError, OutputError
from app.infer.frame import Failure, Frame
from app.types import Result

_NO_BUGS = JetsmithError, BrokenPipeError, KeyboardInterrupt


class Sink(Protocol):
    """
    Takes the results of a run, in order.

    Raises:
        OutputError: the result cannot be written, so the run is worth nothing more.
        BrokenPipeError: nobody reads any longer.
    """

    def write(self, frame: Frame, result: Result) -> None: ...

    def fail(self, failure: Failure) -> None: ...

    def close(self) -> None:
        """Called once, however the run ended: finish the files that are open."""
        ...


@contextmanager
def closed_at_the_end(sinks: Sequence[Sink]) -> Iterator[None]:
    """All of them, even where one cannot be. A bug comes out before what a user can mend, else the last error."""
    errors: list[BaseException] = []
    try:
        yield
    except BaseException as error:  # noqa: BLE001 (raised below)
        errors.append(error)
    for sink in reversed(sinks):
        try:
            sink.close()
        except BaseException as error:  # noqa: BLE001 (raised below)
            errors.append(error)
    bugs = [error for error in errors if not isinstance(error, _NO_BUGS)]
    if errors:
        raise (bugs or errors[::-1])[0]


def close_all(sinks: Sequence[Sink]) -> None:
    with closed_at_the_end(sinks):
        pass


class Stream(Protocol):
    """What a sink needs of standard output, or of what stands for it."""

    def write(self, text: str, /) -> int: ...

    def flush(self) -> None: ...

    def fileno(self) -> int: ...

    def isatty(self) -> bool: ...


@contextmanager
def stream_errors_as_ours(stream: Stream) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        _send_the_rest_nowhere(stream)
        raise
    except OSError as error:
        _send_the_rest_nowhere(stream)
        raise OutputError(
            f"The results cannot be written: {error.strerror}", hint="Free some space, or write them elsewhere."
        ) from error


def _send_the_rest_nowhere(stream: Stream) -> None:
    """Else Python would try to flush the rest at exit, and complain."""
    try:
        descriptor = stream.fileno()
    except io.UnsupportedOperation:  # a stream in memory holds nothing back
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
