"""
`python -m app.doctor.library_child NAME`: import one package and say how it went, as JSON on the last line.

In a process of its own, because a library that does not fit may take its process with it.
"""

import importlib
import importlib.metadata
import importlib.util
import json
import sys
from typing import Any

_TENSORRT = ("tensorrt", "tensorrt_rtx")
# Ultralytics writes settings into the home directory when it is imported, so it is only looked for.
_ONLY_LOOKED_FOR = {"ultralytics": ("ultralytics", "ultralytics-opencv-headless")}


def describe(name: str) -> dict[str, Any]:
    """`name` may be a module of a package: "pycuda.driver"."""
    package = name.partition(".")[0]
    try:
        if importlib.util.find_spec(package) is None:
            return {"installed": False}
        if name in _ONLY_LOOKED_FOR:
            return {"installed": True, "version": next(filter(None, map(_version, _ONLY_LOOKED_FOR[name])), "")}
        return {"installed": True, **(_tensorrt(name) if name in _TENSORRT else _any(name))}
    except (ImportError, OSError, RuntimeError, AttributeError, ValueError) as error:  # what broken extensions raise
        return {"installed": True, "version": _version(package), "error": _in_words(error)}


def _any(name: str) -> dict[str, Any]:
    importlib.import_module(name)
    package = name.partition(".")[0]
    return {"version": str(getattr(sys.modules[package], "__version__", "") or _version(package))}


def _tensorrt(name: str) -> dict[str, Any]:
    from app.errors import BackendUnavailable
    from app.runtime.tensorrt_compat import capabilities, load
    from app.types import Backend

    try:
        module = load(Backend(name))
    except BackendUnavailable as error:
        return {"error": error.message, "hint": error.hint}
    return {"version": str(module.__version__), "serves": capabilities(module)}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _in_words(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    sys.stdout.write(f"\n{json.dumps(describe(sys.argv[1]))}\n")
