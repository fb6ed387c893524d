"""
Open a `.pt`: a pickle, which can hold any code.

Unless the user trusts the file, torch unpickles it with weights only and Ultralytics' list of allowed classes
(torch >= 2.6). Runs in the export child, the only process that imports torch and Ultralytics.
"""

import inspect
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.convert.traits import Traits
from app.errors import UnsafeWeights, WeightsError
from app.types import Task

_FOREIGN_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)
_TRUST = "If you know where the file comes from and trust it, set vision.yolo.model_source.trust_weights to true."
_SHOWN_NAMES = 5


@dataclass(frozen=True)
class Checkpoint:
    """A model as Ultralytics loads it, and what it says of itself."""

    model: Any  # ultralytics.nn.tasks.BaseModel
    head: Any  # its last layer
    task: Task
    family: str  # the YAML it was built from, or else the class of its head
    stride: int  # what height and width must be multiples of

    @property
    def is_detector(self) -> bool:
        return self.task is not Task.CLASSIFY

    @property
    def has_one_to_one(self) -> bool:
        """The NMS-free head of YOLOv10 and YOLO26."""
        return getattr(self.head, "one2one_cv2", None) is not None

    @property
    def has_one_to_many(self) -> bool:
        """A fused checkpoint may have lost it."""
        return getattr(self.head, "cv2", None) is not None

    @property
    def classes(self) -> int:
        return int(self.head.nc if self.is_detector else self.head.linear.out_features)

    @property
    def channels(self) -> int:
        """Of the pictures: what the first convolution reads."""
        return int(next(weights.shape[1] for weights in self.model.parameters() if weights.ndim == 4))

    @property
    def traits(self) -> Traits:
        return Traits(self.task, self.family, sum(weights.numel() for weights in self.model.parameters()))


def load(path: Path, shown: str, *, trust: bool) -> Checkpoint:
    """
    Load the checkpoint at `path`, which messages call `shown`.

    Raises:
        UnsafeWeights: it needs code that is not on the list, or torch is too old to hold it to the list.
        WeightsError: it is no checkpoint of an Ultralytics YOLO model.
    """
    import torch
    from ultralytics.nn import tasks

    if _is_torchscript(path):
        raise WeightsError(
            f"{shown} is a TorchScript archive, not a checkpoint",
            hint="Give the .pt file that training wrote (weights/best.pt).",
        )
    if not trust:
        _require_safe_load(torch, tasks)
        _require_archive(path, shown)
    try:
        model, _ = tasks.load_checkpoint(str(path))
    except _FOREIGN_ERRORS as error:
        raise _why_not(path, shown, error, trust=trust) from error
    if not isinstance(model, tasks.BaseModel):
        raise WeightsError(f"{shown} holds a {type(model).__name__}, not an Ultralytics YOLO model", hint=_retrain())
    return _describe(model, shown)


def _require_safe_load(torch: Any, tasks: Any) -> None:
    """Ultralytics loads without limits where torch lacks the scan: a silent fall-back that is refused here."""
    lacking = None
    if not hasattr(torch.serialization, "get_unsafe_globals_in_checkpoint"):
        lacking = f"torch {torch.__version__} is older than 2.6"
    elif "safe_only" not in inspect.signature(tasks.torch_safe_load).parameters:
        lacking = "this Ultralytics has no safe load"
    elif not getattr(tasks, "SAFE_LOAD", False):  # it reads ULTRALYTICS_SAFE_LOAD once, at import
        lacking = "its safe load is switched off"
    if lacking is not None:
        raise UnsafeWeights(
            f"A .pt file can run code when it is loaded, and {lacking}, so it cannot be loaded safely",
            hint=f'Install newer versions: pip install --upgrade "jetsmith[convert]" "torch>=2.6". {_TRUST}',
        )


def _require_archive(path: Path, shown: str) -> None:
    """What a zip's pickle names can be listed and held to the list; older forms cannot."""
    if not zipfile.is_zipfile(path):
        raise UnsafeWeights(
            f"{shown} is a bare pickle, as PyTorch wrote before 1.6: it cannot be loaded safely. It was not opened",
            hint=f"Save it anew with a current ultralytics, or get the original .pt file. {_TRUST}",
        )


def _why_not(path: Path, shown: str, error: Exception, *, trust: bool) -> WeightsError:
    refused = [] if trust else _refused_names(path)
    if any(name.startswith("models.") for name in refused) or getattr(error, "name", None) == "models":
        return WeightsError(
            f"{shown} was trained with the YOLOv5 repository, whose checkpoints Ultralytics cannot load",
            hint="Train the model with the ultralytics package, or use YOLOv5u weights (base_model: yolov5nu).",
        )
    if refused:
        names = ", ".join(refused[:_SHOWN_NAMES]) + (", …" if len(refused) > _SHOWN_NAMES else "")
        return UnsafeWeights(
            f"{shown} holds code outside of what Ultralytics models need: {names}. It was not run", hint=_TRUST
        )
    if isinstance(error, ImportError):
        return WeightsError(f"{shown} needs a module that is not installed: {error.name}", hint=_retrain())
    return WeightsError(f"{shown} is not a checkpoint of an Ultralytics model: {_reason(error, path)}", hint=_retrain())


def _reason(error: Exception, path: Path) -> str:
    """The first sentence of a foreign message, without its decoration and our private name for the file."""
    line = (str(error).splitlines() or [""])[0].removeprefix("ERROR ❌️ ").replace(str(path), "the file")
    return line.partition(". ")[0] or type(error).__name__


def _retrain() -> str:
    return "Give the .pt file that `yolo train` of the ultralytics package wrote, or an official one."


def _is_torchscript(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def _refused_names(path: Path) -> list[str]:
    """Classes and functions that the pickle names and that the load did not allow."""
    import torch

    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(str(path))
    except _FOREIGN_ERRORS:  # an archive without a pickle: there is nothing in it to name
        return []
    return sorted(str(name) for name in names)


def _describe(model: Any, shown: str) -> Checkpoint:
    layers = getattr(getattr(model, "student_model", model), "model", None)
    try:
        head = layers[-1]  # type: ignore[index]
        task = Task(model.task)
        family = model.yaml.get("yaml_file") or getattr(model, "yaml_file", None) or type(head).__name__
        stride = max(int(max(model.stride)), 1)
    except _FOREIGN_ERRORS as error:
        kind = getattr(model, "task", type(model).__name__)
        raise WeightsError(
            f"{shown} is a model that jetsmith does not convert ({kind})",
            hint=f"It converts YOLO models for {', '.join(task.value for task in Task)}.",
        ) from error
    _require_yolo_head(head, shown)
    return Checkpoint(model, head, task, str(family), stride)


def _require_yolo_head(head: Any, shown: str) -> None:
    from ultralytics.nn.modules import head as heads

    if not isinstance(head, (heads.Detect, heads.Classify)):
        raise WeightsError(
            f"{shown} is no YOLO model: it ends in {type(head).__name__}",
            hint="RT-DETR and other architectures have outputs that jetsmith does not decode.",
        )
