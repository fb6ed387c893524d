"""How many frames the processor computes at the same time: many a second, or each as soon as can be."""

import os
from collections.abc import Sequence
from pathlib import Path

from app.infer.sources.base import Source
from app.infer.sources.files import Files
from app.infer.sources.video import VIDEO_SUFFIXES

_MOST = 8  # each holds the intermediate results of a network: 28 MB of yolov8n, more of larger ones
_ROUNDS = 2  # fewer are not worth it: the last pictures have the processor half for themselves


def frames_at_once(sources: Sequence[Source], cores: int | None = None) -> int:
    """
    One, so that it has all cores, where somebody waits for each frame; one on each core where there are many of files.

    Args:
        cores: those that this process may use, where it is not given.
    """
    cores = min(_MOST, cores or usable_cores())
    if any(source.live or not isinstance(source, Files) for source in sources):
        return 1
    found = [item for source in sources if isinstance(source, Files) for item in source.found]
    has_video = any(isinstance(item, Path) and item.suffix.lower() in VIDEO_SUFFIXES for item in found)
    return cores if has_video or len(found) >= _ROUNDS * cores else 1


def usable_cores() -> int:
    """Those that the scheduler gives to this process."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
