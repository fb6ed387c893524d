"""The command line: parse, call one feature, print, return an exit code. The only place that prints."""

import argparse
import errno
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import IO, NoReturn

from app import __version__
from app.errors import JetsmithError
from app.text import printable

USER_ERROR, INTERRUPTED, UNREAD = 1, 130, 141
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the last one when a terminal or its connection has gone
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def main(argv: Sequence[str] | None = None) -> int:
    """`jetsmith …`: returns 0 fine, 1 a user's error, 3 some inputs failed; argparse exits with 2 itself."""

    def parse() -> argparse.Namespace:
        from app.cli.parser import make_parser

        return make_parser().parse_args(argv)

    return _run(parse)


def convert_main(argv: Sequence[str] | None = None) -> int:
    """`scripts/yolo_to_tensorrt.py`: `jetsmith convert` with the options of the guide alone."""

    def parse() -> argparse.Namespace:
        from app.cli.parser import make_guide_parser

        return make_guide_parser().parse_args(argv)

    return _run(parse)


def _run(parse: Callable[[], argparse.Namespace]) -> int:
    with _orderly_stops():
        args: argparse.Namespace | None = None
        try:
            _mend_streams()
            args = parse()
            return _flushed(int(args.run(args)))
        except BrokenPipeError:
            return UNREAD
        except OSError as error:
            return _tell(_as_ours(error), args)
        except JetsmithError as error:
            return _tell(error, args)
        except KeyboardInterrupt:
            _say("interrupted")
            return INTERRUPTED
        finally:
            _drop_unwritten(sys.stdout, sys.stderr)


def _flushed(code: int) -> int:
    """Write what is left here, where a full disk can still be told of."""
    with suppress(BrokenPipeError):  # the work is done, and `| head -1` has seen enough of it
        sys.stdout.flush()
    return code


def _tell(error: JetsmithError, args: argparse.Namespace | None) -> int:
    if getattr(args, "verbose", False):
        import traceback

        _say("".join(traceback.format_exception(error)).rstrip())
    _say(f"error: {error.message}")
    if error.hint:
        from app.cli.pasteable import pasteable

        _say(f"hint:  {pasteable(error.hint, args)}")
    return USER_ERROR


def _say(text: str) -> None:
    with suppress(OSError):  # nobody is left to be told
        print(printable(text, keep="\n"), file=sys.stderr, flush=True)


def _as_ours(error: OSError) -> JetsmithError:
    """
    A file that cannot be used is for the user to mend.

    Raises:
        OSError: it names no file, so it is a bug.
    """
    if error.filename is not None:
        message, hint = f"{os.fsdecode(error.filename)}: {error.strerror}", "Check that path, and who may use it."
    elif isinstance(error, FileNotFoundError) and not _stands_somewhere():
        message, hint = "The current folder has been removed", "Go to another one: cd"
    elif error.errno in _FULL:
        message = f"The output cannot be written: {error.strerror}"
        hint = "Free some space, or send it elsewhere."
    else:
        raise error
    ours = JetsmithError(message, hint=hint)
    ours.__cause__ = error
    return ours


def _stands_somewhere() -> bool:
    try:
        os.getcwd()  # noqa: PTH109 (Path.cwd() is the same)
    except FileNotFoundError:
        return False
    return True


def _mend_streams() -> None:
    """`>&-` closes a stream: else the next file that is opened would take its number, and libraries write into it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free: this one
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: PTH123, SIM115 (for as long as the process lives)
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: PTH123, SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a sign that the terminal cannot show is no error


def _drop_unwritten(*streams: IO[str]) -> None:
    """What cannot be written now cannot be at exit either, where Python would complain of it."""
    for stream in streams:
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


@contextmanager
def _orderly_stops() -> Iterator[None]:
    """
    Make of a signal an exception, so that children end and workspaces go on the way out.

    The first signal counts; another one, while its work is being cleared away, would cut that off.
    """
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    stopped = False

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        nonlocal stopped
        stopped = True
        for known in before:
            signal.signal(known, signal.SIG_IGN)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(128 + number)  # as a shell says it

    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # whoever started this in the background means it so
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            if not stopped:  # else the interpreter's own end is to be left alone as well
                signal.signal(number, handler)


def version_line() -> str:
    return f"jetsmith {__version__}"
