"""
The programs that are compared, each in a process of its own: opened, told of the frames, and called in rounds.

Every heavy library is imported inside the program that needs it, so that no other pays for it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from app.types import Image

Stages = tuple[float, float, float]
"""Milliseconds a frame of preparing, of the network and of reading its answer, as the program itself tells them."""


@dataclass(frozen=True)
class Done:
    stages: Stages
    objects: int | None  # None for a program that finds none: it only runs the network


@dataclass(frozen=True)
class Program:
    detail: str  # what runs, in words
    run: Callable[[Sequence[Any]], Done]  # one batch
    place: Callable[[Image], Any] = lambda image: image  # where the program reads a frame fastest


def opened(job: Mapping[str, Any]) -> AbstractContextManager[Program]:
    return _PROGRAMS[job["program"]](job)


@contextmanager
def _engine(job: Mapping[str, Any]) -> Iterator[Program]:
    """As `jetsmith infer` runs it."""
    from app.engines.open import open_runner
    from app.infer.gpu import cpu_model, model_for
    from app.infer.pipeline import OwnsBuffers
    from app.progress import SilentReporter
    from app.types import Backend, GpuMemory
    from app.vision.decode import Thresholds

    with open_runner(Path(job["engine"]), Backend(job["backend"]), GpuMemory(job["memory"])) as runner:
        thresholds = Thresholds(*job["thresholds"])
        on_cpu = job["frame_path"] == "cpu"
        model = (
            cpu_model(runner, thresholds)
            if on_cpu
            else model_for(runner, thresholds, Path(job["store"]), SilentReporter())
        )

        def run(frames: Sequence[Image]) -> Done:
            results = model.predict_batch(frames)
            speed = results[0].speed_ms
            objects = sum(len(result.detections) for result in results if result.detections is not None)
            return Done((speed.preprocess, speed.inference, speed.postprocess), objects)

        if not isinstance(model, OwnsBuffers):
            yield Program(f"{job['detail']}, frames prepared by the processor", run)
            return
        buffers, captured = model.frame_buffers, getattr(model, "captured", False)

        def place(image: Image) -> Image:
            """Into the memory that sources write their frames into."""
            frame = buffers.take((image.shape[0], image.shape[1], image.shape[2]))
            frame[...] = image
            return frame

        yield Program(
            f"{job['detail']}, frames prepared by the GPU{' in one CUDA graph' if captured else ''}", run, place
        )


@contextmanager
def _pytorch(job: Mapping[str, Any]) -> Iterator[Program]:
    import torch

    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    name = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "the processor"
    yield _predictor(job, device, f"Ultralytics' predict, PyTorch {torch.__version__} FP32 on {name}")


@contextmanager
def _ultralytics(job: Mapping[str, Any]) -> Iterator[Program]:
    from app.runtime.onnxruntime import import_onnxruntime

    version = import_onnxruntime().__version__
    yield _predictor(job, "cpu", f"Ultralytics' predict, ONNX Runtime {version} on the processor")


def _predictor(job: Mapping[str, Any], device: str, detail: str) -> Program:
    from ultralytics import YOLO

    from app.convert.confinement import forbid_network_and_programs

    forbid_network_and_programs()
    model = YOLO(job["model"], task=job["task"])
    confidence, iou, max_detections, classes = job["thresholds"]
    options = {
        **{"imgsz": job["imgsz"], "rect": False, "device": device, "verbose": False, "save": False},
        **{"conf": confidence, "iou": iou, "max_det": max_detections, "classes": classes},
    }

    def run(frames: Sequence[Image]) -> Done:
        results = model.predict(list(frames), **options)
        speed = results[0].speed
        found = [result.obb if result.obb is not None else result.boxes for result in results]
        objects = sum(len(boxes) for boxes in found if boxes is not None)
        return Done((speed["preprocess"], speed["inference"], speed["postprocess"]), objects)

    return Program(detail, run)


@contextmanager
def _onnxruntime(job: Mapping[str, Any]) -> Iterator[Program]:
    """The network alone, on numbers that are no picture: what no program around it can go below."""
    import numpy as np

    from app.runtime.onnxruntime import OnnxRuntimeRunner, import_onnxruntime

    with OnnxRuntimeRunner(Path(job["model"]), optimise=job["optimise"]) as runner:
        rng = np.random.default_rng(0)
        feeds = {spec.name: rng.random(spec.shape, np.float32).astype(spec.dtype) for spec in runner.inputs}

        def run(frames: Sequence[Image]) -> Done:
            began = perf_counter()
            runner.infer(feeds)
            return Done((0.0, (perf_counter() - began) * 1e3 / len(frames), 0.0), None)

        yield Program(f"session.run alone, ONNX Runtime {import_onnxruntime().__version__} on the processor", run)


_PROGRAMS: dict[str, Callable[[Mapping[str, Any]], AbstractContextManager[Program]]] = {
    "jetsmith": _engine,
    "pytorch": _pytorch,
    "onnxruntime": _onnxruntime,
    "ultralytics": _ultralytics,
}
