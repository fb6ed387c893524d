"""What the schema says of each setting, for messages, for the environment and for the README."""

import difflib
from collections.abc import Iterable, Iterator
from enum import Enum
from functools import lru_cache
from pathlib import Path
from types import NoneType
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from config.schema import Settings

ENV_PREFIX = "JETSMITH_"
ENV_DELIMITER = "__"


class Setting(NamedTuple):
    key: str  # dotted
    environment: str  # the variable that sets it
    default: str
    meaning: str
    allowed: str


@lru_cache(maxsize=1)
def leaves() -> dict[str, FieldInfo]:
    """Every setting by its dotted key, in the schema's order."""
    return dict(_leaves(Settings, ""))


@lru_cache(maxsize=1)
def sections() -> frozenset[str]:
    """The dotted names of everything that holds settings."""
    return frozenset(key.rsplit(".", depth)[0] for key in leaves() for depth in range(1, key.count(".") + 1))


def settings_reference() -> list[Setting]:
    """One row for each setting."""
    return [
        Setting(key, variable(key), _default(field), field.description or "", allowed(key))
        for key, field in leaves().items()
    ]


def variable(key: str) -> str:
    return ENV_PREFIX + key.replace(".", ENV_DELIMITER).upper()


def allowed(key: str) -> str:
    return str(_extra(leaves()[key])["allowed"])


def nearest(word: str, candidates: list[str], cutoff: float = 0.55) -> str | None:
    found = difflib.get_close_matches(word[:100], candidates, n=1, cutoff=cutoff)
    return found[0] if found else None


def nearest_key(key: str) -> str | None:
    """A setting of that name elsewhere, else one beside the unknown key with a like name, else any like it."""
    section, _, name = key.rpartition(".")
    known = [*sorted(sections()), *leaves()]
    by_name = {_name(candidate): candidate for candidate in known}
    beside = {_name(candidate): candidate for candidate in known if _parent(candidate) == section}
    for names in ({name: by_name[name]} if name in by_name else {}, beside, by_name):
        close = nearest(name, list(names))
        if close is not None:
            return names[close]
    return None if section in sections() else nearest(key, known)


def nearest_variable(name: str, others: Iterable[str]) -> str | None:
    """The variable that an unknown one was meant to be: misspelt, or in another section, or like it."""
    known = [*map(variable, leaves()), *sorted(others)]
    dotted = name.upper().removeprefix(ENV_PREFIX).lower().replace(ENV_DELIMITER, ".")
    key = nearest_key(dotted)
    meant = variable(key) if key in leaves() else None
    return nearest(name.upper(), known, cutoff=0.93) or meant or nearest(name.upper(), known)


def keys_in(section: str) -> list[str]:
    """The names that may stand in a section; "" is the whole file."""
    known = dict.fromkeys([*leaves(), *sorted(sections())])
    return [_name(key) for key in known if _parent(key) == section]


def decode(key: str, text: str) -> Any:
    """
    The value that a text stands for, in the environment or in a flag.

    Text for settings that are text; yes/no words for switches; else JSON, and for lists `a,b` too.
    """
    kinds = _kinds(leaves()[key].annotation)
    if bool in kinds:
        return _SWITCHES.get(text.strip().lower(), text)
    if not kinds & {int, float, tuple}:
        return None if NoneType in kinds and text.strip().lower() == "null" else text
    value = _json(text)
    if tuple in kinds and value is not None and not isinstance(value, list):
        return [_json(part.strip()) for part in text.split(",")]
    return value


_SWITCHES = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}


def _json(text: str) -> Any:
    import json

    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _kinds(annotation: Any) -> set[Any]:
    """The plain types in an annotation: `tuple[int, str] | None` has tuple and NoneType."""
    origin = get_origin(annotation)
    if annotation in (str, Path, int, float, bool, NoneType):
        return {annotation}
    if origin is tuple:
        return {tuple}
    if origin is Literal or (isinstance(annotation, type) and issubclass(annotation, Enum)):
        return {str}
    return set().union(*(_kinds(part) for part in get_args(annotation)))


def _leaves(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _leaves(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, field


def _name(key: str) -> str:
    return key.rpartition(".")[2]


def _parent(key: str) -> str:
    return key.rpartition(".")[0]


def _extra(field: FieldInfo) -> dict[str, Any]:
    extra = field.json_schema_extra
    return extra if isinstance(extra, dict) else {}


def _default(field: FieldInfo) -> str:
    extra = _extra(field)
    return str(extra["shown"]) if "shown" in extra else _written(field.default)


def _written(value: Any) -> str:
    """A value as it stands in YAML."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Enum):
        return str(value.value)
    return f"{value:g}" if isinstance(value, float) else str(value)
