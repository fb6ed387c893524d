"""A step's time and its remarks, as the code above the host gives them."""

import time
from dataclasses import dataclass, field

from app.errors import FleetError


@dataclass
class StepWatch:
    seconds: float = 30.0
    told: list[tuple[str, float | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ends = time.monotonic() + self.seconds

    def update(self, message: str, percent: float | None = None) -> None:
        self.told.append((message, percent))

    def remaining_s(self) -> float:
        left = self.ends - time.monotonic()
        if left <= 0:
            raise FleetError("it took longer than it may", hint="Look.")
        return left
