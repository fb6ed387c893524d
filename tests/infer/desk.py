"""Where a source works, for tests: it writes down what the source says."""

import threading

from app.errors import SourceError
from app.infer.sources.base import fresh
from app.types import Image


class Desk:
    def __init__(self) -> None:
        self.stop = threading.Event()
        self.told: list[str] = []
        self.losses: list[tuple[str, float]] = []
        self.shares: list[float] = []
        self.said: list[str] = []
        self.taken: list[tuple[int, ...]] = []

    def take(self, shape: tuple[int, ...]) -> Image:
        self.taken.append(shape)
        return fresh(shape)

    def progress(self, share: float) -> None:
        self.shares.append(share)

    def lost(self, why: SourceError, retry_in_s: float) -> None:
        self.told.append("lost")
        self.losses.append((why.message, retry_in_s))

    def back(self) -> None:
        if self.told and self.told[-1] == "lost":
            self.told.append("back")

    def tell(self, message: str) -> None:
        self.said.append(message)
