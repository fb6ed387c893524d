"""Weights in, an ONNX graph out. Ultralytics and torch run in a child process; see `export_child`."""

import json
import site
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from app.catalog import ModelName
from app.convert.checkpoint import require_checkpoint
from app.convert.child import run_child
from app.convert.partial import disk_errors_as_ours
from app.convert.traits import Traits
from app.errors import BackendUnavailable, ExportFailed
from app.progress import Reporter
from app.types import Head

EMBEDDED_NMS = {"conf": 0.25, "iou": 0.7, "max_det": 300}
"""What a graph with `Head.NMS` has built in: part of an engine's identity if Ultralytics' defaults ever move."""

_CHILD = "app.convert.export_child"
_TIMEOUT_S = 3600.0  # the largest model on the smallest board takes minutes; an hour is a hang
_NOT_INSTALLED = "not installed"
_DISTRIBUTIONS = {  # Ultralytics is published under two names; either provides the same package
    "ultralytics": ("ultralytics", "ultralytics-opencv-headless"),
    "torch": ("torch",),
    "onnx": ("onnx",),
    "onnxslim": ("onnxslim",),
}


@dataclass(frozen=True)
class ExportOptions:
    imgsz: tuple[int, int]  # height, width
    batch: int = 1
    head: Head = Head.RAW
    opset: int | None = None  # None: the one that Ultralytics holds best for the installed torch
    trust_weights: bool = False  # unpickle the file without limits: it may run any code
    expected: ModelName | None = None  # what the file must turn out to be


def exporter_versions() -> dict[str, str]:
    """The versions of all that shapes the graph, read without importing any of it."""
    return {package: _version(names) for package, names in _DISTRIBUTIONS.items()}


def _version(names: tuple[str, ...]) -> str:
    for name in names:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return _NOT_INSTALLED


@dataclass(frozen=True)
class Exported:
    onnx: Path
    traits: Traits  # what the checkpoint turned out to be


def export_onnx(
    weights: Path, options: ExportOptions, work: Path, reporter: Reporter, *, timeout_s: float = _TIMEOUT_S
) -> Path:
    """As `export`, for the graph alone."""
    return export(weights, options, work, reporter, timeout_s=timeout_s).onnx


def export(
    weights: Path, options: ExportOptions, work: Path, reporter: Reporter, *, timeout_s: float = _TIMEOUT_S
) -> Exported:
    """
    Export `weights` to an FP32 ONNX file of fixed shapes inside `work`; nothing else is written anywhere.

    Raises:
        BackendUnavailable: a library that exporting needs is not installed.
        WeightsError: the file is no Ultralytics checkpoint, or of no model that can be converted (UnsafeWeights: it
            holds code that a safe load refuses; WeightsMismatch: it is another model than `options.expected`).
        ExportFailed: the options do not fit the model, or the export crashed, was killed or took too long.
    """
    _require_libraries()
    require_checkpoint(weights)
    with disk_errors_as_ours(work):
        environment = library_environment(work, trust_weights=options.trust_weights)
        environment["CUDA_VISIBLE_DEVICES"] = "-1"  # the graph is the same, and the GPU's memory is the build's
    with _link(weights, work) as link:
        result = run_child(
            _CHILD,
            _job(link, weights, options),
            work=work,
            reporter=reporter,
            phase="export",
            env=environment,
            timeout_s=timeout_s,
            error=ExportFailed,
        )
    traits = Traits.of_facts(result["traits"])
    assert traits is not None  # noqa: S101 (our own child wrote them)
    return Exported(work / str(result["onnx"]), traits)


def _require_libraries() -> None:
    missing = [package for package, version in exporter_versions().items() if version == _NOT_INSTALLED]
    if missing:
        raise BackendUnavailable(
            f"Exporting needs libraries that are not installed: {', '.join(missing)}",
            hint='Install what converting needs: pip install "jetsmith[convert]".',
        )


def _job(link: Path, weights: Path, options: ExportOptions) -> dict[str, object]:
    return {
        "weights": link.name,
        "shown": str(weights),
        "stem": weights.stem,
        "imgsz": list(options.imgsz),
        "batch": options.batch,
        "head": options.head.value,
        "opset": options.opset,
        "trust": options.trust_weights,
        "expected": None if options.expected is None else str(options.expected),
        "nms": EMBEDDED_NMS,
    }


@contextmanager
def _link(weights: Path, work: Path) -> Iterator[Path]:
    """
    A plain name for the weights in the child's folder.

    Ultralytics takes quotes out of paths, renames `yolov5n.pt` to `yolov5nu.pt`, and tries to download what it
    then does not find.
    """
    link = work / "checkpoint.pt"
    with disk_errors_as_ours(link):
        link.unlink(missing_ok=True)
        link.symlink_to(weights.resolve())
    try:
        yield link
    finally:
        link.unlink(missing_ok=True)


def library_environment(work: Path, *, trust_weights: bool) -> dict[str, str]:
    """
    What keeps the libraries inside `work` and silent. Read by ultralytics 8.4.190 in `utils/__init__.py`.

    Ultralytics asks two name servers at import whether it is online, and writes its settings file, unless told
    otherwise; its usage events are off when it is offline or when `sync` is false.
    """
    home = work.absolute() / "home"
    temporary = home / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    settings = home / "Ultralytics" / "settings.json"
    settings.parent.mkdir(exist_ok=True)
    settings.write_text(json.dumps({"sync": False}))
    return {
        "HOME": str(home),
        "PYTHONUSERBASE": site.getuserbase(),  # else what `pip install --user` put below the real home is not found
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_DATA_HOME": str(home / "data"),
        "TMPDIR": str(temporary),
        "MPLCONFIGDIR": str(home / "matplotlib"),
        "TORCH_HOME": str(home / "torch"),
        "YOLO_CONFIG_DIR": str(home),
        "YOLO_OFFLINE": "true",
        "YOLO_AUTOINSTALL": "false",
        "ULTRALYTICS_SAFE_LOAD": "false" if trust_weights else "true",
        "ORT_DISABLE_TELEMETRY": "1",
    }
