"""Which classes are wanted: `0,person` against the names that the model knows."""

import difflib
from collections.abc import Iterable, Mapping

from app.errors import ModelError

_NAMES_SHOWN = 20


def resolve_classes(wanted: str | Iterable[int | str], names: Mapping[int, str]) -> tuple[int, ...]:
    """
    Class numbers for a list of numbers and names; a name counts in any case if that is clear.

    A number is a number, even where a class is called so.

    Raises:
        ModelError: the model knows no such class.
    """
    listed = wanted.split(",") if isinstance(wanted, str) else map(str, wanted)
    parts = [part.strip() for part in listed]
    found = [_resolve(part, names) for part in parts if part]
    if not found:
        raise ModelError(f"No class is named in {wanted!r}", hint=_known(names))
    return tuple(sorted(set(found)))


def _resolve(part: str, names: Mapping[int, str]) -> int:
    if part.isascii() and part.lstrip("-").isdigit():
        return _number(int(part), names)
    exact = [class_id for class_id, name in names.items() if name == part]
    alike = exact or [class_id for class_id, name in names.items() if name.casefold() == part.casefold()]
    if len(alike) == 1 or exact:
        return alike[0]
    if alike:
        raise ModelError(
            f"The class {part!r} is not clear: {', '.join(names[class_id] for class_id in alike)}",
            hint=f"Write it exactly, or its number: {', '.join(map(str, alike))}.",
        )
    nearest = difflib.get_close_matches(part.casefold(), [name.casefold() for name in names.values()], n=1)
    known = [name for name in names.values() if name.casefold() in nearest]
    hint = f"Did you mean {known[0]!r}? " if known else ""
    raise ModelError(f"The model knows no class {part!r}", hint=hint + _known(names))


def _number(class_id: int, names: Mapping[int, str]) -> int:
    if class_id in names:
        return class_id
    raise ModelError(f"The model knows no class {class_id}", hint=_known(names))


def _known(names: Mapping[int, str]) -> str:
    shown = ", ".join(f"{class_id} {name}" for class_id, name in list(names.items())[:_NAMES_SHOWN])
    return f"It knows: {shown}{', …' if len(names) > _NAMES_SHOWN else ''}."
