"""
The services of docker-compose.yml, with the variables filled in by Compose's rules.

Only what that file uses is read: a key that is not known here is an error, so that the file and a fleet cannot part
unnoticed. The rules: https://docs.docker.com/reference/compose-file/interpolation/
"""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from app.errors import FleetError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR = re.compile(r":?[-+?]")


def read_services(text: str, variables: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """
    Raises:
        FleetError: the file is no such YAML, or a variable in it is required and missing.
    """
    try:
        parsed = yaml.safe_load(text)  # the checkout's own file, with anchors and merge keys
    except yaml.YAMLError as error:
        raise _unreadable(f"it is no YAML: {error}") from error
    services = parsed.get("services") if isinstance(parsed, dict) else None
    if not isinstance(services, dict) or not all(isinstance(service, dict) for service in services.values()):
        raise _unreadable("it has no services")
    return {str(name): _filled(service, variables) for name, service in services.items()}


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return interpolated(value, variables)
    if isinstance(value, dict):
        return {key: _filled(inner, variables) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, variables) for inner in value]
    return value


def interpolated(text: str, variables: Mapping[str, str]) -> str:
    """
    `$A`, `${A}`, `${A:-b}`, `${A-b}`, `${A:+b}`, `${A+b}`, `${A:?why}`, `${A?why}`, one inside the other; `$$` is `$`.

    Raises:
        FleetError: the text is none of these, or a required variable is missing.
    """
    parts: list[str] = []
    while text:
        before, dollar, text = text.partition("$")
        parts.append(before)
        if not dollar:
            break
        value, text = _reference(text, variables)
        parts.append(value)
    return "".join(parts)


def _reference(text: str, variables: Mapping[str, str]) -> tuple[str, str]:
    """What stands for the beginning of `text`, which comes after a `$`, and the rest of it."""
    if text.startswith("$"):
        return "$", text[1:]
    if text.startswith("{"):
        inside, rest = _braced(text)
        return _expression(inside, variables), rest
    name = _NAME.match(text)
    if name is None:
        raise _unreadable(f"${text[:20]} names no variable")
    return variables.get(name.group(), ""), text[name.end() :]


def _braced(text: str) -> tuple[str, str]:
    depth = 0
    for index, char in enumerate(text):
        opens = char == "{" and (index == 0 or text[index - 1] == "$")
        depth += opens - (char == "}")
        if depth == 0:
            return text[1:index], text[index + 1 :]
    raise _unreadable(f"${text[:20]} has no end")


def _expression(inside: str, variables: Mapping[str, str]) -> str:
    name = _NAME.match(inside)
    if name is None:
        raise _unreadable(f"${{{inside[:20]}}} names no variable")
    value, rest = variables.get(name.group()), inside[name.end() :]
    if not rest:
        return value or ""
    operator = _OPERATOR.match(rest)
    if operator is None:
        raise _unreadable(f"${{{inside[:20]}}} has an operator that is not known here")
    is_set = bool(value) if operator.group().startswith(":") else value is not None
    word = rest[operator.end() :]
    if operator.group().endswith("+"):
        return interpolated(word, variables) if is_set else ""
    if is_set:
        return value or ""
    if operator.group().endswith("?"):
        raise FleetError(
            f"docker-compose.yml needs {name.group()}: {word or 'it is not set'}",
            hint="Set it in the preset, or under env in the fleet file.",
        )
    return interpolated(word, variables)


def _unreadable(why: str) -> FleetError:
    return FleetError(f"docker-compose.yml: {why}", hint="Bring the file back as it came with jetsmith.")
