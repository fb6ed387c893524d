"""
The version that a package would tell once imported, read from its source: importing TensorRT takes time and hundreds of
megabytes, which a start that has nothing to build should not spend.

NVIDIA's packages set `__version__` as a literal, or import it from the package that does (python/packaging in
NVIDIA/TensorRT; TensorRT for RTX 1.7). What is read is the text that Python would execute, so the two are the same;
anything less plain is not guessed at. The metadata of distributions would not do: their versions may have endings of
their own, and those of type stubs stand there as well.
"""

import ast
import importlib.util
import sys
from pathlib import Path

_NAME = "__version__"
_MOST_HOPS = 3


def version_in_source(package: str) -> str | None:
    """None where the source does not tell plainly. `package` is of the top level: to find it, nothing is imported."""
    current = package
    for _ in range(_MOST_HOPS):
        if current in sys.modules:
            loaded = getattr(sys.modules[current], _NAME, None)
            return loaded if isinstance(loaded, str) else None
        binding = _only_binding(current)
        if isinstance(binding, ast.Assign) and isinstance(binding.value, ast.Constant):
            return binding.value.value if isinstance(binding.value.value, str) else None
        if not isinstance(binding, ast.ImportFrom) or binding.level or "." in (binding.module or "."):
            return None
        current = str(binding.module)
    return None


def _only_binding(package: str) -> ast.stmt | None:
    """The one statement of the package that gives itself a version, if there is one and it always runs."""
    source = _source(package)
    if source is None:
        return None
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # the latter: a NUL in it
        return None
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == _NAME]
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.alias) and _NAME in (node.name, node.asname)]
    bindings = [statement for statement in tree.body if _binds(statement)]
    return bindings[0] if len(names) + len(imports) == len(bindings) == 1 else None


def _binds(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Assign):
        return [ast.unparse(target) for target in statement.targets] == [_NAME]
    return isinstance(statement, ast.ImportFrom) and any(
        (alias.name, alias.asname) == (_NAME, None) for alias in statement.names
    )


def _source(package: str) -> str | None:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    try:
        return Path(spec.origin).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
