"""Reads a YAML file into plain values, and remembers the line of each key."""

import errno
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from app.errors import SettingsError

MAX_BYTES = 1 << 16  # a settings file has a hundred lines; the parser takes a second for this much
_MAX_DEPTH = 20
_TAG = "tag:yaml.org,2002:"
_TYPED = {f"{_TAG}{kind}" for kind in ("int", "float", "bool", "null")}
_TEXT = {f"{_TAG}{kind}" for kind in ("str", "timestamp", "value", "merge")}  # no dates, no merge keys


@dataclass(frozen=True)
class YamlFile:
    values: dict[str, Any]
    lines: dict[str, int] = field(default_factory=dict)  # dotted key -> line, counted from 1
    texts: dict[str, str] = field(default_factory=dict)  # dotted key -> how a number or the like is written: `010`


class _Loader(yaml.SafeLoader):
    """
    Builds the node graph only, and refuses aliases: nine lines of them can stand for gigabytes.

    The depth is bounded because the parser recurses.
    """

    _depth = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _Refused("aliases (*name) are not supported: write the value out", event)
        if self._depth >= _MAX_DEPTH:
            raise _Refused(f"nested more than {_MAX_DEPTH} deep", event)
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


class _Refused(yaml.MarkedYAMLError):
    def __init__(self, problem: str, at: Any) -> None:
        super().__init__(problem=problem, problem_mark=at.start_mark)


def read_yaml(path: Path) -> YamlFile:
    """
    Read one file of nested sections.

    Raises:
        SettingsError: it cannot be read, is no UTF-8, no YAML, or no mapping; the message has file and line.
    """
    return parse_yaml(read_text(path), str(path))


def parse_yaml(text: str, source: str) -> YamlFile:
    """As `read_yaml`; `source` stands for the file in messages."""
    try:
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            if root is None:
                return YamlFile({})
            if not isinstance(root, MappingNode):
                raise _Refused("the file must hold sections such as `vision:`", root)
            file = YamlFile({})
            file.values.update(_mapping(loader, root, "", file))
            return file
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise _syntax_error(error, source) from error


def read_text(path: Path, most: int = MAX_BYTES) -> str:
    """The file's text, as `read_yaml` takes it; at most `most` bytes."""
    try:
        if stat.S_ISFIFO(path.stat().st_mode):  # it may never be written to
            raise OSError(errno.EINVAL, "it is a pipe, no file")
        with path.open("rb") as file:
            data = file.read(most + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise SettingsError(
            f"{path} cannot be read: {getattr(error, 'strerror', None) or error}",
            hint="Name a readable YAML file, or leave it out to use the defaults.",
        ) from error
    if len(data) > most:
        raise SettingsError(
            f"{path} is larger than {most // 1024} KiB: that is no settings file",
            hint="Name the YAML file that holds the settings.",
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SettingsError(
            f"{path}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8",
            hint="Save the file as UTF-8.",
        ) from error


def _mapping(loader: _Loader, node: MappingNode, prefix: str, file: YamlFile) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, key, value in _items(node):
        dotted = f"{prefix}{name}"
        if name in values:
            raise _Refused(f"the key {dotted!r} is here twice (first in line {file.lines[dotted]})", key)
        file.lines[dotted] = key.start_mark.line + 1
        values[name] = _value(loader, value, f"{dotted}.", file)
    return values


def _items(node: MappingNode) -> Iterator[tuple[str, ScalarNode, Node]]:
    for key, value in node.value:
        if not isinstance(key, ScalarNode):
            raise _Refused("a key must be a word", key)
        yield key.value, key, value  # as it is written: `on:` is a key named "on", not True


def _value(loader: _Loader, node: Node, prefix: str, file: YamlFile) -> Any:
    if isinstance(node, MappingNode) and node.tag == f"{_TAG}map":
        return _mapping(loader, node, prefix, file)
    if isinstance(node, SequenceNode) and node.tag == f"{_TAG}seq":
        return [_value(loader, item, f"{prefix}{number}.", file) for number, item in enumerate(node.value)]
    if isinstance(node, ScalarNode) and node.tag in _TEXT:
        return node.value
    if isinstance(node, ScalarNode) and node.tag in _TYPED:
        file.texts[prefix[:-1]] = node.value
        return _typed(loader, node)
    raise _Refused(f"the tag {node.tag!r} is not supported", node)


def _typed(loader: _Loader, node: ScalarNode) -> Any:
    try:
        return loader.construct_object(node)
    except (ValueError, KeyError, IndexError) as error:  # `!!int word`, or more digits than Python reads
        raise _Refused(f"{node.value[:40]!r} is not of type {node.tag.removeprefix(_TAG)}", node) from error


def _syntax_error(error: yaml.YAMLError, source: str) -> SettingsError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    where = f"{source}, line {mark.line + 1}" if mark else source
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "cannot be parsed"
    tab = "'\\t'" in str(problem)
    hint = "YAML is indented with spaces, not tabs." if tab else "Correct the file there; it is YAML."
    return SettingsError(f"{where}: {problem}", hint=hint)
