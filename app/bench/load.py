"""What else goes on on this machine, and whether it swaps: from /proc, under an injectable root."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from app.device import read_text

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
_AT_WORK = (0, 1, 2, 5, 6, 7)  # user, nice, system, irq, softirq, steal: proc(5); not idle and iowait


@dataclass(frozen=True)
class Load:
    """At one moment; None where no file tells."""

    cpus: int | None  # that are on
    busy_s: float | None  # of all processors together, since the start of the machine
    average: float | None  # over the last minute
    swapped_bytes: int | None  # moved to and from swap since the start of the machine
    swap_used_bytes: int | None
    available_bytes: int | None


def read_load(root: Path = Path("/")) -> Load:
    stat, meminfo = read_text(root / "proc/stat"), read_text(root / "proc/meminfo")
    pages = [_find(rf"^{name} ([0-9]{{1,19}})$", read_text(root / "proc/vmstat")) for name in ("pswpin", "pswpout")]
    total, free = (_find(rf"^{name}:\s*([0-9]{{1,15}}) kB", meminfo) for name in ("SwapTotal", "SwapFree"))
    available = _find(r"^MemAvailable:\s*([0-9]{1,15}) kB", meminfo)
    average = re.match(r"[0-9]{1,9}\.[0-9]{1,9}", read_text(root / "proc/loadavg"))
    return Load(
        cpus=len(re.findall(r"^cpu[0-9]+ ", stat, re.MULTILINE)) or None,
        busy_s=_busy_s(stat),
        average=float(average[0]) if average else None,
        swapped_bytes=None if None in pages else sum(page or 0 for page in pages) * _PAGE,
        swap_used_bytes=None if total is None or free is None else (total - free) * 1024,
        available_bytes=None if available is None else available * 1024,
    )


def _busy_s(stat: str) -> float | None:
    line = re.match(r"cpu +([0-9 ]+)", stat)
    ticks = [int(word) for word in line[1].split()] if line else []
    return sum(ticks[index] for index in _AT_WORK) / _TICKS if len(ticks) > max(_AT_WORK) else None


def _find(pattern: str, text: str) -> int | None:
    found = re.search(pattern, text, re.MULTILINE)
    return int(found[1]) if found else None
