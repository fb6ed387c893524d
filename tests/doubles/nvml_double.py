"""NVML without a card: answers what it is given, and refuses the rest as the library does."""

from types import SimpleNamespace
from typing import Any


class NVMLError(Exception):
    pass


class NvmlDouble:
    """To stand for the module `pynvml`."""

    NVMLError = NVMLError
    NVML_CLOCK_SM, NVML_TEMPERATURE_GPU = 1, 0

    def __init__(self, gpus: int = 1, *, loads: bool = True, **answers: Any) -> None:
        self._gpus, self._loads, self._answers = gpus, loads, answers
        self.open = 0

    def nvmlInit(self) -> None:
        if not self._loads:
            raise NVMLError("Driver Not Loaded")
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        if index >= self._gpus:
            raise NVMLError("Invalid Argument")
        return f"gpu{index}"

    def nvmlDeviceGetMemoryInfo(self, gpu: str) -> Any:
        return SimpleNamespace(used=self._answer("used"))

    def nvmlDeviceGetPowerUsage(self, gpu: str) -> Any:
        return self._answer("milliwatts")

    def nvmlDeviceGetTemperature(self, gpu: str, sensor: int) -> Any:
        return self._answer("celsius")

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, gpu: str) -> Any:
        return self._answer("reasons")

    def nvmlDeviceGetClockInfo(self, gpu: str, clock: int) -> Any:
        return self._answer("mhz")

    def nvmlDeviceGetApplicationsClock(self, gpu: str, clock: int) -> Any:
        return self._answer("limit_mhz")

    def nvmlDeviceGetMaxClockInfo(self, gpu: str, clock: int) -> Any:
        return self._answer("top_mhz")

    def _answer(self, name: str) -> Any:
        if name not in self._answers:
            raise NVMLError("Not Supported")
        return self._answers[name]
