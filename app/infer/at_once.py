"""How many frames the processor computes at the same time: many a second, or each as soon as can be."""

import os
from collections.abc import Sequence
from pathlib import Path

from app.infer.sources.base import Source
from app.infer.sources.files import Files
from app.infer.sources.video import VIDEO_SUFFIXES
from app.memory import read_free_memory

_ROUNDS = 2  # fewer are not worth it: the last pictures have the processor half for themselves
_AT_LEAST = 32 << 20  # bytes
_USUAL_INPUT = 640 * 640


def bytes_of_a_run(engine_bytes: int, input_hw: tuple[int, int], batch: int) -> int:
    """
    What the intermediate results of one run take, roughly: they grow with the network and with its input.

    Of networks in FP32 at 640×640, each of two at the same time took 40 MB (yolov8n, a file of 12 MB), 80 (8s, 42), 259
    (8x, 260) and 325 (11x, 217): `scripts/bench_at_once.py`, 2026-11-23, 2-core x86 machine.
    """
    return (_AT_LEAST + engine_bytes * 5 // 4) * input_hw[0] * input_hw[1] * batch // _USUAL_INPUT


def frames_at_once(
    sources: Sequence[Source], each_bytes: int, cores: int | None = None, free_bytes: int | None = None
) -> int:
    """
    One, so that it has all cores, where somebody waits for each frame; one on each core where there are many of files.

    Args:
        each_bytes: what one more frame takes; together they leave half of the memory that is free.
        cores: those that this process may use, where they are not given.
        free_bytes: likewise.
    """
    if any(source.live or not isinstance(source, Files) for source in sources):
        return 1
    free_bytes = _free_memory() if free_bytes is None else free_bytes
    cores = cores or usable_cores()
    most = min(cores, free_bytes // 2 // each_bytes)
    # On fewer, all cores on one frame do as much: of 16, 4 at once did the same, and 2 at once 0.57 times as much.
    if most <= cores // 2:
        return 1
    found = [item for source in sources if isinstance(source, Files) for item in source.found]
    has_video = any(isinstance(item, Path) and item.suffix.lower() in VIDEO_SUFFIXES for item in found)
    return most if has_video or len(found) >= _ROUNDS * most else 1


def usable_cores() -> int:
    """Those that the scheduler gives to this process."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _free_memory() -> int:
    """Without swap; nothing where no file tells, and then nothing is risked."""
    free = read_free_memory()
    return min((known for known in (free.ram, free.limit) if known is not None), default=0)
