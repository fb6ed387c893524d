"""Every TensorRT name in the source exists in every supported release, or stands behind a `hasattr` in its function."""

import ast
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.command import PROJECT_ROOT

Api = dict[str, dict[str, list[str]]]
SUPPORTED = ("8.6", "10.3", "10.7", "10.13", "10.16", "11.0", "11.1", "11.2", "11.3", "11.4", "rtx-1.7.1")
COMPAT, RUNNER, DLA_RUNTIME = "app/runtime/tensorrt_compat.py", "app/runtime/tensorrt.py", "app/runtime/dla.py"
BUILD, PRECISION = "app/convert/build_tensorrt.py", "app/convert/precision.py"
TIMINGS, DLA = "app/convert/timing_cache.py", "app/convert/dla.py"
LIBRARY = "app/convert/library_child.py"
SOURCES = [COMPAT, RUNNER, DLA_RUNTIME, BUILD, PRECISION, TIMINGS, DLA, LIBRARY]
# What the source calls TensorRT's objects. A name that is used for them must be one of these.
OBJECTS = {
    "trt": "<module>",
    "builder": "Builder",
    "network": "INetworkDefinition",
    "config": "IBuilderConfig",
    "parser": "OnnxParser",
    "parser_error": "ParserError",
    "layer": "ILayer",
    "cache": "ITimingCache",
    "inspector": "EngineInspector",
    "flags": "BuilderFlag",
    "creation": "NetworkDefinitionCreationFlag",
    "severity": "ILogger.Severity",
    "runtime": "Runtime",
    "context": "IExecutionContext",
    "self._loaded.context": "IExecutionContext",
    "layer.get_output(index)": "ITensor",
}
OWN = {RUNNER: {"engine": "ICudaEngine"}}  # names that stand for something else in other files


@pytest.fixture(scope="module")
def api(shared_data: Callable[[str], Path]) -> Api:
    names: Api = json.loads(shared_data("facts/tensorrt_api.json").read_text())
    return names


def _objects(path: str) -> dict[str, str]:
    return {**OBJECTS, **OWN.get(path, {})}


def _uses(source: str, objects: dict[str, str]) -> Iterator[tuple[str, str, set[str]]]:
    """Each use of a TensorRT name: its class, itself, and the names that its function asks for by `hasattr`."""
    for function in _functions(ast.parse(source)):
        guarded = {str(call.args[1].value) for call in _guards(function) if isinstance(call.args[1], ast.Constant)}
        for node in ast.walk(function):
            if isinstance(node, ast.Attribute):
                owner = _owner(node.value, objects)
                if owner:
                    yield owner, node.attr, guarded


def _guards(function: ast.AST) -> Iterator[ast.Call]:
    """Each `hasattr(thing, "NAME")`."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "hasattr":
            yield node


def _functions(parent: ast.Module | ast.ClassDef) -> Iterator[ast.FunctionDef]:
    """Functions and methods; what is nested in one belongs to it."""
    for child in parent.body:
        if isinstance(child, ast.FunctionDef):
            yield child
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child)


def _owner(value: ast.expr, objects: dict[str, str]) -> str | None:
    text = ast.unparse(value)
    if text in objects:
        return objects[text]
    return text.removeprefix("trt.") if text.startswith("trt.") and "(" not in text else None


def _missing(source: str, api: Api, objects: dict[str, str]) -> set[str]:
    """The names that some supported release lacks and no `hasattr` guards."""
    return {
        f"{owner}.{name}"
        for owner, name, guarded in _uses(source, objects)
        for version in SUPPORTED
        if name not in guarded and name not in ("__name__", "__init__", *api[version].get(owner, ()))
        if owner in api[version] or owner not in guarded
    }


@pytest.mark.parametrize("path", SOURCES)
def test_every_name_exists_everywhere_or_is_asked_for(path: str, api: Api) -> None:
    source = (PROJECT_ROOT / path).read_text()
    assert {(owner, name) for owner, name, _ in _uses(source, _objects(path))}
    assert _missing(source, api, _objects(path)) == set()


def test_no_other_file_touches_tensorrt() -> None:
    """A file that takes the library or one of its objects is held to the list of names as well."""
    for file in (PROJECT_ROOT / "app").rglob("*.py"):
        path = str(file.relative_to(PROJECT_ROOT))
        if path not in SOURCES:
            source = file.read_text()
            assert "import tensorrt as stubs" not in source, path
            assert not list(_uses(source, {"trt": "<module>"})), path


@pytest.mark.parametrize("path", SOURCES)
def test_what_is_typed_as_tensorrts_is_known_by_its_name(path: str) -> None:
    """So that no use of it stays unseen."""
    for node in ast.walk(ast.parse((PROJECT_ROOT / path).read_text())):
        annotation = getattr(node, "annotation", None)
        text = "" if annotation is None else ast.unparse(annotation).strip("'\"")
        if not isinstance(node, ast.arg | ast.AnnAssign) or not re.fullmatch(r"stubs\.\w+", text):
            continue
        name = node.arg if isinstance(node, ast.arg) else ast.unparse(node.target)
        if text not in ("stubs.IHostMemory", "stubs.ILogger"):  # buffers and listeners: nothing of theirs is called
            assert _objects(path).get(name) == text.removeprefix("stubs."), f"{path}: {name}"


def _removed(path: str) -> list[Any]:
    """The source without one guard, for each guard of a name that its function goes on to use."""
    source = (PROJECT_ROOT / path).read_text()
    found = []
    for function in _functions(ast.parse(source)):
        used = {node.attr for node in ast.walk(function) if isinstance(node, ast.Attribute)}
        for guard in _guards(function):
            name = guard.args[1].value if isinstance(guard.args[1], ast.Constant) else None
            if name in used:
                text = ast.get_source_segment(source, guard)
                assert text is not None
                start = _offset(source, guard.lineno, guard.col_offset)
                found.append(pytest.param(path, source[:start] + "True" + source[start + len(text) :], name, id=text))
    return found


def _offset(source: str, line: int, column: int) -> int:
    before = source.splitlines(keepends=True)[: line - 1]
    return sum(map(len, before)) + len(source.splitlines()[line - 1].encode()[:column].decode())


REMOVED = [row for path in SOURCES for row in _removed(path)]


@pytest.mark.parametrize(("path", "without", "name"), REMOVED)
def test_removing_any_one_guard_is_noticed(path: str, without: str, name: str, api: Api) -> None:
    missing = _missing(without, api, _objects(path))
    assert {found.rpartition(".")[2] for found in missing} >= {name}


def test_the_guards_that_are_removed_are_these() -> None:
    """That none of the important ones is left out, and none is there for a name that every release has."""
    assert {row.values[2] for row in REMOVED} == {
        "ComputeCapability",
        "EXPLICIT_BATCH",
        "FP16",
        "INT8",
        "IProgressMonitor",
        "OBEY_PRECISION_CONSTRAINTS",
        "STRONGLY_TYPED",
        "max_num_tactics",
        "node_name",
        "node_operator",
        "num_compute_capabilities",
        "precision",
        "progress_monitor",
        "set_compute_capability",
        "set_output_type",
    }


def test_a_name_that_no_release_has_is_noticed(api: Api) -> None:
    assert _missing("def f(engine):\n    engine.num_bindings", api, _objects(RUNNER)) == {"ICudaEngine.num_bindings"}
