"""What a service is to do, as plain values: one configuration, read at the start and again at each reload."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from app.engines.engine import Engine
from app.infer.pipeline import Predictor
from app.infer.sinks.limits import Limits
from app.infer.sources.base import Selection


@dataclass(frozen=True)
class ModelPlan:
    """
    Which engine runs.

    Args:
        key: everything in the settings that decides which engine it is, and how its output is read.
        alias: the link that a converter points at each new engine.
        find: the engine that the settings stand for now, checked.
        open: makes it ready for pictures.
    """

    key: tuple[object, ...]
    alias: Path
    find: Callable[[], Engine] = field(compare=False)
    open: Callable[[Engine], AbstractContextManager[Predictor]] = field(compare=False)

    def stamp(self) -> tuple[str, int] | None:
        """Another one whenever a converter points the alias at an engine; None where there is none."""
        try:
            return str(self.alias.readlink()), self.alias.lstat().st_mtime_ns
        except OSError:
            return None


@dataclass(frozen=True)
class SinkPlan:
    """Where results go: to all of these at once."""

    jsonl: Path | Literal["-"] | None
    save: Path | None
    crops: Path | None
    track: bool
    limits: Limits


@dataclass(frozen=True)
class Plan:
    name: str
    sources: tuple[str, ...]
    selection: Selection
    sinks: SinkPlan
    model: ModelPlan
