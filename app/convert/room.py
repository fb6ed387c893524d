"""Room on the disk: said before minutes are spent, and again where a build fails for want of it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.errors import JetsmithError
from app.progress import Reporter

# FP32 ONNX, the graph of the wanted precision and the engine, each up to twice weights in FP16, lie there at once.
# Seen with ONNX Runtime, which needs one graph less: 3.7 to 3.9 times.
_TIMES_THE_WEIGHTS = 6


@contextmanager
def room_watched(store: Path, weights: Path, reporter: Reporter) -> Iterator[None]:
    """
    No estimate stops a build. One that fails on a disk that looked too small is told with both figures.

    Raises:
        JetsmithError: as the build did, of the same class.
    """
    needed, free = _TIMES_THE_WEIGHTS * weights.stat().st_size, shutil.disk_usage(store).free
    if free >= needed:
        yield
        return
    short = f"{_mb(free)} are free on the disk of {store}, and this conversion takes about {_mb(needed)}"
    reporter.warn(short)
    try:
        yield
    except JetsmithError as error:
        raise type(error)(f"{error.message} ({short})", hint=error.hint) from error


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
