"""
How much a build may try, and how it tries less when memory runs out.

Pure: figures in, figures and words out.
"""

import re
from dataclasses import dataclass, replace
from typing import Any

from app.device import Device
from app.memory import FreeMemory
from app.types import Backend

GIB = 2**30
_MIB = 2**20
_OWN_LEVEL = 3  # builder_optimization_level of every TensorRT that has it
_LEAST_WORKSPACE = 64 * _MIB
# Of the builder's process. RTX: measured, 139 MiB before it reads a graph and 14 times the graph's bytes more at the
# peak (YOLOv8n, YOLO11n-seg at 640). TensorRT itself brings CUDA's context and its kernels: an estimate, not measured.
_OWN_BYTES = {Backend.TENSORRT: 3 * GIB // 2, Backend.TENSORRT_RTX: 150 * _MIB, Backend.ONNXRUNTIME: 150 * _MIB}
_GRAPH_FACTOR = 15


@dataclass(frozen=True)
class Effort:
    """None: the library's own choice."""

    workspace_bytes: int | None = None
    level: int | None = None  # builder_optimization_level
    max_tactics: int | None = None

    def __str__(self) -> str:
        parts = [
            "" if self.workspace_bytes is None else f"workspace {gigabytes(self.workspace_bytes)}",
            "" if self.level is None else f"optimization level {self.level}",
            "" if self.max_tactics is None else f"{self.max_tactics} tactic a layer",
        ]
        return ", ".join(filter(None, parts)) or "the library's own limits"

    def facts(self) -> dict[str, Any]:
        """For the manifest: what was set."""
        values = {
            "workspace_gb": None if self.workspace_bytes is None else round(self.workspace_bytes / GIB, 3),
            "optimization_level": self.level,
            "max_tactics": self.max_tactics,
        }
        return {name: value for name, value in values.items() if value is not None}


def ladder(first: Effort) -> list[Effort]:
    """
    What to try, in order, as memory runs out: half the workspace, a lower optimization level, fewer tactics.

    Level 1 leaves out the search among compiled kernels, level 0 takes the first kernel that works: fewer trials need
    less memory, and the engine is slower. No step takes more of anything than the one before.
    """
    whole = first.workspace_bytes or 2 * GIB
    half, quarter = (min(whole, max(whole // part, _LEAST_WORKSPACE)) for part in (2, 4))
    level = _OWN_LEVEL if first.level is None else first.level
    steps = [
        first,
        replace(first, workspace_bytes=half),
        replace(first, workspace_bytes=half, level=min(level, 1)),
        Effort(quarter, 0, 1),
    ]
    return list(dict.fromkeys(steps))


def workspace_bytes(wanted_gb: float | None, device: Device) -> int | None:
    """
    How much scratch memory TensorRT may try out: as asked, else by the device's memory.

    4 GB of memory give 1 GB, 8 give 2, 16 and 32 give 4, more gives 8: on a Jetson the system lives in the same memory.
    """
    if wanted_gb is not None:
        return int(wanted_gb * GIB)
    memory = device.gpu.memory_bytes if device.gpu and not device.gpu.integrated else device.ram_bytes
    if memory is None:
        return None
    return next((share * GIB for limit, share in ((6, 1), (12, 2), (48, 4)) if memory < limit * GIB), 8 * GIB)


def estimate_bytes(backend: Backend, graph_bytes: int, effort: Effort, device: Device) -> int:
    """About what a build takes of the system's memory. The workspace is part of it where the GPU shares that memory."""
    shared = device.gpu is not None and device.gpu.integrated
    return _OWN_BYTES[backend] + _GRAPH_FACTOR * graph_bytes + (effort.workspace_bytes or 0) * shared


def memory_line(free: FreeMemory) -> str:
    """ "2.9 GB free: RAM 1.9 GB, swap 1 GB"."""
    parts = [
        "" if free.ram is None else f"RAM {gigabytes(free.ram)}",
        "" if free.limit is None else f"left by the container's limit {gigabytes(free.limit)}",
        "" if free.swap is None else f"swap {gigabytes(free.swap)}",
    ]
    total = "an unknown amount" if free.total is None else gigabytes(free.total)
    return f"{total} free" + (f" ({', '.join(filter(None, parts))})" if any(parts) else "")


def gigabytes(size: int) -> str:
    return f"{size / GIB:.2f}".rstrip("0").rstrip(".") + " GB"


_OUT_OF_MEMORY = re.compile(
    r"out of memory|outofmemory|insufficient memory|not enough memory|cannot allocate memory|bad_alloc|\bMemoryError\b|"
    r"cudaErrorMemoryAllocation|alloc\w* (?:of \S+(?: bytes)? )?failed|failed to allocate|unable to allocate|"
    r"requested amount of GPU memory",
    re.IGNORECASE,
)


def tells_of_no_memory(text: str) -> bool:
    """Whether a library's own words say that memory ran out."""
    return _OUT_OF_MEMORY.search(text) is not None
