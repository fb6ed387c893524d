#!/usr/bin/env python3
"""
What the frame path on the GPU costs beside the network, and whether it finds what the CPU path finds.

Needs an NVIDIA GPU, pycuda, cuda-bindings, torch and ultralytics. TensorRT is not needed: torch computes the network,
in half precision, behind a double of TensorRT's runtime, in the same captured graph.

    scripts/bench_gpu.py --weights FOLDER --pictures FOLDER --json figures.json
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cv2
import numpy as np
import numpy.typing as npt

from app.engines.header import write_header
from app.infer.frame import Nv12
from app.infer.gpu import layout
from app.infer.gpu.geometry import frame_record
from app.infer.gpu.kernels import load_kernels
from app.infer.gpu.model import GpuModel
from app.infer.summary import percentile
from app.progress import SilentReporter
from app.runtime.cuda import CudaSession
from app.runtime.graph import capture
from app.runtime.tensorrt import TensorRTRunner
from app.types import GpuMemory, Image, Result, Task
from app.vision.decode import Thresholds
from app.vision.letterbox import Letterbox
from app.vision.model import Model

FULL_HD = (1080, 1920)
ROUNDS, WARM_UP = 300, 50
LETTERBOX_FRAMES = 64
TIMED = ("yolov8n", "yolo11n-seg")
COMPARED = (
    ("yolov8n", False, 640), ("yolo11n-seg", False, 640), ("yolo11n-pose", False, 640), ("yolo11n-obb", False, 1024),
    ("yolo11n-cls", False, 224), ("yolov10n", True, 640), ("yolo26n-seg", True, 640),
)  # fmt: skip
Figures = dict[str, Any]


def main() -> int:
    args = arguments()
    install_double()
    figures: Figures = {"device": device_name()}
    pictures = read_pictures(args.pictures)
    with tempfile.TemporaryDirectory() as folder:
        if "letterbox" in args.only:
            figures["letterbox"] = letterbox_figures(Path(folder))
            show(figures["letterbox"])
        if "speed" in args.only:
            figures["speed"] = [speed_figures(args.weights / f"{name}.pt", pictures, Path(folder)) for name in TIMED]
            for row in figures["speed"]:  # last: what it starts in this process must not slow the others down
                row["ultralytics"] = ultralytics_figures(args.weights / f"{row['model']}.pt", full_hd(pictures))
                show(row)
        if "equality" in args.only:
            figures["equality"] = [
                equality_figures(args.weights / f"{name}.pt", end2end, size, pictures, Path(folder))
                for name, end2end, size in COMPARED
                if args.models is None or name in args.models
            ]
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0 if all(row["equal"] for row in figures.get("equality", [])) else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="folder of official .pt files")
    parser.add_argument("--pictures", type=Path, required=True, help="folder of pictures, searched through and through")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--models", nargs="+", help="those to compare (default: all)")
    parser.add_argument("--only", nargs="+", default=["letterbox", "speed", "equality"], help="parts to run")
    return parser.parse_args()


def install_double() -> None:
    from tests.doubles.torch_tensorrt import torch_tensorrt

    sys.modules["tensorrt"] = torch_tensorrt()


def device_name() -> str:
    import torch

    return str(torch.cuda.get_device_name())


def read_pictures(folder: Path) -> dict[str, Image]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    read = {str(path.relative_to(folder)): cv2.imread(str(path), cv2.IMREAD_COLOR) for path in paths}
    return {name: picture for name, picture in read.items() if picture is not None}


@contextmanager
def opened(
    weights: Path, size: int, folder: Path, *, end2end: bool = False, memory: GpuMemory = GpuMemory.AUTO
) -> Iterator[TensorRTRunner]:
    from ultralytics import YOLO

    from app.engines.header import read_header
    from tests.doubles.torch_tensorrt import torch_plan

    model: Any = YOLO(weights)
    header: dict[str, Any] = {"task": model.task, "names": model.names, "imgsz": [size, size], "end2end": end2end}
    if model.task == Task.POSE.value:
        header["kpt_shape"] = list(model.model.model[-1].kpt_shape)
    engine = folder / f"{weights.stem}.engine"
    engine.write_bytes(write_header(header) + torch_plan(weights, (size, size), end2end=end2end))
    read, offset = read_header(engine)
    with TensorRTRunner(engine, header=read, offset=offset, memory=memory) as runner:
        yield runner


# --- the letterbox kernel against a copy ---


def letterbox_figures(store: Path) -> Figures:
    """A batch of frames in the GPU's memory, against a copy within it of as many bytes as are read and written."""
    figures: Figures = {}
    with CudaSession(GpuMemory.COPIED) as session, session.current():
        kernels = load_kernels(session, store, SilentReporter())
        for half in (True, False):
            job, moved, keep = letterbox_job(session, half)
            grid = (1, 640, LETTERBOX_FRAMES)
            kernel = gpu_ms(session, partial(kernels.launch, "letterbox", grid, 160, job))
            copy = copy_ms(session, moved // 2)
            name = "fp16" if half else "fp32"
            figures[name] = {"frames": LETTERBOX_FRAMES, "bytes": moved, "kernel_ms": kernel, "copy_ms": copy}
            figures[name]["factor"] = kernel / copy
            del keep
    return figures


def letterbox_job(session: CudaSession, half: bool) -> tuple[bytes, int, Any]:
    height, width = FULL_HD
    frame_bytes = 3 * height * width
    records = np.repeat(frame_record(FULL_HD, (640, 640), Task.DETECT, None), LETTERBOX_FRAMES)
    pixels = session.allocate(frame_bytes * LETTERBOX_FRAMES + 64)
    noise = session.host_memory(frame_bytes)
    noise.bytes[:] = np.random.default_rng(0).integers(0, 256, noise.bytes.shape, dtype=np.uint8)
    for index in range(LETTERBOX_FRAMES):
        records["near_pixels"][index] = pixels + index * frame_bytes
        session.copy_to(pixels + index * frame_bytes, noise.bytes)
    records["pitch"] = 3 * width
    host = session.host_memory(records.nbytes)
    host.bytes[:] = records.view(np.uint8)
    job = np.zeros(1, layout.JOB)
    written = 3 * 640 * 640 * (2 if half else 4)
    job["frames"], job["input"] = session.allocate(records.nbytes), session.allocate(written * LETTERBOX_FRAMES)
    job["states"] = session.allocate(layout.STATE.itemsize * LETTERBOX_FRAMES)
    job["batch"], job["input_height"], job["input_width"], job["input_is_half"] = LETTERBOX_FRAMES, 640, 640, half
    session.copy_to(int(job["frames"][0]), host.bytes)
    session.synchronize()
    content = Letterbox.fit(FULL_HD, (640, 640)).content_hw[0]
    return job.tobytes(), LETTERBOX_FRAMES * (content * 3 * width + written), (noise, host)


def copy_ms(session: CudaSession, nbytes: int) -> float:
    import pycuda.driver as driver

    here, there = session.allocate(nbytes), session.allocate(nbytes)
    return gpu_ms(session, lambda: driver.memcpy_dtod_async(there, here, nbytes, session._stream))


def gpu_ms(session: CudaSession, work: Callable[[], None], rounds: int = 50) -> float:
    """The median, by events around each."""
    import pycuda.driver as driver

    times = []
    for _ in range(rounds):
        before, after = driver.Event(), driver.Event()
        before.record(session._stream)
        work()
        after.record(session._stream)
        after.synchronize()
        times.append(before.time_till(after))
    return float(np.median(times[5:]))


# --- a frame end to end ---


def speed_figures(weights: Path, pictures: dict[str, Image], folder: Path) -> Figures:
    picture = full_hd(pictures)
    with opened(weights, 640, folder) as runner:
        model = GpuModel(runner, Thresholds(), folder, SilentReporter())
        pinned = model.frame_buffers.take(picture.shape)
        np.copyto(pinned, picture)
        nv12 = pinned_nv12(model, picture)
        steps = {
            "network": bare_network(runner),
            "upload": bare_upload(runner.session, model, pinned),
            "pinned": lambda: model.predict(pinned),
            "pageable": lambda: model.predict(picture),
            "nv12": lambda: model.predict(nv12),
        }
        figures: Figures = {"model": weights.stem, "captured": model.captured} | interleaved(steps)
        result = model.predict(pinned)
        figures["objects"] = len(result.detections or ())
        figures["stages_ms"] = stages(model, pinned)
    figures["mapped"] = mapped_figures(weights, picture, folder)
    figures["own_ms"] = figures["pinned"]["p50"] - figures["network"]["p50"] - figures["upload"]["p50"]
    return figures


def full_hd(pictures: dict[str, Image]) -> Image:
    """A street with a bus and people, grown to 1080p."""
    photograph = next(picture for name, picture in pictures.items() if "bus" in name)
    grown: Image = cv2.resize(photograph, FULL_HD[::-1])
    return grown


def mapped_figures(weights: Path, picture: Image, folder: Path) -> Figures:
    """As on a Jetson: the GPU reads the frame where the host has it. Over PCIe that need not be faster."""
    with opened(weights, 640, folder, memory=GpuMemory.MAPPED) as runner:
        model = GpuModel(runner, Thresholds(), folder, SilentReporter())
        pinned = model.frame_buffers.take(picture.shape)
        np.copyto(pinned, picture)
        timed: Figures = interleaved({"": lambda: model.predict(pinned)})[""]
    return timed


def stages(model: GpuModel, frame: Image) -> Figures:
    speeds = [model.predict(frame).speed_ms for _ in range(100)]
    return {name: float(np.median([getattr(speed, name) for speed in speeds])) for name in vars(speeds[0])}


def pinned_nv12(model: GpuModel, picture: Image) -> Nv12:
    frame = nv12_of(picture)
    y, uv = model.frame_buffers.take(frame.y.shape), model.frame_buffers.take(frame.uv.shape)
    np.copyto(y, frame.y)
    np.copyto(uv, frame.uv)
    return Nv12(y, uv)


def bare_network(runner: TensorRTRunner) -> Callable[[], None]:
    with runner.session.current():
        graph = capture(runner.session, runner.enqueue)

    def run() -> None:
        with runner.session.current():
            graph.launch()
            runner.session.synchronize()

    return run


def bare_upload(session: CudaSession, model: GpuModel, frame: Image) -> Callable[[], None]:
    with session.current():
        target = session.allocate(frame.nbytes)

    def run() -> None:
        with session.current():
            session.copy_to(target, frame)
            session.synchronize()

    return run


def interleaved(steps: Mapping[str, Callable[[], object]]) -> Figures:
    """All steps in turn, so that what the machine does beside them is shared by all."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(WARM_UP + ROUNDS):
        for name, step in steps.items():
            start = perf_counter()
            step()
            times[name].append((perf_counter() - start) * 1e3)
    return {name: percentiles(values[WARM_UP:]) for name, values in times.items()}


def percentiles(values: Sequence[float]) -> Figures:
    return {f"p{percent}": percentile(values, percent) for percent in (50, 90, 99)}


def ultralytics_figures(weights: Path, picture: Image) -> Figures:
    from ultralytics import YOLO

    model: Any = YOLO(weights)
    timed: Figures = interleaved({"": lambda: model.predict(picture, quantize=16, device=0, verbose=False)})[""]
    return timed


# --- the same as on the CPU ---


def equality_figures(weights: Path, end2end: bool, size: int, pictures: dict[str, Image], folder: Path) -> Figures:
    figures: Figures = {"model": weights.stem, "pictures": 0, "objects": 0, "different": []}
    worst: dict[str, float] = {}
    with opened(weights, size, folder, end2end=end2end) as runner:
        for confidence in (0.25, 0.01):
            thresholds = Thresholds(confidence)
            cpu = Model(runner, thresholds)
            gpu = GpuModel(runner, thresholds, folder, SilentReporter())
            for name, picture in pictures.items():
                frame = nv12_of(picture)
                for found, expected in (
                    (gpu.predict(picture), cpu.predict(picture)),
                    (gpu.predict(frame), cpu.predict(bgr_of(frame))),
                ):
                    figures["pictures"] += 1
                    figures["objects"] += len(expected.detections or ())
                    distances = difference(found, expected)
                    for key, value in distances.items():
                        worst[key] = max(worst.get(key, 0.0), value)
                    if not within(distances):
                        figures["different"].append((name, confidence, distances))
    figures["worst"], figures["equal"] = worst, not figures["different"]
    show(figures)
    return figures


def difference(found: Result, expected: Result) -> dict[str, float]:
    if expected.probs is not None and found.probs is not None:
        return {"confidence": float(np.abs(found.probs - expected.probs).max())}
    ours, theirs = found.detections, expected.detections
    if ours is None or theirs is None or not np.array_equal(ours.class_id, theirs.class_id):
        counts = len(ours or ()), len(theirs or ())
        return {"objects": float(max(abs(counts[0] - counts[1]), 1))}
    values = {"box": largest(ours.xyxy, theirs.xyxy), "confidence": largest(ours.confidence, theirs.confidence)}
    if ours.keypoints is not None and theirs.keypoints is not None:
        values["keypoint"] = largest(ours.keypoints, theirs.keypoints)
    if ours.xywhr is not None and theirs.xywhr is not None:
        values["rotated"] = largest(ours.xywhr, theirs.xywhr)
    if ours.masks is not None and theirs.masks is not None:
        pairs = zip(ours.masks, theirs.masks, strict=True)
        values["mask"] = max((1 - mask_iou(mask, other) for mask, other in pairs), default=0.0)
    return values


def largest(ours: npt.NDArray[Any], theirs: npt.NDArray[Any]) -> float:
    return float(np.abs(ours - theirs).max(initial=0))


def mask_iou(ours: Any, theirs: Any) -> float:
    if (ours.x, ours.y, ours.bitmap.shape) != (theirs.x, theirs.y, theirs.bitmap.shape):
        return 0.0
    return float((ours.bitmap & theirs.bitmap).sum() / max((ours.bitmap | theirs.bitmap).sum(), 1))


def within(distances: dict[str, float]) -> bool:
    limits = {"objects": 0.0, "box": 0.5, "confidence": 1e-3, "keypoint": 0.5, "rotated": 0.5, "mask": 0.02}
    return all(value <= limits[key] for key, value in distances.items())


def nv12_of(picture: Image) -> Nv12:
    """Of even size: OpenCV's planes, with the chroma interleaved."""
    height, width = picture.shape[0] // 2 * 2, picture.shape[1] // 2 * 2
    planes: Any = cv2.cvtColor(np.ascontiguousarray(picture[:height, :width]), cv2.COLOR_BGR2YUV_I420)
    chroma = planes[height:].reshape(2, height // 2, width // 2)
    return Nv12(np.ascontiguousarray(planes[:height]), np.ascontiguousarray(chroma.transpose(1, 2, 0)))


def bgr_of(frame: Nv12) -> Image:
    picture: Any = cv2.cvtColorTwoPlane(frame.y, frame.uv, cv2.COLOR_YUV2BGR_NV12)
    return picture  # type: ignore[no-any-return]


def show(figures: Figures) -> None:
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    sys.exit(main())
