"""Messages beside libraries that write to the same place."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def own_stderr() -> Iterator[None]:
    """
    Let `sys.stderr` reach its end by another descriptor than 2.

    While a picture is decoded in one thread, 2 leads nowhere, since codecs write to it: messages of other threads
    would be lost.
    """
    before = sys.stderr
    if not isinstance(before, io.TextIOWrapper) or before.fileno() != 2:
        yield
        return
    before.flush()
    sys.stderr = os.fdopen(os.dup(2), "w", encoding=before.encoding, errors=before.errors, buffering=1)
    try:
        yield
    finally:
        own, sys.stderr = sys.stderr, before
        with suppress(OSError):  # nobody is left to be told
            own.close()
