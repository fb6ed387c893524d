"""
Whether a child still lives: it spoke, or it used the processor.

A parent's own heartbeat says nothing of a child that hangs in a foreign library. How long a build may take nobody
knows, but one that works uses processor time; what loops without end does too, and is not told from work.
"""

import time
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

_TICK_S = 1.0


@dataclass(frozen=True)
class Quiet:
    """How long no sign of life is borne with."""

    warn_s: float = 60.0
    end_s: float = 600.0


class Sign(Enum):
    ALIVE = auto()
    QUIET = auto()  # told once for each silence
    DEAD = auto()


class Pulse:
    """Asked about every `tick_s`; time in which nobody asked does not count, for then all was held (docker pause)."""

    tick_s = _TICK_S

    def __init__(self, pid: int, quiet: Quiet) -> None:
        self._stat = Path("/proc") / str(pid) / "stat"
        self._quiet = quiet
        self._ticks = self._read()
        self._asked = time.monotonic()
        self._warned = False
        self.silence_s = 0.0

    def heard(self) -> None:
        """It spoke."""
        self.silence_s, self._warned, self._asked = 0.0, False, time.monotonic()

    def feel(self) -> Sign:
        now, ticks = time.monotonic(), self._read()
        if ticks != self._ticks:
            self.heard()
        else:
            self.silence_s += min(now - self._asked, 2 * self.tick_s)
        self._ticks, self._asked = ticks, now
        if self.silence_s >= self._quiet.end_s:
            return Sign.DEAD
        if self.silence_s >= self._quiet.warn_s and not self._warned:
            self._warned = True
            return Sign.QUIET
        return Sign.ALIVE

    def _read(self) -> tuple[int, int] | None:
        """Processor time so far, user and system, in clock ticks (proc(5)); None once it has gone."""
        try:
            fields = self._stat.read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return int(fields[11]), int(fields[12])
