"""Which backend runs here, and why."""

import importlib.metadata
import importlib.util
from collections.abc import Mapping

from app.errors import BackendUnavailable
from app.types import Backend


def choose_backend(
    wanted: Backend | None, *, loading: bool = True, unusable: Mapping[Backend, str] | None = None
) -> tuple[Backend, str]:
    """
    The wanted backend, or for None the first that really works here; with the reason in words.

    Without `loading`, TensorRT is looked for but not imported; `unusable` is what was found out about it otherwise.

    Raises:
        BackendUnavailable: the wanted one does not work here, or none does.
    """
    reasons: list[str] = []
    for backend in [wanted] if wanted else list(Backend):
        reason = (unusable or {}).get(backend) or _unavailable(backend, loading=loading)
        if reason is None:
            because = "as asked" if wanted else "; ".join(reasons) or "the best there is"
            return backend, f"backend: {backend.value} ({because})"
        reasons.append(f"{backend.value}: {reason}")
    raise BackendUnavailable(
        "No backend works here: " + "; ".join(reasons),
        hint="Name another with --backend, or install what is missing.",
    )


def _unavailable(backend: Backend, *, loading: bool) -> str | None:
    if backend is Backend.ONNXRUNTIME:
        return _onnxruntime_unavailable()
    from app.runtime.tensorrt_compat import unavailable

    return unavailable(backend, loading=loading)


def _onnxruntime_unavailable() -> str | None:
    # Looked for, not imported: a start that has nothing to build is to take no longer than it must.
    return None if importlib.util.find_spec("onnxruntime") else "is not installed"


def backend_versions(backend: Backend) -> dict[str, str]:
    """The full versions that an engine of this backend depends on, by library; imports ONNX Runtime for none."""
    if backend is Backend.ONNXRUNTIME:
        return {backend.value: _onnxruntime_version()}
    from app.runtime.tensorrt_compat import version

    return {backend.value: version(backend)}


# One module, published under several names; the builds differ, so the name belongs to the version.
_ONNXRUNTIMES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml")


def _onnxruntime_version() -> str:
    for name in _ONNXRUNTIMES:
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        return version if name == _ONNXRUNTIMES[0] else f"{version} ({name})"
    from app.runtime.onnxruntime import import_onnxruntime

    return f"{import_onnxruntime().__version__} (from source)"
