"""
Power, temperature, clocks and throttling, from the files of this board under an injectable root, and from NVML.

Sources: the kernel's Documentation (hwmon/ina3221.rst, hwmon/ina238.rst, power/powercap, driver-api/thermal); NVIDIA's
Jetson Linux Developer Guide ("Platform Power and Performance") for rails and over-current counters. Which rail is the
whole follows jetson_stats: the module's input where the board measures it, else the sum of the rails that it has.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from app.bench.nvml import Nvml, NvmlReading
from app.device import read_text
from app.power import read_clocks

_WHOLE = ("VDD_IN", "POM_5V_IN", "VIN")  # what goes into the module
_THORS_INPUT = "sys/bus/i2c/drivers/ina238/*/hwmon/*/power1_input"  # of the whole board
_NO_RAIL = re.compile(r"NC\b|sum of", re.IGNORECASE)  # a channel that nothing is connected to; the chip's own sum
_FAN = re.compile(r"fan", re.IGNORECASE)
_EVENTS = (
    "sys/class/hwmon/hwmon*/oc[0-9]*_event_cnt",  # Orin's over-current protection
    "sys/devices/system/cpu/cpu*/thermal_throttle/core_throttle_count",  # x86
)
GPU_RAIL = "GPU"


@dataclass(frozen=True)
class Sample:
    """The sensors at one moment; what no file tells is not in it."""

    at_s: float
    watts: Mapping[str, float] = field(default_factory=dict)  # by rail
    joules: Mapping[str, float] = field(default_factory=dict)  # by counter, each since some beginning
    celsius: Mapping[str, float] = field(default_factory=dict)  # by zone
    gpu_hz: int | None = None
    gpu_limit_hz: int | None = None
    gpu_top_hz: int | None = None
    cooling: frozenset[str] = frozenset()  # what slows something down to cool it
    events: Mapping[str, int] = field(default_factory=dict)  # counters of throttling
    reasons: frozenset[str] | None = None  # why the GPU is slowed, by NVML
    tells_of_throttling: bool = False  # whether there is anything that would


class Sensors:
    """Which there are is looked up once; `read` takes what they say now."""

    def __init__(self, root: Path = Path("/"), nvml: Nvml | None = None) -> None:
        self._root, self._nvml = root, nvml
        self._rails = dict(_rails(root))
        self._input = next(iter(sorted(root.glob(_THORS_INPUT))), None)
        self._counters = dict(_counters(root))
        self._zones = {path: read_text(path / "type").strip() for path in root.glob("sys/class/thermal/thermal_zone*")}
        self._coolers = _coolers(root)
        self._events = [path for pattern in _EVENTS for path in sorted(root.glob(pattern))]

    def read(self, at_s: float) -> Sample:
        clocks = read_clocks(self._root)
        gpu = self._nvml.read() if self._nvml is not None else NvmlReading()
        return Sample(
            at_s=at_s,
            watts=self._watts() or ({} if gpu.watts is None else {GPU_RAIL: gpu.watts}),  # a Thor's rails have its GPU
            joules=self._joules(),
            celsius={**self._celsius(), **({GPU_RAIL: gpu.celsius} if gpu.celsius is not None else {})},
            gpu_hz=gpu.hz if gpu.hz is not None else clocks.gpu_now_hz,
            gpu_limit_hz=gpu.limit_hz if gpu.limit_hz is not None else clocks.gpu_limit_hz,
            gpu_top_hz=gpu.top_hz if gpu.top_hz is not None else clocks.gpu_top_hz,
            cooling=frozenset(name for path, name in self._coolers.items() if (_number(path / "cur_state") or 0) > 0),
            events=self._counted(),
            reasons=gpu.reasons,
            tells_of_throttling=bool(self._coolers or self._events) or gpu.reasons is not None,
        )

    def _watts(self) -> dict[str, float]:
        pairs = {rail: (_number(volts), _number(amperes)) for rail, (volts, amperes) in self._rails.items()}
        found = {rail: mv * ma / 1e6 for rail, (mv, ma) in pairs.items() if mv is not None and ma is not None}
        microwatts = None if self._input is None else _number(self._input)
        return found if microwatts is None else {**found, "VIN": microwatts / 1e6}

    def _joules(self) -> dict[str, float]:
        found = {name: _number(path / "energy_uj") for name, path in self._counters.items()}
        return {name: microjoules / 1e6 for name, microjoules in found.items() if microjoules is not None}

    def _counted(self) -> dict[str, int]:
        found = {"/".join(path.parts[-3:]): _number(path) for path in self._events}
        return {name: count for name, count in found.items() if count is not None}

    def _celsius(self) -> dict[str, float]:
        """A zone that is switched off tells -256 °C, and some tell nothing."""
        found = {name: _number(path / "temp") for path, name in self._zones.items() if name}
        return {name: value / 1000 for name, value in found.items() if value is not None and -40_000 < value < 200_000}


def whole(watts: Mapping[str, float]) -> tuple[float, str] | None:
    """All that is drawn, and what that figure is made of."""
    for rail in _WHOLE:
        if rail in watts:
            return watts[rail], rail
    if not watts:
        return None
    names = sorted(watts)
    return sum(watts.values()), names[0] if len(names) == 1 else "sum of " + ", ".join(names)


def _rails(root: Path) -> list[tuple[str, tuple[Path, Path]]]:
    """JetPack's kernel, and the one of kernel.org: in millivolts and milliamperes."""
    found = []
    for label in sorted(root.glob("sys/bus/i2c/drivers/ina3221*/*/hwmon/*/in*_label")):
        name, number = read_text(label).strip(), label.name[2 : -len("_label")]
        if name and not _NO_RAIL.match(name) and number.isdigit():
            found.append((name, (label.with_name(f"in{number}_input"), label.with_name(f"curr{number}_input"))))
    return found


def _counters(root: Path) -> list[tuple[str, Path]]:
    """RAPL: `psys` is the whole machine; else the packages, without their parts. Root alone may read most of them."""
    zones = {path: read_text(path / "name").strip() for path in root.glob("sys/class/powercap/intel-rapl:[0-9]*")}
    top = sorted((name, path) for path, name in zones.items() if path.name.count(":") == 1 and name)
    return [(name, path) for name, path in top if name == "psys"] or top


def _coolers(root: Path) -> dict[Path, str]:
    """A fan costs no speed, and what does not say what it is nobody can judge."""
    devices = {path: read_text(path / "type").strip() for path in root.glob("sys/class/thermal/cooling_device*")}
    return {path: name for path, name in devices.items() if name and not _FAN.search(name)}


def _number(path: Path) -> int | None:
    text = read_text(path).strip()
    return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text, re.ASCII) else None
