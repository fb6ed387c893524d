"""What a device tells in JSON, as far as it has the shape that it should have; the rest counts as not told."""

from typing import Any


def value_in(told: Any, *names: str) -> Any:
    """What lies under these names, each within the one before."""
    for name in names:
        told = told.get(name) if isinstance(told, dict) else None
    return told


def table_in(told: Any, *names: str) -> dict[str, Any]:
    value = value_in(told, *names)
    return value if isinstance(value, dict) else {}


def text_in(told: Any, *names: str) -> str:
    value = value_in(told, *names)
    return value if isinstance(value, str) else ""


def tables_in(listed: Any) -> list[dict[str, Any]]:
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def texts_in(listed: Any, key: str) -> list[str]:
    """What is text under this key, alone or in a list, of each entry of a list."""
    found = (one.get(key) for one in tables_in(listed))
    told = (value if isinstance(value, list) else [value] for value in found)
    return [text for values in told for text in values if isinstance(text, str)]
