"""The command line: parse, call one feature, print, return an exit code. The only place that prints."""

import argparse
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from app import __version__
from app.errors import JetsmithError

USER_ERROR, INTERRUPTED, TERMINATED = 1, 130, 143


def main(argv: Sequence[str] | None = None) -> int:
    """`jetsmith …`: returns 0 fine, 1 a user's error, 3 some inputs failed; argparse exits with 2 itself."""
    from app.cli.parser import make_parser

    return _run(make_parser().parse_args(argv))


def convert_main(argv: Sequence[str] | None = None) -> int:
    """`scripts/yolo_to_tensorrt.py`: `jetsmith convert` with the options of the guide alone."""
    from app.cli.parser import make_guide_parser

    return _run(make_guide_parser().parse_args(argv))


def _run(args: argparse.Namespace) -> int:
    with _orderly_stops():
        try:
            return int(args.run(args))
        except JetsmithError as error:
            if getattr(args, "verbose", False):
                import traceback

                traceback.print_exception(error)
            print(f"error: {error.message}", file=sys.stderr)
            if error.hint:
                print(f"hint:  {error.hint}", file=sys.stderr)
            return USER_ERROR
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return INTERRUPTED


@contextmanager
def _orderly_stops() -> Iterator[None]:
    """
    Make of a signal an exception, so that children end and workspaces go on the way out.

    The first signal counts; another one, while its work is being cleared away, would cut that off.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    stopped = False

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        nonlocal stopped
        stopped = True
        for known in before:
            signal.signal(known, signal.SIG_IGN)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(TERMINATED)

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
