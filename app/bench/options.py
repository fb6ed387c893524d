"""What one benchmark is asked to do: plain values."""

from dataclasses import dataclass
from pathlib import Path

from app.engines.engine import Engine
from app.types import GpuMemory

COMPARED = ("pytorch", "onnxruntime", "ultralytics")


@dataclass(frozen=True)
class BenchOptions:
    engine: Engine
    store: Path
    weights: Path  # which PyTorch runs, if they are the engine's
    demo_scenes: Path
    source: str | None = None  # None: the pictures that engines are verified on
    compare: tuple[str, ...] = COMPARED
    duration_s: float = 10.0  # of each program
    thresholds: tuple[float, float, int, tuple[int, ...] | None] = (0.25, 0.7, 300, None)
    gpu_memory: GpuMemory = GpuMemory.AUTO
    frame_path: str = "auto"
    trust_weights: bool = False
