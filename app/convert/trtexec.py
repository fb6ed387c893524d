"""The `trtexec` line that builds what a conversion builds, for NVIDIA's own tools; and how the two differ."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from app.convert.effort import Effort
from app.convert.precision import has_strong_types, is_told_by_flags
from app.errors import BackendUnavailable
from app.runtime import tensorrt_compat as compat
from app.types import Backend, Precision


@dataclass(frozen=True)
class Trtexec:
    command: str
    differences: tuple[str, ...]


def trtexec(
    onnx: Path,
    alias: Path,
    precision: Precision,
    effort: Effort,
    *,
    weakly_typed: bool = False,
    dla_core: int | None = None,
) -> Trtexec:
    """
    `onnx` is the kept FP32 graph; `weakly_typed` is for a TensorRT that is told the precision by flags.

    Shapes are static, so none are given; TF32 is off, as in jetsmith's own builds.
    """
    source = onnx if weakly_typed and precision is not Precision.INT8 else kept_graph(onnx, precision)
    words = [
        "trtexec",
        f"--onnx={source}",
        f"--saveEngine={alias.with_suffix('.plan').name}",
        "--noTF32",
        *([] if weakly_typed else ["--stronglyTyped"]),
        *(["--fp16"] if weakly_typed and precision is not Precision.FP32 else []),
        *(["--int8"] if weakly_typed and precision is Precision.INT8 else []),
    ]
    if dla_core is not None:
        words += [f"--useDLACore={dla_core}", "--allowGPUFallback"]
    if effort.workspace_bytes is not None:
        words.append(f"--memPoolSize=workspace:{effort.workspace_bytes // 2**20}M")
    if effort.level is not None:
        words.append(f"--builderOptimizationLevel={effort.level}")
    return Trtexec(shlex.join(words), tuple(_differences(source, precision, weakly_typed=weakly_typed)))


def is_weakly_typed(*, dla: bool = False) -> bool:
    """Whether this machine's TensorRT is told the precision by flags; where there is none, a newer one is meant."""
    try:
        trt = compat.load(Backend.TENSORRT)
    except BackendUnavailable:
        return False
    return not has_strong_types(trt) or (dla and is_told_by_flags(trt))


def kept_graph(onnx: Path, precision: Precision) -> Path:
    """Where the graph that TensorRT is given is kept: FP32 under the plain name, a typed one beside it."""
    return onnx if precision is Precision.FP32 else onnx.with_suffix(f".{precision.value.lower()}.onnx")


def _differences(source: Path, precision: Precision, *, weakly_typed: bool) -> list[str]:
    said = [
        "the plan has no header: Ultralytics and jetsmith read names, task and size from it",
        "the plan is not verified, and it is not bit for bit the same: TensorRT chooses kernels by measuring them",
    ]
    if weakly_typed and precision is not Precision.FP32:
        said.append("jetsmith keeps the tail of the head in FP32 (OBEY_PRECISION_CONSTRAINTS); this line does not")
    if not source.exists():
        said.append(f"{source} is not there yet: jetsmith convert --keep-onnx --force-convert writes it")
    return said
