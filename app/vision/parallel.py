"""Several pictures at a time, where an engine runs on the processor."""

import queue
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from app.metadata import ModelMetadata
from app.runtime.base import Runner
from app.types import Image, Result
from app.vision.decode import Thresholds
from app.vision.model import Model


class ParallelModel:
    """
    Runs pictures through an engine, several at a time, each from letterbox to detections on one core.

    A network that is spread over all cores waits at the end of every layer for the slowest of them, and all but one
    wait while a picture is prepared. Networks beside each other wait for nothing: each picture takes longer, but more
    of them are done a second.

    Close it at the end.

    Args:
        runner: entered by the caller, who also leaves it; it computes in the thread that calls it, and may be called
            from several at the same time.

    Raises:
        ModelError: the engine takes something else than pictures of three channels.
    """

    def __init__(self, runner: Runner, thresholds: Thresholds | None, at_once: int) -> None:
        self.at_once = at_once
        self._runner = runner
        self._free: queue.SimpleQueue[Model] = queue.SimpleQueue()
        for _ in range(at_once):
            self._free.put(Model(runner, thresholds))
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="infer")

    @property
    def metadata(self) -> ModelMetadata:
        return self._runner.metadata

    def predict_batch(self, images: Sequence[Image]) -> list[Result]:
        """As that of `Model`; from any thread."""
        model = self._free.get()
        try:
            return model.predict_batch(images)
        finally:
            self._free.put(model)

    def submit(self, images: Sequence[Image]) -> "Future[list[Result]]":
        """As `predict_batch`, in another thread."""
        return self._pool.submit(self.predict_batch, images)

    def close(self) -> None:
        """What has begun is finished, the rest is given up."""
        self._pool.shutdown(cancel_futures=True)
