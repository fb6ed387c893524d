"""Frames → model → sinks, in order, as many pictures at once as the engine takes."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol, TextIO

from app.infer.frame import Failure, Frame
from app.infer.sinks.base import Sink
from app.infer.sinks.open import SinkOptions, open_sinks
from app.infer.sources import find_pictures, read_found
from app.metadata import ModelMetadata
from app.progress import Reporter
from app.text import printable
from app.types import Image, Result, Speed

Outcome = Failure | tuple[Frame, Result]
"""What became of one input."""

_STAGES = ("preprocess", "inference", "postprocess")
_INTERRUPTED_EXIT = 130  # what a shell says of a process that Ctrl-C ended


class End(Enum):
    """Why a run ended."""

    DONE = "done"
    INTERRUPTED = "interrupted"  # Ctrl-C
    UNREAD = "unread"  # the reader of the output has gone: `| head -1`


@dataclass(frozen=True)
class InferOptions:
    sources: tuple[str, ...]
    sinks: SinkOptions = field(default_factory=SinkOptions)


class Predictor(Protocol):
    """What a run needs of a model: `app.vision.model.Model`, or a double."""

    @property
    def metadata(self) -> ModelMetadata: ...

    def predict_batch(self, images: Sequence[Image]) -> list[Result]: ...


@dataclass(frozen=True)
class Summary:
    """What a run did. The speeds are of the pictures that were done; None where there were none."""

    pictures: int
    failures: int
    detections: int | None  # None for a model that classifies
    p50_ms: Speed | None
    p95_ms: Speed | None
    end: End

    @property
    def exit_code(self) -> int:
        """0 all well, 3 some inputs failed, 130 interrupted."""
        if self.end is End.INTERRUPTED:
            return _INTERRUPTED_EXIT
        return 3 if self.failures else 0

    def __str__(self) -> str:
        parts = [_count(self.pictures, "picture")]
        if self.detections is not None:
            parts.append(_count(self.detections, "object"))
        if self.failures:
            parts.append(f"{self.failures} failed")
        if self.p50_ms is not None:
            stages = ", ".join(f"{stage} {getattr(self.p50_ms, stage):.1f}" for stage in _STAGES)
            parts.append(f"median ms a picture: {stages}")
        if self.end is End.INTERRUPTED:
            parts.append("interrupted")
        return "; ".join(parts)


def infer(options: InferOptions, model: Predictor, stream: TextIO, reporter: Reporter) -> Summary:
    """
    Run the model on all that `options` name; results go to `stream`, failures also to the reporter.

    Raises:
        OutputError: results or pictures cannot be written.
        ModelError: the engine's output is of no known layout.
    """
    found = find_pictures(options.sources)
    inputs = [item for item in found if isinstance(item, Path)]
    sinks = open_sinks(options.sinks, model.metadata, stream, inputs, reporter)
    return run(read_found(found), model, sinks, reporter)


def run(frames: Iterable[Frame | Failure], model: Predictor, sinks: Sequence[Sink], reporter: Reporter) -> Summary:
    """Run the model on every frame. Ctrl-C and a closed output end the run early, with what was done until then."""
    tally = _Tally()
    try:
        with _closed_at_the_end(sinks):
            for batch in _batches(frames, model.metadata.batch):
                for outcome in _outcomes(batch, model):
                    _hand_over(outcome, sinks, reporter)
                    tally.add(outcome)
        end = End.DONE
    except KeyboardInterrupt:
        end = End.INTERRUPTED
    except BrokenPipeError:
        end = End.UNREAD
    return tally.summary(end)


def _closed_at_the_end(sinks: Sequence[Sink]) -> ExitStack:
    """All of them, even where one cannot be."""
    stack = ExitStack()
    for sink in sinks:
        stack.callback(sink.close)
    return stack


def _batches(frames: Iterable[Frame | Failure], size: int) -> Iterator[list[Frame | Failure]]:
    """Groups of `size` frames at most; a failure keeps its place among them."""
    batch: list[Frame | Failure] = []
    for item in frames:
        batch.append(item)
        if sum(isinstance(one, Frame) for one in batch) == size or isinstance(batch[0], Failure):
            yield batch
            batch = []
    if batch:
        yield batch


def _outcomes(batch: Sequence[Frame | Failure], model: Predictor) -> Iterator[Outcome]:
    images = [item.image for item in batch if isinstance(item, Frame)]
    results = iter(model.predict_batch(images) if images else [])
    for item in batch:
        yield item if isinstance(item, Failure) else (item, next(results))


def _hand_over(outcome: Outcome, sinks: Sequence[Sink], reporter: Reporter) -> None:
    if isinstance(outcome, Failure):
        error = outcome.error
        reporter.warn(f"{printable(outcome.source)}: {error.message}. {error.hint}".rstrip())
        for sink in sinks:
            sink.fail(outcome)
    else:
        for sink in sinks:
            sink.write(*outcome)


@dataclass
class _Tally:
    """Counts while a run goes on."""

    failures: int = 0
    detections: int | None = None
    speeds: list[Speed] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        if isinstance(outcome, Failure):
            self.failures += 1
            return
        _, result = outcome
        if result.detections is not None:
            self.detections = (self.detections or 0) + len(result.detections)
        self.speeds.append(result.speed_ms)

    def summary(self, end: End) -> Summary:
        return Summary(
            pictures=len(self.speeds),
            failures=self.failures,
            detections=self.detections,
            p50_ms=_percentile(self.speeds, 50),
            p95_ms=_percentile(self.speeds, 95),
            end=end,
        )


def _percentile(speeds: Sequence[Speed], percent: float) -> Speed | None:
    """Stage by stage, between neighbours in proportion, as np.percentile does; that takes 50 ms to load numpy.ma."""
    if not speeds:
        return None
    at = (len(speeds) - 1) * percent / 100
    low, share = int(at), at % 1
    values = []
    for stage in _STAGES:
        ordered = sorted(getattr(speed, stage) for speed in speeds)
        values.append(ordered[low] + share * (ordered[min(low + 1, len(ordered) - 1)] - ordered[low]))
    return Speed(*values)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
