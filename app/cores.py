"""How many cores this process may use."""

import os
from math import ceil
from pathlib import Path

from app.control_groups import groups
from app.device import read_text


def usable_cores(root: Path = Path("/")) -> int:
    """Those that the scheduler gives to this process, in as much of the time as its control groups allow."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for folder, version in groups("cpu", root) if (quota := _quota(folder, version)) is not None]
    return max(1, ceil(min([cores, *quotas])))


def _quota(folder: Path, version: int) -> float | None:
    """Seconds of all cores together in each second; None: no limit. Sources: cgroup-v2.rst, scheduler/sched-bwc.rst."""
    if version == 2:
        words = read_text(folder / "cpu.max").split()
    else:
        words = [read_text(folder / name).strip() for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")]
    if len(words) != 2 or not all(word.isascii() and word.isdecimal() for word in words):  # "max", or -1
        return None
    quota, period = (int(word) for word in words)
    return quota / period if quota and period else None
