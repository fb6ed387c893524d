"""How long work shows itself. The features report; only the command line prints."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Phase(Protocol):
    """One step under way."""

    def update(self, completed: float, total: float | None = None) -> None:
        """`completed` of `total` units are done; without a total the step has no known end."""


class Reporter(Protocol):
    def phase(self, name: str, total: float | None = None, unit: str = "") -> AbstractContextManager[Phase]:
        """Show a step from entry to exit; `unit` is "B" for bytes, "%" for percent."""

    def note(self, message: str) -> None:
        """Say one line of fact: which backend and why, what is being retried."""

    def warn(self, message: str) -> None:
        """Say one line that a user should act on."""

    def detail(self, message: str) -> None:
        """Say one line that is wanted with `--verbose` alone."""


class _SilentPhase:
    def update(self, completed: float, total: float | None = None) -> None:
        return None


class SilentReporter:
    """Shows nothing: for tests, and for calls from other programs."""

    @contextmanager
    def phase(self, name: str, total: float | None = None, unit: str = "") -> Iterator[Phase]:
        yield _SilentPhase()

    def note(self, message: str) -> None:
        return None

    def warn(self, message: str) -> None:
        return None

    def detail(self, message: str) -> None:
        return None
