"""A model that answers what it is told, and pictures drawn by code."""

import io
import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, overload

import numpy as np
from PIL import Image as Pillow

from app.errors import SourceError
from app.infer.frame import Failure, Frame, Kind
from app.metadata import ModelMetadata
from app.types import Detections, Image, Mask, Result, Speed, Task

NAMES = {0: "person", 1: "bicycle", 2: "Größe"}
SPEED = Speed(preprocess=1.234, inference=50.006, postprocess=0.5)


class FakeModel:
    """Answers every picture with `answer`; counts the batches it was given."""

    def __init__(self, answer: Callable[[Image], Result], batch: int = 1) -> None:
        self.metadata = ModelMetadata(task=Task.DETECT, names=NAMES, imgsz=(64, 64), batch=batch)
        self.batches: list[int] = []
        self._answer = answer

    def predict_batch(self, images: Sequence[Image]) -> list[Result]:
        self.batches.append(len(images))
        return [self._answer(image) for image in images]


def detections(**parts: Any) -> Detections:
    """Two objects, in a picture of at least 100 × 100."""
    return Detections(
        xyxy=np.array([[10, 20, 60, 80], [40.126, 40, 90, 95]], np.float32),
        confidence=np.array([0.912345, 0.5], np.float32),
        class_id=np.array([0, 2]),
        **parts,
    )


def result(task: Task = Task.DETECT, **parts: Any) -> Result:
    return Result(task=task, shape=(100, 120), speed_ms=SPEED, **parts)


def result_of(task: Task) -> Result:
    """One result of every kind."""
    bitmap = np.zeros((60, 50), bool)
    bitmap[5:50, 5:45] = True
    parts: dict[Task, dict[str, Any]] = {
        Task.DETECT: {"detections": detections()},
        Task.SEGMENT: {"detections": detections(masks=(Mask(bitmap, 10, 20), Mask(bitmap[:40, :40], 40, 40)))},
        Task.POSE: {"detections": detections(keypoints=np.full((2, 17, 3), 0.5, np.float32) * [100, 100, 1])},
        Task.OBB: {"detections": detections(xywhr=np.array([[35, 50, 40, 20, 0.5], [65, 67, 30, 20, -1]], np.float32))},
        Task.CLASSIFY: {"probs": np.array([0.1, 0.2, 0.05, 0.6, 0.02, 0.03], np.float32)},
    }
    return result(task, **parts[task])


def frame(source: str = "a.jpg", height: int = 100, width: int = 120) -> Frame:
    return Frame(source, 0, np.full((height, width, 3), 128, np.uint8))


def film(source: str, count: int, rate: float = 25.0, *, noise: bool = False) -> "Film":
    return Film(source, count, rate, noise)


class Film(Sequence[Frame]):
    """Frames of a video, or of a camera where `source` is one; each is made when it is asked for."""

    def __init__(self, source: str, count: int, rate: float, noise: bool) -> None:
        self._source, self._rate, self._noise = source, rate, noise
        self._indices = range(count)
        self._live = re.match(r"camera:|\w+://", source) is not None
        self._began = datetime(2026, 1, 1, tzinfo=timezone.utc)

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, at: int) -> Frame: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[Frame]: ...

    def __getitem__(self, at: int | slice) -> Frame | Sequence[Frame]:
        if isinstance(at, slice):
            return [self._frame(index) for index in self._indices[at]]
        return self._frame(self._indices[at])

    def _frame(self, index: int) -> Frame:
        image = np.full((100, 120, 3), 128, np.uint8)
        if self._noise:
            image = np.random.default_rng(index).integers(0, 255, image.shape, np.uint8)
        seconds = index / self._rate
        if self._live:
            moment = self._began + timedelta(seconds=seconds)
            return Frame(self._source, index, image, moment=moment, rate=self._rate, kind=Kind.LIVE)
        return Frame(self._source, index, image, seconds=seconds, rate=self._rate, kind=Kind.VIDEO)


def failure(source: str = "bad.jpg") -> Failure:
    return Failure(source, SourceError("the file is empty (0 bytes)", hint="Copy it again."))


def photo(width: int = 60, height: int = 40) -> Pillow.Image:
    """Smooth colours, so that a lossy format changes them little."""
    rows, columns = np.mgrid[0:height, 0:width]
    red = 40 + 150 * columns / max(1, width - 1)
    green = 60 + 120 * rows / max(1, height - 1)
    return Pillow.fromarray(np.stack([red, green, np.full_like(red, 90)], axis=-1).astype(np.uint8))


def encoded(picture: Pillow.Image, format_: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format_, **options)
    return buffer.getvalue()


def bgr(picture: Pillow.Image) -> Image:
    return np.ascontiguousarray(np.asarray(picture.convert("RGB"))[..., ::-1])
