"""
What a checkpoint is by its own contents: whether it can be converted at all, and whether it is what its name says.

Told before anything is exported; kept in the manifest, so that an engine that is already there is told too.
"""

import json
import math
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from app.catalog import ModelName, contradiction
from app.errors import WeightsError, WeightsMismatch
from app.types import Task

_COUNTS = Path(__file__).with_name("parameter_counts.json")  # written by scripts/parameter_counts.py
_OWN_CLASSES = 1.15  # another number of classes changes the head alone: less than this factor; sizes differ by more
_COLOURS = 3


@dataclass(frozen=True)
class Traits:
    task: Task
    family: str  # the YAML it was built from, or else the class of its head
    parameters: int

    def facts(self) -> dict[str, Any]:
        return {**asdict(self), "task": self.task.value}

    @classmethod
    def of_facts(cls, facts: Any) -> "Traits | None":
        """None where a manifest does not tell, as the first ones do not."""
        try:
            return cls(Task(facts["task"]), str(facts["family"]), int(facts["parameters"]))
        except (KeyError, TypeError, ValueError):
            return None


def require_expected(name: ModelName | None, traits: Traits, shown: str) -> None:
    """
    Raises:
        WeightsMismatch: the weights are of another task, family or size than `name`.
    """
    if name is None:
        return
    problem = contradiction(name, traits.task, traits.family) or _other_size(name, traits.parameters)
    if problem is not None:
        raise WeightsMismatch(
            f"{shown} is not what base_model says: {problem}",
            hint="Set base_model to what the file is, or pt_model_path to another file.",
        )


def require_colour(channels: int, shown: str) -> None:
    """
    Raises:
        WeightsError: the model looks at something else than colour pictures.
    """
    if channels != _COLOURS:
        kind = "grey pictures" if channels == 1 else f"pictures of {channels} channels"
        raise WeightsError(
            f"{shown} is a model of {kind}, and jetsmith runs models of colour pictures (3 channels)",
            hint="Train it with `channels: 3` in the dataset's YAML: grey pictures do for that as they are.",
        )


def require_names(names: int, classes: int, shown: str) -> None:
    """
    Raises:
        WeightsError: not every class has a name, or there are names of no class.
    """
    if names != classes:
        raise WeightsError(
            f"{shown} tells {classes} classes apart, but names {names} of them",
            hint="Set `model.model.names` to one name a class with ultralytics, and save the file anew.",
        )


def _other_size(name: ModelName, parameters: int) -> str | None:
    counts = {other: count for other, count in _counts().items() if _same_kind(other, name)}
    own = counts.get(str(name))
    if own is None or parameters <= 0:
        return None
    nearest = min(counts, key=lambda other: abs(math.log(counts[other] / parameters)))
    if nearest == str(name) or max(own / parameters, parameters / own) < _OWN_CLASSES:
        return None
    return (
        f"{name} has {own / 1e6:.1f} million parameters, but the file holds {parameters / 1e6:.1f} million, "
        f"about as {nearest}"
    )


def _same_kind(other: str, name: ModelName) -> bool:
    stem, _, task = other.partition("-")
    own_stem, _, own_task = str(name).partition("-")
    return task == own_task and stem.startswith(name.family) and own_stem.startswith(name.family)


@cache
def _counts() -> dict[str, int]:
    counts: dict[str, int] = json.loads(_COUNTS.read_text(encoding="utf-8"))
    return counts
