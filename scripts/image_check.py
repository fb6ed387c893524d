#!/usr/bin/env python3
"""
Does an image hold what it must, and nothing else? Run while it is built, by the user that it runs as.

    image_check converter|infer|bench [EXTRAS]

TensorRT is never imported: on a Jetson it needs the host's driver, which a build does not see.
"""

import importlib
import importlib.metadata
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

COMMON = (
    "cv2",
    "numpy",
    "onnxruntime",
    "PIL",
    "app.cli",
    "app.engines.open",
    "app.runtime.tensorrt",
    "config.settings",
)
CONVERT = ("httpx", "onnx", "onnxslim", "torch", "ultralytics", "app.cli.convert", "app.convert.pipeline")
INFER = ("app.cli.infer", "app.infer.pipeline", "app.infer.sinks")
NEEDED = {"converter": CONVERT, "infer": INFER, "bench": CONVERT + INFER}
OF_EXTRAS = {"draw": ("av", "supervision"), "track": ("trackers",)}
UNWANTED = {"converter": ("pip",), "infer": ("torch", "ultralytics", "onnx", "pip"), "bench": ("pip",)}


def main(image: str, extras: str = "") -> int:
    needed = [*COMMON, *NEEDED[image], *(name for extra in extras.split(",") for name in OF_EXTRAS.get(extra, ()))]
    wrong = [*_missing(needed), *_unwanted(UNWANTED[image]), *_unlinked(), *_writable(), *_unusable()]
    for extra, tried in (("draw", _undrawn), ("track", _unfollowed)):
        if not wrong and extra in extras.split(","):
            wrong += tried()
    for line in wrong:
        print(f"error: the image {line}", file=sys.stderr)
    return bool(wrong)


def _missing(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            yield f"cannot import {name}: {error}"


def _unwanted(names: Iterable[str]) -> Iterator[str]:
    own = importlib.metadata.distributions(path=[sysconfig.get_path("purelib")])
    installed = {distribution.name.lower() for distribution in own}
    yield from (f"holds {name}, which nothing needs in it" for name in names if name in installed)


def _unlinked() -> Iterator[str]:
    """pycuda cannot be imported without a driver; that it asks for one can be seen in the file."""
    for library in Path(sysconfig.get_path("purelib")).glob("pycuda/_driver*.so"):
        if b"\0libcuda.so.1\0" not in library.read_bytes():
            yield f"holds {library.name} that is not linked with the CUDA driver"


def _writable() -> Iterator[str]:
    if os.getuid() == 0:
        yield "is built to run as root"
    for path in ("/opt/jetsmith/app", sysconfig.get_path("purelib")):
        if os.access(path, os.W_OK):
            yield f"lets its user change the code in {path}"


def _unusable() -> Iterator[str]:
    for arguments in ("--version", "config", "engines list"):
        command = ["jetsmith", *arguments.split()]
        if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode:
            yield f"cannot run `{' '.join(command)}`"


def _undrawn() -> Iterator[str]:
    """Drawing uses a little of its libraries, of which much was left out: it is tried."""
    import numpy as np

    from app.infer.draw import Drawer
    from app.types import Detections, Result, Speed, Task

    box, one = np.array([[10, 20, 60, 90]], np.float32), np.array([0.9], np.float32)
    for turned in (None, np.array([[35, 55, 50, 70, 0.3]], np.float32)):
        found = Detections(xyxy=box, confidence=one, class_id=np.array([0]), xywhr=turned)
        result = Result(Task.OBB if turned is not None else Task.DETECT, (120, 160), Speed(0, 0, 0), detections=found)
        if not Drawer({0: "thing"}).draw(np.zeros((120, 160, 3), np.uint8), result).any():
            yield "draws nothing"


def _unfollowed() -> Iterator[str]:
    import numpy as np

    from app.infer.frame import Frame
    from app.infer.tracking import Tracks
    from app.types import Detections

    tracks, picture = Tracks(25), np.zeros((120, 160, 3), np.uint8)
    for index in range(5):
        box = np.array([[10 + index, 20, 60 + index, 90]], np.float32)
        found = Detections(xyxy=box, confidence=np.array([0.9], np.float32), class_id=np.array([0]))
        followed = tracks.number(Frame("camera", index, picture), found)
    if followed.track_id is None or followed.track_id.tolist() != [1]:
        yield f"follows an object as {followed.track_id}"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
