"""One batch of pictures through an engine and through the FP32 graph, and what both say, side by side."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any

import numpy.typing as npt

from app.convert.agreement import Agreement
from app.convert.tensor_error import PROBABILITIES, channel_groups, row_scores
from app.errors import VerificationFailed
from app.metadata import ModelMetadata
from app.runtime.base import Runner, Tensors
from app.types import Head, Image, Result, Task, TensorSpec
from app.vision.accuracy import select
from app.vision.layouts import Outputs, recognise
from app.vision.letterbox import Letterbox
from app.vision.model import Model, Thresholds


class Listening:
    """A runner that remembers what its engine said last."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.heard: Tensors = {}

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return self._runner.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return self._runner.outputs

    @property
    def metadata(self) -> ModelMetadata:
        return self._runner.metadata

    def infer(self, feeds: Tensors) -> Tensors:
        self.heard = self._runner.infer(feeds)
        return self.heard

    def __enter__(self) -> "Listening":
        self._runner.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._runner.__exit__(kind, error, trace)


def compare(
    models: tuple[Model, Model],
    runners: tuple[Listening, Listening],
    batch: Sequence[Image],
    agreement: Agreement,
) -> tuple[list[Result], list[Result]]:
    """Returns what both said, however unsure; compared is what `infer` would report."""
    ours, theirs = (model.predict_batch(batch) for model in models)
    engine, reference = (runner.heard for runner in runners)
    _compare_tensors(engine, reference, models[1].metadata, agreement, len(batch))
    input_hw = runners[1].inputs[0].shape[2:]
    for image, actual, expected in zip(batch, ours, theirs, strict=True):
        if expected.probs is not None and actual.probs is not None:
            agreement.add_probs(actual.probs, expected.probs)
            continue
        place = Letterbox.fit(image.shape[:2], (input_hw[0], input_hw[1]))
        gain = place.content_hw[0] / place.picture_hw[0]
        agreement.add_detections(_sure(actual), _sure(expected), gain=gain)
    return ours, theirs


def _sure(result: Result) -> Result:
    """Suppression goes from the surest down, so leaving out the unsure ones later is the same as before it."""
    if result.detections is None:
        return result
    sure = result.detections.confidence > Thresholds().confidence
    return replace(result, detections=select(result.detections, sure))


def _compare_tensors(
    engine: Tensors, reference: Tensors, metadata: ModelMetadata, agreement: Agreement, count: int
) -> None:
    """`count`: how many of the batch's slots hold pictures."""
    known = recognise(reference, metadata)
    for name, expected in reference.items():
        actual = engine.get(name)
        if actual is None:
            raise VerificationFailed(
                f"The engine has no output {name!r}, it has {', '.join(engine)}", hint="Build it with --force-convert."
            )
        for part, ours, theirs in _parts(actual, expected, known, metadata):
            agreement.add_tensor(f"{name} {part}".rstrip(), ours[:count], theirs[:count])


def _parts(
    actual: npt.NDArray[Any], expected: npt.NDArray[Any], known: Outputs, metadata: ModelMetadata
) -> Iterator[tuple[str, npt.NDArray[Any], npt.NDArray[Any]]]:
    """What of a tensor is compared, part by part."""
    if expected is not known.predictions or metadata.task is Task.CLASSIFY or actual.shape != expected.shape:
        yield "", actual, expected
    elif known.layout.head is not Head.RAW:
        yield "scores", row_scores(actual), row_scores(expected)
    else:
        for part, channels in channel_groups(known.layout, metadata.task).items():
            ours, theirs = actual[:, channels], expected[:, channels]
            if part in PROBABILITIES:
                ours, theirs = (values.reshape(len(values), 1, -1) for values in (ours, theirs))
            yield part, ours, theirs
