"""What one conversion is asked to do: plain values, so that anything may ask."""

from dataclasses import dataclass
from pathlib import Path

from app.catalog import ModelName
from app.convert.weights import WeightsRequest
from app.types import Backend, Head, Precision


@dataclass(frozen=True)
class ConvertOptions:
    weights: WeightsRequest
    expected: ModelName | None  # what the weights must be; None for a model of one's own
    alias: Path  # where users look for the engine; the backend's suffix replaces its own
    store: Path  # the folder of all engines
    imgsz: tuple[int, int]  # height, width
    backend: Backend | None = None  # None: the best that works here
    precision: Precision = Precision.FP16
    batch: int = 1
    workspace_gb: float | None = None  # None: by the device's memory
    fall_back: bool = False  # to a higher precision, where the wanted one is not accurate
    optimization_level: int | None = None  # None: TensorRT's own
    dla_core: int | None = None  # None: the GPU
    head: Head = Head.RAW
    trust_weights: bool = False
    keep_onnx: bool = False
    pictures: str | None = None  # folder, glob or dataset YAML: the calibration set
    demo_scenes: Path | None = None  # the pictures to verify with where there is no such set
    force_convert: bool = False
    download_only: bool = False
    skip_verify: bool = False
