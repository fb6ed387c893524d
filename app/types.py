"""The nouns that every room shares: frozen, and free of any GPU, ONNX or Docker library."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float32]
    IntArray = npt.NDArray[np.int64]
    BoolArray = npt.NDArray[np.bool_]
    Image = npt.NDArray[np.uint8]
    """A picture: (height, width, 3), BGR, as OpenCV decodes it."""
else:

    def __getattr__(name: str) -> Any:
        """The arrays, for who asks: a health check runs every few seconds, and a quarter of it would be NumPy."""
        if name not in ("FloatArray", "IntArray", "BoolArray", "Image"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        import numpy as np
        import numpy.typing as npt

        kinds = {"FloatArray": np.float32, "IntArray": np.int64, "BoolArray": np.bool_, "Image": np.uint8}
        return npt.NDArray[kinds[name]]


class Task(str, Enum):  # str, Enum and not StrEnum: JetPack 6 ships Python 3.10
    """What a model does, by Ultralytics' metadata names."""

    DETECT = "detect"
    SEGMENT = "segment"
    POSE = "pose"
    OBB = "obb"
    CLASSIFY = "classify"


class Precision(str, Enum):
    FP32 = "FP32"
    FP16 = "FP16"
    INT8 = "INT8"


class Backend(str, Enum):
    """What executes an engine, best first: the order in which `auto` tries them."""

    TENSORRT = "tensorrt"
    TENSORRT_RTX = "tensorrt_rtx"
    ONNXRUNTIME = "onnxruntime"

    @property
    def suffix(self) -> str:
        """The ending of this backend's engine files and of their aliases."""
        return _SUFFIXES[self]


# Ultralytics loads `.engine` as TensorRT; it cannot load an RTX engine, so that has its own ending.
_SUFFIXES = {
    Backend.TENSORRT: ".engine",
    Backend.TENSORRT_RTX: ".rtx",
    Backend.ONNXRUNTIME: ".ort.onnx",
}


class GpuMemory(str, Enum):
    """How the GPU gets at what the host has."""

    AUTO = "auto"  # mapped where the GPU is part of the processor (Jetson), else copied
    MAPPED = "mapped"  # it reads and writes the host's own page-locked memory
    COPIED = "copied"  # into memory of its own


class Head(str, Enum):
    """How an exported graph ends."""

    RAW = "raw"  # boxes of every anchor; suppression is ours
    END2END = "end2end"  # the NMS-free head of YOLOv10 and YOLO26
    NMS = "nms"  # suppression inside the graph


@dataclass(frozen=True)
class TensorSpec:
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True, eq=False)
class Mask:
    """One object's bitmap, cut to the pixels of its box: cheap to keep for large pictures."""

    bitmap: BoolArray  # (h, w)
    x: int  # column of the bitmap's left edge in the picture
    y: int  # row of its upper edge


@dataclass(frozen=True, eq=False)
class Detections:
    """The objects of one picture, one row each, best first, in pixels of the original picture."""

    xyxy: FloatArray  # (n, 4): left, top, right, bottom; for obb the box around the corners
    confidence: FloatArray  # (n,): 0 to 1
    class_id: IntArray  # (n,)
    keypoints: FloatArray | None = None  # (n, K, 3): x, y, confidence
    masks: tuple[Mask, ...] | None = None  # n
    xywhr: FloatArray | None = None  # (n, 5): centre, width, height, angle in radians
    track_id: IntArray | None = None  # (n,): the same for one object in every frame; -1 while it was seen once only

    def __post_init__(self) -> None:
        n = len(self.xyxy)
        expected = {"xyxy": (n, 4), "confidence": (n,), "class_id": (n,)}
        if self.keypoints is not None:
            expected["keypoints"] = (n, *self.keypoints.shape[1:2], 3)
        if self.xywhr is not None:
            expected["xywhr"] = (n, 5)
        if self.track_id is not None:
            expected["track_id"] = (n,)
        for field, shape in expected.items():
            actual = getattr(self, field).shape
            if actual != shape:
                raise ValueError(f"{field} must have shape {shape}, but got {actual}")
        if self.masks is not None and len(self.masks) != n:
            raise ValueError(f"masks must have {n} entries, but got {len(self.masks)}")

    def __len__(self) -> int:
        return len(self.xyxy)


@dataclass(frozen=True)
class Speed:
    """Milliseconds that one picture took, stage by stage."""

    preprocess: float
    inference: float
    postprocess: float


@dataclass(frozen=True, eq=False)
class Result:
    """What a model says of one picture: `detections`, or for classification `probs`."""

    task: Task
    shape: tuple[int, int]  # height, width of the picture
    speed_ms: Speed
    detections: Detections | None = None
    probs: FloatArray | None = None  # (number of classes,)
