"""
How much memory a process may still take, read from files under an injectable root.

A container sees the machine's /proc/meminfo and yet is killed at its own limit, so the limits of its control groups
are read too. Sources: the kernel's Documentation/filesystems/proc.rst, admin-guide/cgroup-v2.rst and cgroup-v1.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from app.control_groups import groups
from app.device import read_text

_NAMES = {2: ("memory.max", "memory.current"), 1: ("memory.limit_in_bytes", "memory.usage_in_bytes")}


@dataclass(frozen=True)
class FreeMemory:
    """Bytes; None where no file tells."""

    ram: int | None  # what programs can take without swapping
    swap: int | None
    limit: int | None  # what the control groups leave of RAM; None: no limit

    @property
    def total(self) -> int | None:
        """What can be had, swap included."""
        if self.ram is None:
            return self.limit
        ram = self.ram if self.limit is None else min(self.ram, self.limit)
        return ram + (self.swap or 0)


def read_free_memory(root: Path = Path("/")) -> FreeMemory:
    meminfo = read_text(root / "proc/meminfo")
    left = [free for group in groups("memory", root) if (free := _left(*group)) is not None]
    return FreeMemory(_meminfo(meminfo, "MemAvailable"), _meminfo(meminfo, "SwapFree"), min(left, default=None))


def _meminfo(text: str, name: str) -> int | None:
    found = re.search(rf"^{name}:\s*([0-9]{{1,15}}) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _left(folder: Path, version: int) -> int | None:
    limit, usage = (_number(folder / name) for name in _NAMES[version])
    if limit is None or usage is None or limit >= 2**60:  # version 1 writes a number near 2**63 for "no limit"
        return None
    # Cached files count as used, but go when memory is wanted.
    cached = re.search(r"^(?:total_)?inactive_file ([0-9]{1,19})$", read_text(folder / "memory.stat"), re.MULTILINE)
    return max(0, limit - usage + (int(cached[1]) if cached else 0))


def _number(path: Path) -> int | None:
    text = read_text(path).strip()
    return int(text) if text.isdecimal() else None  # "max" is none
