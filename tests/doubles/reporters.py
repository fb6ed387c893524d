"""Reporters that keep what they are told."""

from app.convert.child import Channel
from app.progress import SilentReporter


class ListReporter(SilentReporter):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)

    def warn(self, message: str) -> None:
        self.warnings.append(message)


class ListChannel(ListReporter, Channel):
    """A child's channel whose other end is here; what the parent makes of it goes to a reporter, so it is one too."""

    def __init__(self) -> None:
        super().__init__()
        self.fractions: list[float] = []

    def progress(self, fraction: float) -> None:
        self.fractions.append(fraction)
