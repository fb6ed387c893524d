"""ONNX Runtime on the CPU: laptops, CI, and the reference that every other backend is compared with."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import numpy as np

from app.errors import BackendUnavailable, EngineDamaged, ModelError
from app.metadata import ModelMetadata
from app.runtime.base import Tensors
from app.types import TensorSpec

_DTYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(bool)": np.bool_,
}


def import_onnxruntime() -> ModuleType:
    """
    Import ONNX Runtime with its telemetry off.

    Release 1.32 sends usage data on Linux unless the variable is set before the first import.

    Raises:
        BackendUnavailable: it is not installed, or its binary does not load here.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendUnavailable(
            f"ONNX Runtime cannot be imported: {error}", hint="Install it: pip install onnxruntime"
        ) from error
    module: ModuleType = onnxruntime
    return module


def save_optimised(graph: Path, engine: Path) -> None:
    """Write `graph` as ONNX Runtime runs it on this processor, with every optimisation applied."""
    ort = import_onnxruntime()
    options = _options(ort, optimise=True)
    options.optimized_model_filepath = str(engine)
    with _load_errors_as_ours(graph):
        ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])


class OnnxRuntimeRunner:
    """
    Runs an ONNX file. With `optimise` the graph is optimised while it loads; an engine already is.

    Args:
        threads: how many threads compute one picture; None leaves it to ONNX Runtime, one a core.
    """

    def __init__(self, path: Path, *, optimise: bool = False, threads: int | None = None) -> None:
        self._path = path
        self._optimise = optimise
        self._threads = threads
        self._session: Any = None

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return self._outputs

    @property
    def metadata(self) -> ModelMetadata:
        return self._metadata

    def infer(self, feeds: Tensors) -> Tensors:
        """Run once; the arrays returned are the caller's own."""
        try:
            outputs = self._session.run(self._names, dict(feeds))
        except self._run_errors as error:
            raise ModelError(f"{self._path.name} could not run: {error}") from error
        return dict(zip(self._names, outputs, strict=True))

    def __enter__(self) -> "OnnxRuntimeRunner":
        ort = import_onnxruntime()
        options = _options(ort, optimise=self._optimise)
        if self._threads is not None:
            options.intra_op_num_threads = self._threads
        with _load_errors_as_ours(self._path):
            self._session = ort.InferenceSession(str(self._path), options, providers=["CPUExecutionProvider"])
        self._inputs = tuple(_spec(node) for node in self._session.get_inputs())
        self._outputs = tuple(_spec(node) for node in self._session.get_outputs())
        self._names = [spec.name for spec in self._outputs]
        self._metadata = ModelMetadata.from_onnx(self._session.get_modelmeta().custom_metadata_map)
        self._run_errors = _exceptions("InvalidArgument", "Fail", "RuntimeException")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._session = None


def _options(ort: ModuleType, *, optimise: bool) -> Any:
    options = ort.SessionOptions()
    level = ort.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimise else level.ORT_DISABLE_ALL
    options.log_severity_level = 3  # errors only: it warns that an optimised graph fits this processor alone
    # Between two runs the cores belong to reading, preparing and decoding, not to threads that wait by spinning.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options


def _spec(node: Any) -> TensorSpec:
    if node.type not in _DTYPES or not all(isinstance(size, int) for size in node.shape):
        raise ModelError(
            f"Tensor {node.name!r} has type {node.type} and shape {node.shape}, not a static numeric one",
            hint="Export the model again with `jetsmith convert`, which writes static shapes.",
        )
    return TensorSpec(node.name, tuple(node.shape), np.dtype(_DTYPES[node.type]))


def _exceptions(*names: str) -> tuple[type[Exception], ...]:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return tuple(getattr(state, name) for name in names)


@contextmanager
def _load_errors_as_ours(path: Path) -> Iterator[None]:
    if not path.is_file():
        raise EngineDamaged(f"{path} is not there", hint="Build it again: jetsmith convert")
    errors = _exceptions(
        "Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NoSuchFile", "NotImplemented",
        "RuntimeException",
    )  # fmt: skip
    try:
        yield
    except errors as error:
        raise EngineDamaged(
            f"ONNX Runtime cannot load {path}: {str(error).splitlines()[0]}",
            hint="Build it again: jetsmith convert --force-convert",
        ) from error
