"""
The one place that imports TensorRT or TensorRT for RTX, and knows how their releases differ.

What a release can do is asked by `hasattr`, never read from a version. Nothing is imported before it is needed.
"""

import importlib
import importlib.util
import logging
import threading
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from app.device import Gpu, probe_gpu
from app.errors import BackendUnavailable
from app.runtime.package_version import version_in_source
from app.types import Backend

if TYPE_CHECKING:
    import tensorrt as stubs

_LOG = logging.getLogger(__name__)
_INSTALL = {
    Backend.TENSORRT: "Use NVIDIA's container for this JetPack, or install its package python3-libnvinfer.",
    Backend.TENSORRT_RTX: "Install it: pip install tensorrt-rtx",
}


def load(backend: Backend) -> ModuleType:
    """
    Import the backend's library.

    Raises:
        BackendUnavailable: it is not installed, is only an empty package, or one of its libraries is missing.
    """
    try:
        module = importlib.import_module(backend.value)
    except ImportError as error:
        message, hint = _import_failure(backend, error)
        raise BackendUnavailable(message, hint=hint) from error
    if not hasattr(module, "__version__"):  # stubs for type checkers make an empty import succeed
        raise BackendUnavailable(
            f"The package {backend.value} that Python finds is empty: it has no version, as type stubs have none",
            hint=f"Remove the stubs. {_INSTALL[backend]}",
        )
    return module


def _import_failure(backend: Backend, error: ImportError) -> tuple[str, str]:
    if "libnvdla_compiler.so" in str(error):
        return (
            f"{backend.value} cannot be imported: it needs libnvdla_compiler.so, which the host lends to containers",
            "JetPack 6: on the host, sudo apt install nvidia-l4t-dla-compiler. JetPack 7.2 and newer have no such "
            "library: take the container made for JetPack 7.",
        )
    if isinstance(error, ModuleNotFoundError) and error.name == backend.value:
        return f"{backend.value} is not installed", _INSTALL[backend]
    return f"{backend.value} cannot be imported: {error}", _INSTALL[backend]


def unavailable(
    backend: Backend, *, gpu_probe: Callable[[], Gpu | None] = probe_gpu, loading: bool = True
) -> str | None:
    """
    Why this machine cannot build and run engines of `backend`; None where it can. Cheap answers come first.

    Without `loading` the library is not imported where its package tells its version: that it imports is then hoped.
    """
    if not _is_installed(backend.value):
        return "is not installed"
    gpu = gpu_probe()
    if gpu is None:
        return "no NVIDIA GPU answers"
    if not _is_installed("pycuda"):
        return "pycuda, which moves its data, is not installed"
    if not loading and version_in_source(backend.value):
        return None
    try:
        trt = load(backend)
    except BackendUnavailable as error:
        return error.message
    return unsupported_gpu(trt, gpu)


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def unsupported_gpu(trt: Any, gpu: Gpu) -> str | None:
    """Why `gpu` is none that this library knows. Only TensorRT for RTX lists the GPUs that it serves."""
    served = capabilities(trt)
    if not served or capability_name(gpu.compute_capability) in served:
        return None
    return f"TensorRT for RTX does not serve {gpu.name} (SM {gpu.compute_capability}), only {', '.join(served)}"


def capability_name(compute_capability: str) -> str:
    """ "8.6" → "SM86", as TensorRT for RTX names it."""
    return "SM" + compute_capability.replace(".", "")


def capabilities(trt: Any) -> tuple[str, ...]:
    """The compute capabilities that TensorRT for RTX builds for: "SM75", …; TensorRT itself names none."""
    if not hasattr(trt, "ComputeCapability"):
        return ()
    return tuple(name for name in dir(trt.ComputeCapability) if name.startswith("SM"))


def capability(trt: Any, name: str) -> Any:
    """The library's own member for "SM86"."""
    return vars(trt.ComputeCapability)[name] if hasattr(trt, "ComputeCapability") else None


def version(backend: Backend) -> str:
    """As the library tells it; it is imported only where its package's source does not tell the same."""
    return version_in_source(backend.value) or str(load(backend).__version__)


class Messages:
    """What TensorRT has said in this process. It logs from threads of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._errors: list[str] = []

    def add(self, text: str, *, is_error: bool, is_warning: bool) -> None:
        _LOG.log(logging.ERROR if is_error else logging.WARNING if is_warning else logging.DEBUG, "%s", text)
        if is_error:
            with self._lock:
                self._errors.append(text.strip())

    def take_errors(self) -> list[str]:
        """The errors since the last call, each once."""
        with self._lock:
            errors, self._errors = self._errors, []
        return list(dict.fromkeys(errors))


MESSAGES = Messages()
_loggers: "dict[str, stubs.ILogger]" = {}
_loggers_lock = threading.Lock()


def logger(trt: Any) -> "stubs.ILogger":
    """The process's one logger: TensorRT keeps the first it is given, and what another hears is lost."""
    with _loggers_lock:
        if trt.__name__ not in _loggers:
            _loggers[trt.__name__] = _new_logger(trt)
        return _loggers[trt.__name__]


def _new_logger(trt: Any) -> "stubs.ILogger":
    severity = trt.ILogger.Severity
    errors = (severity.ERROR, severity.INTERNAL_ERROR)

    class Logger(trt.ILogger):  # type: ignore[misc] # the base is known only once TensorRT is
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, level: Any, text: str) -> None:
            MESSAGES.add(text, is_error=level in errors, is_warning=level == severity.WARNING)

    return Logger()


def progress_monitor(trt: Any, report: Callable[[float], None]) -> "stubs.IProgressMonitor | None":
    """A monitor that reports the fraction of a build that is done, never less than before; None before 10."""
    if not hasattr(trt, "IProgressMonitor"):
        return None
    progress = BuildProgress(report)

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            progress.start(name, parent, steps)

        def step_complete(self, name: str, step: int) -> bool:
            progress.step(name, step)
            return True  # go on

        def phase_finish(self, name: str) -> None:
            progress.finish(name)

    return Monitor()


class BuildProgress:
    """Phases within phases, as TensorRT announces them, made one fraction that only grows."""

    def __init__(self, report: Callable[[float], None]) -> None:
        self._report = report
        self._lock = threading.Lock()
        self._open: dict[str, tuple[str | None, int, int]] = {}  # phase: its parent, its steps, those done
        self._shown = 0.0

    def start(self, name: str, parent: str | None, steps: int) -> None:
        with self._lock:
            self._open[name] = (parent, max(steps, 1), 0)

    def step(self, name: str, step: int) -> None:
        with self._lock:
            if name in self._open:
                parent, steps, _ = self._open[name]
                self._open[name] = (parent, steps, min(step + 1, steps))
                self._show(self._fraction(name))

    def finish(self, name: str) -> None:
        with self._lock:
            parent, *_ = self._open.pop(name, (None, 1, 0))
            if parent is None:
                self._show(1.0)

    def _fraction(self, name: str) -> float:
        """Of the whole: a phase fills one step of its parent."""
        fraction, current = 0.0, name
        for _ in range(len(self._open)):  # a circle of parents must not hang the build
            parent, steps, done = self._open[current]
            fraction = min((done + fraction) / steps, 1.0)
            if parent not in self._open:
                return fraction
            current = parent
        return self._shown

    def _show(self, fraction: float) -> None:
        if fraction > self._shown:
            self._shown = fraction
            self._report(fraction)
