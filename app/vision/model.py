"""A model ready for pictures: letterbox, run, decode."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from app.errors import ModelError
from app.metadata import ModelMetadata
from app.runtime.base import Runner
from app.types import Image, Result, Speed
from app.vision.decode import Prediction, Thresholds, decode
from app.vision.preprocess import Canvas, Slot, check_picture

__all__ = ["Model", "Prediction", "Prepared", "Thresholds", "decode"]

_SPARE_INPUTS = 8


@dataclass(frozen=True, eq=False)
class Prepared:
    """A picture as the engine takes it; for one run of the model that made it."""

    shape: tuple[int, int]  # of the picture
    input: Slot  # (1, 3, height, width)
    canvas: Canvas  # the same memory
    seconds: float  # that it took


class Model:
    """
    Runs pictures through an engine.

    One run at a time: the input buffer is the model's own and is used again. `prepare` may be called meanwhile, from
    any thread.

    Args:
        runner: entered by the caller, who also leaves it.

    Raises:
        ModelError: the engine takes something else than pictures of three channels.
    """

    def __init__(self, runner: Runner, thresholds: Thresholds | None = None) -> None:
        self._runner = runner
        self._thresholds = thresholds or Thresholds()
        self._input_name, self._batch = input_buffer(runner)
        # Used again: memory that is new to the process costs as much as the whole preparation.
        self._spare: deque[tuple[Slot, Canvas]] = deque(maxlen=_SPARE_INPUTS)
        self._canvases = [Canvas(slot) for slot in self._batch]

    @property
    def metadata(self) -> ModelMetadata:
        return self._runner.metadata

    def predict(self, image: Image) -> Result:
        """
        Raises:
            SourceError: `image` is not (height, width, 3) bytes.
            ModelError: the engine's outputs are of no known layout.
        """
        return self.predict_batch([image])[0]

    def prepare(self, image: Image) -> Prepared:
        """
        Do what can be done before the engine is free; `predict_batch` takes the result in the picture's place.

        Raises:
            SourceError: `image` is not (height, width, 3) bytes.
        """
        start = perf_counter()
        try:
            space, canvas = self._spare.pop()
        except IndexError:
            space = np.empty((1, *self._batch.shape[1:]), self._batch.dtype)
            canvas = Canvas(space[0])
        canvas.prepare(image, self.metadata.task)
        return Prepared((image.shape[0], image.shape[1]), space, canvas, perf_counter() - start)

    def predict_batch(self, images: Sequence[Image | Prepared]) -> list[Result]:
        """As `predict`, for any number of pictures, prepared or not: as many at once as the engine takes."""
        for image in images:
            if not isinstance(image, Prepared):
                check_picture(image)
        size = len(self._batch)
        results: list[Result] = []
        for start in range(0, len(images), size):
            results += self._run(images[start : start + size])
        return results

    def _run(self, images: Sequence[Image | Prepared]) -> list[Result]:
        """One run of the engine; the time is shared out equally, as the pictures share the work."""
        start = perf_counter()
        batch = self._filled(images)
        filled = perf_counter()
        outputs = self._runner.infer({self._input_name: batch})
        inferred = perf_counter()
        shapes = [(image.shape[0], image.shape[1]) for image in images]
        height, width = self._batch.shape[2:]
        found = decode(outputs, self.metadata, shapes, (height, width), self._thresholds)
        ahead = [image for image in images if isinstance(image, Prepared)]
        self._spare.extend((prepared.input, prepared.canvas) for prepared in ahead)
        preparing = filled - start + sum(prepared.seconds for prepared in ahead)
        each = 1e3 / len(images)
        speed = Speed(preparing * each, (inferred - filled) * each, (perf_counter() - inferred) * each)
        return [
            Result(self.metadata.task, shape, speed, prediction.detections, prediction.probs)
            for shape, prediction in zip(shapes, found, strict=True)
        ]

    def _filled(self, images: Sequence[Image | Prepared]) -> Slot:
        """The input of one run; places that no picture takes are black."""
        (first, *others) = images
        if isinstance(first, Prepared) and not others and len(self._batch) == 1:
            return first.input
        for canvas, image in zip(self._canvases, images, strict=False):
            if isinstance(image, Prepared):
                canvas.copy(image.canvas)
            else:
                canvas.prepare(image, self.metadata.task)
        for canvas in self._canvases[len(images) :]:
            canvas.clear()
        return self._batch


def input_buffer(runner: Runner) -> tuple[str, Slot]:
    """The name of the only input, and an array of its shape (n, 3, height, width)."""
    if len(runner.inputs) != 1:
        names = ", ".join(spec.name for spec in runner.inputs)
        raise ModelError(f"A model of pictures has one input, but this one has {len(runner.inputs)}: {names}")
    (spec,) = runner.inputs
    known = spec.dtype in (np.float32, np.float16)
    if not known or len(spec.shape) != 4 or spec.shape[1] != 3 or min(spec.shape) < 1:
        raise ModelError(
            f"The input {spec.name!r} is {spec.shape} of {spec.dtype}; jetsmith runs (n, 3, height, width) of "
            "float32 or float16",
            hint="Export a model of colour pictures again with `jetsmith convert`, which writes static shapes.",
        )
    return spec.name, np.zeros(spec.shape, spec.dtype)
