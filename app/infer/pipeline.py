"""Frames → model → sinks: as many at once as the engine takes, in order for each source."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TextIO, runtime_checkable

from app.errors import JetsmithError
from app.infer.ahead import Reading
from app.infer.frame import Failure, Frame, Nv12, Pixels
from app.infer.lane import Item, Lane
from app.infer.sinks.base import Sink, closed_at_the_end
from app.infer.sinks.open import SinkOptions, open_sinks
from app.infer.sources.base import Selection, Source, Take, fresh
from app.infer.sources.files import Files, has_video
from app.infer.summary import End, Summary, Tally
from app.metadata import ModelMetadata
from app.progress import Phase, Reporter, SilentReporter
from app.text import printable
from app.types import Image, Result

__all__ = ["End", "InferOptions", "Predictor", "Summary", "infer", "run"]

Outcome = Failure | tuple[Frame, Result]
"""What became of one input."""


_AHEAD_BYTES = 256 << 20  # of frames whose results are not there yet


@dataclass(frozen=True)
class InferOptions:
    sources: Sequence[Source]
    sinks: SinkOptions = field(default_factory=SinkOptions)
    selection: Selection = field(default_factory=Selection)
    progress: bool = False  # whether a bar shows how far the files are


class Predictor(Protocol):
    """What a run needs of a model: `app.vision.model.Model`, or a double."""

    @property
    def metadata(self) -> ModelMetadata: ...

    def predict_batch(self, images: Sequence[Any]) -> list[Result]:
        """Results of pictures, or of what `prepare` made of them."""
        ...


@runtime_checkable
class PreparesAhead(Protocol):
    """A predictor that can do a part of its work in the thread that reads, while the engine runs."""

    def prepare(self, image: Any) -> Any: ...


@runtime_checkable
class RunsSeveral(Protocol):
    """A predictor that runs several batches at the same time."""

    @property
    def at_once(self) -> int: ...

    def submit(self, images: Sequence[Any]) -> "Future[list[Result]]": ...


@runtime_checkable
class TakesNv12(Protocol):
    """A predictor that converts what cameras and hardware decoders give by itself."""

    @property
    def takes_nv12(self) -> bool: ...


class FrameBuffers(Protocol):
    def take(self, shape: tuple[int, ...]) -> Image: ...


@runtime_checkable
class OwnsBuffers(Protocol):
    """A predictor whose engine reads frames fastest from memory of its own."""

    @property
    def frame_buffers(self) -> FrameBuffers: ...


def infer(
    options: InferOptions,
    model: Predictor,
    stream: TextIO,
    reporter: Reporter,
    stop: threading.Event | None = None,
) -> Summary:
    """
    Run the model on all that `options` hold; results go to `stream`, failures also to the reporter.

    Raises:
        OutputError: results or pictures cannot be written.
        ModelError: the engine's output is of no known layout.
    """
    found = [item for source in options.sources if isinstance(source, Files) for item in source.found]
    inputs = [item for item in found if isinstance(item, Path)]
    sinks = open_sinks(options.sinks, model.metadata, stream, inputs, reporter)
    reading = Reading(options.sources, reporter, stop, options.selection.duration)
    return run(reading, lambda: model, sinks, reporter, progress=options.progress and has_video(found))


def run(
    reading: Reading,
    predictor: Callable[[], Predictor],
    sinks: Sequence[Sink],
    reporter: Reporter,
    *,
    progress: bool = False,
) -> Summary:
    """
    Run a model on every frame. A stop, Ctrl-C and a closed output end the run early, with what was done until then.

    Args:
        predictor: asked before each batch, so that another engine may take over between two frames.
    """
    tally = Tally()
    try:
        with closed_at_the_end(sinks), reading, _bar(reading, reporter, progress) as bar:
            reading.start(_take_of(predictor), _prepare_of(predictor))
            for one in _computed(reading, predictor, tally):
                one.finish(sinks, reporter, tally)
                bar.update(reading.progress())
        end = End.INTERRUPTED if reading.was_stopped else End.DONE
    except KeyboardInterrupt:
        end = End.INTERRUPTED
    except BrokenPipeError:
        end = End.UNREAD
    return tally.summary(end, reading.states())


def _computed(reading: Reading, predictor: Callable[[], Predictor], tally: Tally) -> Iterator["_Begun"]:
    """Batches that the engine has or is done with, in order. What came before an error is not lost with it."""
    begun: deque[_Begun] = deque()
    try:
        for batch in reading.batches(lambda: predictor().metadata.batch):
            model = predictor()
            at_once = _at_once(model)
            tally.at_once = at_once * model.metadata.batch if at_once > 1 else 1
            begun.append(_begin(batch, model))
            while _is_enough(begun, at_once):
                yield begun.popleft()
    except (JetsmithError, RuntimeError):
        yield from begun
        raise
    yield from begun


@dataclass(frozen=True, eq=False)
class _Begun:
    """A batch that the engine has, or is done with."""

    batch: list[tuple[Lane, Item]]
    results: Callable[[], list[Result]]  # waits for them

    @property
    def bytes(self) -> int:
        return sum(item.what.pixels.nbytes for _, item in self.batch if isinstance(item.what, Frame))

    def finish(self, sinks: Sequence[Sink], reporter: Reporter, tally: Tally) -> None:
        results = iter(self.results())
        for lane, item in self.batch:
            if isinstance(item.what, Failure):
                _fail(item.what, sinks, reporter)
                tally.add_failure()
            else:
                result = next(results)
                for sink in sinks:
                    sink.write(item.what, result)
                tally.add(item.what, result)
                lane.went_through(item)


def _begin(batch: list[tuple[Lane, Item]], model: Predictor) -> _Begun:
    images = [given_to(model, item.for_engine) for _, item in batch if item.is_frame]
    if images and isinstance(model, RunsSeveral):
        return _Begun(batch, model.submit(images).result)
    results = model.predict_batch(images) if images else []
    return _Begun(batch, lambda: results)


def _at_once(model: Predictor) -> int:
    return model.at_once if isinstance(model, RunsSeveral) else 1


def _is_enough(begun: Sequence[_Begun], at_once: int) -> bool:
    """
    Of batches in the model's hands.

    Twice as many as it runs, so that none of its threads waits for frames while another is late with the oldest ones;
    where it runs one, that is done already.
    """
    most = 2 * at_once if at_once > 1 else 0
    return len(begun) > most or (len(begun) > 1 and sum(one.bytes for one in begun) > _AHEAD_BYTES)


def _fail(failure: Failure, sinks: Sequence[Sink], reporter: Reporter) -> None:
    error = failure.error
    reporter.warn(f"{printable(failure.source)}: {error.message}. {error.hint}".rstrip())
    for sink in sinks:
        sink.fail(failure)


def _take_of(predictor: Callable[[], Predictor]) -> Take:
    def take(shape: tuple[int, ...]) -> Image:
        model = predictor()
        return model.frame_buffers.take(shape) if isinstance(model, OwnsBuffers) else fresh(shape)

    return take


def _prepare_of(predictor: Callable[[], Predictor]) -> Callable[[Pixels], Any]:
    def prepare(pixels: Pixels) -> Any:
        model = predictor()
        return model.prepare(given_to(model, pixels)) if isinstance(model, PreparesAhead) else None

    return prepare


def given_to(model: Predictor, frame: Any) -> Any:
    """A frame as this model takes it; what was prepared stays as it is."""
    takes_it = isinstance(model, TakesNv12) and model.takes_nv12
    return frame if takes_it or not isinstance(frame, Nv12) else frame.bgr


@contextmanager
def _bar(reading: Reading, reporter: Reporter, shown: bool) -> Iterator[Phase]:
    with (reporter if shown else SilentReporter()).phase(reading.title, 100.0, "%") as phase:
        yield phase
