"""Which classes are wanted: `0,person` against the names that the model knows."""

import difflib
from collections.abc import Mapping, Sequence

from app.errors import ModelError

_NAMES_SHOWN = 20


def resolve_classes(wanted: Sequence[int | str], names: Mapping[int, str]) -> tuple[int, ...]:
    """
    Class numbers for numbers and names; a name counts in any case if that is clear.

    A text of digits is a number, even where a class is called so.

    Raises:
        ModelError: the model knows no such class.
    """
    found = [_resolve(one, names) for one in wanted]
    if not found:
        raise ModelError("No class is named", hint=_known(names))
    return tuple(sorted(set(found)))


def _resolve(wanted: int | str, names: Mapping[int, str]) -> int:
    if isinstance(wanted, int) or (wanted.isascii() and wanted.lstrip("-").isdigit()):
        return _number(int(wanted), names)
    exact = [class_id for class_id, name in names.items() if name == wanted]
    alike = exact or [class_id for class_id, name in names.items() if name.casefold() == wanted.casefold()]
    if len(alike) == 1:
        return alike[0]
    if alike:
        raise ModelError(
            f"The class {wanted!r} is not clear: {', '.join(names[class_id] for class_id in alike)}",
            hint=f"Write it exactly, or its number: {', '.join(map(str, alike))}.",
        )
    nearest = difflib.get_close_matches(wanted.casefold(), [name.casefold() for name in names.values()], n=1)
    known = [name for name in names.values() if name.casefold() in nearest]
    hint = f"Did you mean {known[0]!r}? " if known else ""
    raise ModelError(f"The model knows no class {wanted!r}", hint=hint + _known(names))


def _number(class_id: int, names: Mapping[int, str]) -> int:
    if class_id in names:
        return class_id
    raise ModelError(f"The model knows no class {class_id}", hint=_known(names))


def _known(names: Mapping[int, str]) -> str:
    shown = ", ".join(f"{class_id} {name}" for class_id, name in sorted(names.items())[:_NAMES_SHOWN])
    return f"It knows: {shown}{', …' if len(names) > _NAMES_SHOWN else ''}."
