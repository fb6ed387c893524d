"""NVIDIA's management library, where it is: on PCs, not on a Jetson before JetPack 7. NVIDIA's own binding is used."""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

_MHZ = 1_000_000
_SLOWED_BY = {  # nvml.h, nvmlClocksEventReasons
    0x04: "its power limit",
    0x08: "a hardware slowdown",
    0x20: "its temperature",
    0x40: "its temperature (hardware)",
    0x80: "the power supply's brake",
}


@dataclass(frozen=True)
class NvmlReading:
    watts: float | None = None
    celsius: float | None = None
    hz: int | None = None
    limit_hz: int | None = None
    top_hz: int | None = None
    reasons: frozenset[str] | None = None


class Nvml:
    """The first GPU. What it does not tell is None."""

    def __init__(self, library: Any, gpu: Any) -> None:
        self._library, self._gpu = library, gpu

    def read(self) -> NvmlReading:
        library, clock = self._library, self._library.NVML_CLOCK_SM
        milliwatts = self._ask(library.nvmlDeviceGetPowerUsage)
        celsius = self._ask(library.nvmlDeviceGetTemperature, library.NVML_TEMPERATURE_GPU)
        reasons = self._ask(library.nvmlDeviceGetCurrentClocksThrottleReasons)
        return NvmlReading(
            watts=None if milliwatts is None else milliwatts / 1000,
            celsius=None if celsius is None else float(celsius),
            hz=_hertz(self._ask(library.nvmlDeviceGetClockInfo, clock)),
            limit_hz=_hertz(self._ask(library.nvmlDeviceGetApplicationsClock, clock)),
            top_hz=_hertz(self._ask(library.nvmlDeviceGetMaxClockInfo, clock)),
            reasons=None if reasons is None else frozenset(text for bit, text in _SLOWED_BY.items() if reasons & bit),
        )

    def memory_used(self) -> int | None:
        memory = self._ask(self._library.nvmlDeviceGetMemoryInfo)
        return None if memory is None else int(memory.used)

    def _ask(self, question: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return question(self._gpu, *arguments)
        except self._library.NVMLError:  # not on this GPU, or not by this user
            return None


@contextmanager
def opened_nvml() -> Iterator[Nvml | None]:
    """None where there is no NVML, or no GPU."""
    library = _library()
    if library is None:
        yield None
        return
    try:
        library.nvmlInit()
    except library.NVMLError:
        yield None
        return
    try:
        yield _first_gpu(library)
    finally:
        library.nvmlShutdown()


def _library() -> ModuleType | None:
    try:
        return importlib.import_module("pynvml")
    except ImportError:
        return None


def _first_gpu(library: Any) -> Nvml | None:
    try:
        return Nvml(library, library.nvmlDeviceGetHandleByIndex(0))
    except library.NVMLError:
        return None


def _hertz(megahertz: int | None) -> int | None:
    return None if megahertz is None else megahertz * _MHZ
