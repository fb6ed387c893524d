"""
How much memory a process may still take, read from files under an injectable root.

A container sees the machine's /proc/meminfo and yet is killed at its own limit, so the limits of its control groups
are read too. Sources: the kernel's Documentation/filesystems/proc.rst, admin-guide/cgroup-v2.rst and cgroup-v1.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


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
    meminfo = _read(root / "proc/meminfo")
    left = [free for group in _groups(root) if (free := _left(group)) is not None]
    return FreeMemory(_meminfo(meminfo, "MemAvailable"), _meminfo(meminfo, "SwapFree"), min(left, default=None))


def _meminfo(text: str, name: str) -> int | None:
    found = re.search(rf"^{name}:\s*([0-9]{{1,15}}) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _groups(root: Path) -> Iterator[tuple[Path, str, str]]:
    """Folder, limit's and usage's file names: of this process's control groups and all that hold them."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            mount, names = root / "sys/fs/cgroup", ("memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            mount, names = root / "sys/fs/cgroup/memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")
        else:
            continue
        own = PurePosixPath("/") / path
        # In a container the path may be that of the host, of which only the mount itself is seen.
        for group in (own, *own.parents):
            if ".." not in group.parts:
                yield mount / group.relative_to("/"), *names


def _left(group: tuple[Path, str, str]) -> int | None:
    folder, limit_name, usage_name = group
    limit, usage = _number(folder / limit_name), _number(folder / usage_name)
    if limit is None or usage is None or limit >= 2**60:  # version 1 writes a number near 2**63 for "no limit"
        return None
    # Cached files count as used, but go when memory is wanted.
    cached = re.search(r"^(?:total_)?inactive_file ([0-9]{1,19})$", _read(folder / "memory.stat"), re.MULTILINE)
    return max(0, limit - usage + (int(cached[1]) if cached else 0))


def _number(path: Path) -> int | None:
    text = _read(path).strip()
    return int(text) if text.isdecimal() else None  # "max" is none


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""
