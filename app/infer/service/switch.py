"""The model of a service: another engine takes its place between two batches, and no frame is lost on the way."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.engines.engine import Engine
from app.infer.frame import Pixels
from app.infer.pipeline import OwnsBuffers, Predictor, PreparesAhead, given_to
from app.infer.service.plan import ModelPlan
from app.infer.sources.base import fresh
from app.metadata import ModelMetadata
from app.types import Image, Result

LEAVE_S = 5.0


class Loaded:
    """An engine in memory that has answered once."""

    def __init__(self, engine: Engine, plan: ModelPlan) -> None:
        self.engine = engine
        self._users = 0
        self._changed = threading.Condition()
        with ExitStack() as stack:
            self.model: Predictor = stack.enter_context(plan.open(engine))
            height, width = self.model.metadata.imgsz
            self.model.predict_batch([np.zeros((height, width, 3), np.uint8)])
            self._stack = stack.pop_all()

    @contextmanager
    def used(self) -> Iterator[None]:
        with self._changed:
            self._users += 1
        try:
            yield
        finally:
            with self._changed:
                self._users -= 1
                self._changed.notify_all()

    def close(self, patience_s: float = LEAVE_S) -> bool:
        """Whether it is closed: not while it is used, for threads that read ahead may be preparing a frame for it."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._users == 0, timeout=patience_s):
                return False
        self._stack.close()
        return True


@dataclass(frozen=True, eq=False)
class _Ready:
    """A frame that was prepared for one engine; another one that took over meanwhile needs the frame itself."""

    owner: Loaded
    pixels: Pixels
    prepared: Any


class Switch:
    """The engine of the moment, in the form of a model. Only the thread that runs it may `turn`."""

    takes_nv12 = True  # and gives it to the engine as that one takes it

    def __init__(self, first: Loaded) -> None:
        self._now = first

    @property
    def engine(self) -> Engine:
        return self._now.engine

    @property
    def metadata(self) -> ModelMetadata:
        return self._now.model.metadata

    def turn(self, to: Loaded) -> Loaded:
        """Take another engine from now on; returns the one before, which the caller closes."""
        before, self._now = self._now, to
        return before

    def close(self) -> None:
        self._now.close()

    # --- what a run asks of a model ---

    def predict_batch(self, images: Sequence[Any]) -> list[Result]:
        with self._used() as loaded:
            return loaded.model.predict_batch([_for(loaded, image) for image in images])

    def prepare(self, pixels: Pixels) -> Any:
        with self._used() as loaded:
            model = loaded.model
            prepared = model.prepare(given_to(model, pixels)) if isinstance(model, PreparesAhead) else None
        return None if prepared is None else _Ready(loaded, pixels, prepared)

    @contextmanager
    def _used(self) -> Iterator[Loaded]:
        """The engine of the moment. One that was changed for another before it was counted may be closed already."""
        while True:
            loaded = self._now
            with loaded.used():
                if loaded is self._now:
                    yield loaded
                    return

    @property
    def frame_buffers(self) -> "Switch":
        return self

    def take(self, shape: tuple[int, ...]) -> Image:
        with self._used() as loaded:
            model = loaded.model
            return model.frame_buffers.take(shape) if isinstance(model, OwnsBuffers) else fresh(shape)


def _for(loaded: Loaded, image: Any) -> Any:
    if isinstance(image, _Ready):
        if image.owner is loaded:
            return image.prepared
        image = image.pixels
    return given_to(loaded.model, image)
