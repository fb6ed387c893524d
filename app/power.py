"""
How fast this board is allowed to run, from files that need neither root nor NVIDIA's tools.

nvpmodel keeps the number of its mode in /var/lib/nvpmodel/status ("pmode:0002"), and /etc/nvpmodel.conf names the modes
(`< POWER_MODEL ID=2 NAME=MAXN_SUPER >`). A container sees them if they are mounted, read-only, where they are. Clocks
come from the kernel: devfreq for the GPU (Documentation/ABI/testing/sysfs-class-devfreq), cpufreq for the processor.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.device import UNKNOWN, read_text

_GPU_NODE = re.compile(r"gpu|g[amvp][0-9]{2}b")  # 57000000.gpu, 17000000.gv11b, 17000000.ga10b, gpu-gpc-0


@dataclass(frozen=True)
class Mode:
    number: str
    name: str  # "MAXN_SUPER", "15W"


@dataclass(frozen=True)
class Power:
    number: str  # of the mode that is on
    name: str
    fastest: Mode | None  # None where the names do not tell which mode that is

    @property
    def is_below_fastest(self) -> bool:
        return self.fastest is not None and self.number != UNKNOWN and self.number != self.fastest.number


@dataclass(frozen=True)
class Clocks:
    """Hertz, each None where no file tells. The limit is what the power mode, or the user, allows."""

    gpu_now_hz: int | None
    gpu_limit_hz: int | None
    gpu_top_hz: int | None  # the highest that the hardware has
    cpu_limit_hz: int | None  # of the fastest core
    cpu_top_hz: int | None


def read_power(root: Path = Path("/")) -> Power:
    status = re.search(r"^pmode:([0-9]{1,6})", read_text(root / "var/lib/nvpmodel/status"), re.MULTILINE)
    number = str(int(status[1])) if status else UNKNOWN
    modes = parse_modes(read_text(root / "etc/nvpmodel.conf"))
    name = next((mode.name for mode in modes if mode.number == number), UNKNOWN)
    return Power(number, name, fastest_mode(modes))


def parse_modes(conf: str) -> list[Mode]:
    found = re.findall(r"^<\s*POWER_MODEL\s+ID=([0-9]{1,6})\s+NAME=([\w.+-]{1,60})\s*>", conf, re.MULTILINE | re.ASCII)
    return [Mode(str(int(number)), name) for number, name in found]


def fastest_mode(modes: Sequence[Mode]) -> Mode | None:
    """MAXN_SUPER, else MAXN, else the most watts. The number tells nothing: mode 0 is MAXN here and 15 W there."""
    ranked = sorted((rank, mode.number) for mode in modes if (rank := _rank(mode.name)) is not None)
    by_number = {mode.number: mode for mode in modes}
    return by_number[ranked[-1][1]] if ranked else None


def _rank(name: str) -> tuple[int, int] | None:
    if "MAXN" in name:
        return 1, len(name)
    watts = re.search(r"([0-9]{1,4})W", name)
    return (0, int(watts[1])) if watts else None


def read_clocks(root: Path = Path("/")) -> Clocks:
    gpu = next((node for node in sorted(root.glob("sys/class/devfreq/*")) if _GPU_NODE.search(node.name)), None)
    cpus = sorted(root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq"))
    limits = [hertz for cpu in cpus if (hertz := _number(cpu / "scaling_max_freq")) is not None]
    tops = [hertz for cpu in cpus if (hertz := _number(cpu / "cpuinfo_max_freq")) is not None]
    return Clocks(
        gpu_now_hz=_number(gpu / "cur_freq") if gpu else None,
        gpu_limit_hz=_number(gpu / "max_freq") if gpu else None,
        gpu_top_hz=max(_numbers(gpu / "available_frequencies"), default=None) if gpu else None,
        cpu_limit_hz=max(limits) * 1000 if limits else None,  # cpufreq counts in kHz
        cpu_top_hz=max(tops) * 1000 if tops else None,
    )


def _numbers(path: Path) -> list[int]:
    return [int(word) for word in read_text(path).split() if re.fullmatch(r"[0-9]{1,15}", word)]


def _number(path: Path) -> int | None:
    return next(iter(_numbers(path)), None)
