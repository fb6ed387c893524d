"""
Make checkpoints, good and bad, and say what becomes of each: `python -m tests.convert.checkpoint_workshop FOLDER`.

A process of its own, because it imports torch and Ultralytics; one process for all, because that takes seconds.
It runs under the export child's environment and answers with one line of JSON.
"""

import decimal
import json
import os
import sys
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from ultralytics.nn.modules.head import RTDETRDecoder
from ultralytics.nn.tasks import ClassificationModel, DetectionModel

from app.convert import export_child, loading
from app.errors import JetsmithError

NAMES = {0: "Käfer", 1: "自行车 'quoted'", 2: 'semi;colon: "x"', 3: "🚲"}


class _Runs:
    """Unpickled without limits, it runs a shell command."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Callable[[str], Any], tuple[str]]:
        return os.system, (self.command,)


def detector() -> Any:
    torch.manual_seed(0)
    model = DetectionModel("yolo11n.yaml", nc=len(NAMES), verbose=False)
    model.names = dict(NAMES)
    return model


def make_all(folder: Path) -> None:
    good = detector()
    os.chdir(folder)
    torch.save({"model": good, "train_args": {"task": "detect"}}, "custom.pt")
    torch.save({"model": good}, "yolo11x.pt")
    make_unfit()
    torch.save({"model": good, "extra": decimal.Decimal(1)}, "needs-trust.pt")
    torch.save({"model": good, "extra": _Runs(f"touch {folder / 'ran'}")}, "malicious.pt")
    torch.save(_Runs(f"touch {folder / 'ran'}"), "malicious-legacy.pt", _use_new_zipfile_serialization=False)
    torch.save(good.state_dict(), "state-dict.pt")
    torch.save([1, 2], "list.pt")
    torch.save({"model": torch.nn.Linear(2, 2)}, "linear.pt")
    torch.jit.script(torch.nn.Linear(2, 2)).save("torchscript.pt")
    with zipfile.ZipFile("zip.pt", "w") as archive:
        archive.writestr("readme.txt", "no checkpoint")
    Path("pickle-magic.pt").write_bytes(b"\x80\x02" + bytes(range(256)) * 8)
    make_rtdetr()
    make_yolov5()
    classifier = ClassificationModel("yolo11n-cls.yaml", nc=2, verbose=False)
    classifier.task = "depth"
    torch.save({"model": classifier}, "other-task.pt")


def make_unfit() -> None:
    """Whole models that jetsmith cannot run."""
    unnamed = detector()
    unnamed.names = {0: "Käfer"}
    torch.save({"model": unnamed}, "unnamed.pt")
    grey = DetectionModel("yolo11n.yaml", ch=1, nc=2, verbose=False)
    torch.save({"model": grey}, "grey.pt")


def make_rtdetr() -> None:
    model = detector()
    model.model[-1] = RTDETRDecoder(1, (8, 8, 8), hd=8, nq=2, ndp=1, nh=1, ndl=1, d_ffn=8)
    torch.save({"model": model}, "rtdetr.pt")


def make_yolov5() -> None:
    """A class of the module `models.yolo`, which only the YOLOv5 repository has."""
    module = types.ModuleType("models.yolo")
    kind = type("DetectionModel", (torch.nn.Module,), {"__module__": "models.yolo"})
    module.DetectionModel = kind  # type: ignore[attr-defined]
    sys.modules.update({"models": types.ModuleType("models"), "models.yolo": module})
    torch.save({"model": kind()}, "yolov5.pt")
    del sys.modules["models.yolo"], sys.modules["models"]


def fate(path: Path) -> dict[str, str]:
    try:
        checkpoint = loading.load(path, path.name, trust=False)
        expected = path.stem if path.stem.startswith("yolo11") else None
        export_child._require_convertible(checkpoint, {"expected": expected, "shown": path.name})
    except JetsmithError as error:
        return {"error": type(error).__name__, "message": error.message, "hint": error.hint}
    return {
        "task": checkpoint.task.value,
        "family": checkpoint.family,
        "stride": str(checkpoint.stride),
        "one_to_one": str(checkpoint.has_one_to_one),
    }


def main() -> None:
    folder, *more = (Path(argument) for argument in sys.argv[1:])
    make_all(folder)
    fates = {path.name: fate(path) for path in [*sorted(folder.glob("*.pt")), *more]}
    (folder / "fates.json").write_text(json.dumps(fates))


if __name__ == "__main__":
    main()
