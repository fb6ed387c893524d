"""How many batches the processor computes at the same time: many frames a second, or each frame as soon as can be."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.cores import usable_cores
from app.infer.sources.base import Source
from app.infer.sources.files import Files, has_video
from app.memory import read_free_memory

_ROUNDS = 4  # fewer are not worth it: the last pictures have the processor half for themselves
_FOR_FRAMES = 512 << 20  # bytes, of those that wait for the engine or for their sinks
_AT_LEAST = 32 << 20
_USUAL_INPUT = 640 * 640


@dataclass(frozen=True)
class EngineSize:
    """Of one that runs on the processor."""

    bytes: int
    input_hw: tuple[int, int]
    batch: int

    @property
    def bytes_of_a_run(self) -> int:
        """
        What the intermediate results of one run take, roughly: they grow with the network and with its input.

        Of networks in FP32 at 640×640, each of two at the same time took 40 MB (yolov8n, a file of 12 MB), 80 (8s, 42),
        259 (8x, 260) and 325 (11x, 217): `scripts/bench_at_once.py`, 2026-11-23, 2-core x86 machine.
        """
        return (
            (_AT_LEAST + self.bytes * 5 // 4) * max(1, self.input_hw[0] * self.input_hw[1] * self.batch) // _USUAL_INPUT
        )


@dataclass(frozen=True)
class Machine:
    """What this process may take of it."""

    cores: int
    free_bytes: int

    @classmethod
    def here(cls) -> "Machine":
        """Memory without swap; none where no file tells, and then nothing is risked."""
        free = read_free_memory()
        return cls(usable_cores(), min((known for known in (free.ram, free.limit) if known is not None), default=0))


def batches_at_once(sources: Sequence[Source], engine: EngineSize, machine: Machine, wanted: int | None = None) -> int:
    """
    One, so that it has all cores, where somebody waits for each frame; one on each core where there are many of files.

    Args:
        wanted: this many for files, whatever the machine is.
    """
    files = [source for source in sources if isinstance(source, Files)]
    if len(files) < len(sources):
        return 1
    found = [item for source in files for item in source.found]
    batches = -(-len(found) // max(1, engine.batch))
    if wanted is not None:
        return wanted if has_video(found) else max(1, min(wanted, batches))
    most = min(machine.cores, max(0, machine.free_bytes - _FOR_FRAMES) // 2 // engine.bytes_of_a_run)
    # On fewer, all cores on one frame do as much: of 16, 4 at once did the same, and 2 at once 0.57 times as much.
    if most <= machine.cores // 2:
        return 1
    return most if has_video(found) or batches >= _ROUNDS * most else 1
