"""Every TensorRT name in the source exists in every supported release, or stands behind a `hasattr` in its function."""

import ast
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import PROJECT_ROOT

Api = dict[str, dict[str, list[str]]]
SUPPORTED = ("8.6", "10.3", "10.7", "10.13", "10.16", "11.0", "11.1", "11.2", "11.3", "11.4", "rtx-1.7.1")
SOURCES = [
    "app/runtime/tensorrt_compat.py",
    "app/runtime/tensorrt.py",
    "app/convert/build_tensorrt.py",
    "app/convert/precision.py",
    "app/convert/timing_cache.py",
]
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
    "self._runtime": "Runtime",
    "self._engine": "ICudaEngine",
    "self._context": "IExecutionContext",
    "layer.get_output(index)": "ITensor",
}


@pytest.fixture(scope="module")
def api(shared_data: Callable[[str], Path]) -> Api:
    names: Api = json.loads(shared_data("facts/tensorrt_api.json").read_text())
    return names


def _uses(source: str) -> Iterator[tuple[str, str, set[str]]]:
    """Each use of a TensorRT name: its class, itself, and the names that its function asks for by `hasattr`."""
    for function in _functions(ast.parse(source)):
        guarded = {
            str(node.args[1].value)
            for node in ast.walk(function)
            if isinstance(node, ast.Call)
            and ast.unparse(node.func) == "hasattr"
            and isinstance(node.args[1], ast.Constant)
        }
        for node in ast.walk(function):
            if isinstance(node, ast.Attribute):
                owner = _owner(node.value)
                if owner:
                    yield owner, node.attr, guarded


def _functions(parent: ast.Module | ast.ClassDef) -> Iterator[ast.FunctionDef]:
    """Functions and methods; what is nested in one belongs to it."""
    for child in parent.body:
        if isinstance(child, ast.FunctionDef):
            yield child
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child)


def _owner(value: ast.expr) -> str | None:
    text = ast.unparse(value)
    if text in OBJECTS:
        return OBJECTS[text]
    return text.removeprefix("trt.") if text.startswith("trt.") and "(" not in text else None


def _missing(source: str, api: Api) -> set[str]:
    """The names that some supported release lacks and no `hasattr` guards."""
    return {
        f"{owner}.{name}"
        for owner, name, guarded in _uses(source)
        for version in SUPPORTED
        if name not in guarded and name not in ("__name__", "__init__", *api[version].get(owner, ()))
        if owner in api[version] or owner not in guarded
    }


@pytest.mark.parametrize("path", SOURCES)
def test_every_name_exists_everywhere_or_is_asked_for(path: str, api: Api) -> None:
    source = (PROJECT_ROOT / path).read_text()
    assert len({(owner, name) for owner, name, _ in _uses(source)}) >= 5
    assert _missing(source, api) == set()


COMPAT, BUILD, PRECISION = SOURCES[0], SOURCES[2], SOURCES[3]
GUARDS = [
    (PRECISION, 'hasattr(flags, "FP16")', "BuilderFlag.FP16"),
    (COMPAT, 'hasattr(trt, "IProgressMonitor")', "<module>.IProgressMonitor"),
    (BUILD, 'hasattr(config, "progress_monitor")', "IBuilderConfig.progress_monitor"),
    (BUILD, 'hasattr(creation, "EXPLICIT_BATCH")', "NetworkDefinitionCreationFlag.EXPLICIT_BATCH"),
    (BUILD, 'hasattr(parser_error, "node_operator")', "ParserError.node_operator"),
]


@pytest.mark.parametrize(("path", "guard", "name"), [pytest.param(*row, id=row[2]) for row in GUARDS])
def test_removing_a_guard_is_noticed(path: str, guard: str, name: str, api: Api) -> None:
    source = (PROJECT_ROOT / path).read_text()
    assert guard in source
    assert name in _missing(source.replace(guard, "True"), api)


def test_a_name_that_no_release_has_is_noticed(api: Api) -> None:
    assert _missing("def f(engine):\n    self._engine.num_bindings", api) == {"ICudaEngine.num_bindings"}
