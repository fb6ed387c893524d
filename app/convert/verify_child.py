"""The child that verifies: the first process to load a new engine, and one that may crash without harm."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy.typing as npt

from app.convert.agreement import LIMITS, PROBABILITIES, Agreement, channel_groups, row_scores, tensor_error
from app.convert.child import Channel, child_main
from app.convert.truth import LEAST_CONFIDENCE, Truth, figures, read_truth, score
from app.engines.open import open_runner
from app.errors import SourceError, VerificationFailed
from app.metadata import ModelMetadata
from app.runtime.base import Runner, Tensors
from app.runtime.onnxruntime import OnnxRuntimeRunner
from app.types import Backend, Head, Image, Precision, Result, Task, TensorSpec
from app.vision.accuracy import select
from app.vision.layouts import Outputs, recognise
from app.vision.letterbox import Letterbox
from app.vision.model import Model, Thresholds
from app.vision.pictures import read_picture


def _verify(job: dict[str, Any], channel: Channel) -> dict[str, Any]:
    limits = LIMITS[Precision(job["precision"])]
    agreement = Agreement()
    paths, pictures = _read([Path(path) for path in job["pictures"]], channel)
    # Unoptimised, so that nothing but the exported graph itself is the reference.
    reference = _Listening(OnnxRuntimeRunner(Path(job["reference"])))
    with _Listening(open_runner(Path(job["engine"]), Backend(job["backend"]))) as engine, reference:
        truth = _truth(paths, pictures, reference.metadata, channel) if job["labelled"] else None
        thresholds = Thresholds() if truth is None else Thresholds(confidence=LEAST_CONFIDENCE)
        models = (Model(engine, thresholds), Model(reference, thresholds))
        answers: tuple[list[Result], list[Result]] = ([], [])
        size = engine.inputs[0].shape[0]
        for start in range(0, len(pictures), size):
            batch = pictures[start : start + size]
            for kept, found in zip(answers, _compare(models, (engine, reference), batch, agreement), strict=True):
                kept.extend(found if truth is not None else ())
            channel.progress((start + len(batch)) / len(pictures))
        if agreement.expected == 0 and _lists_objects(reference):
            raise VerificationFailed(
                "The model sees no object on any picture, and its head lists nothing else: nothing was compared",
                hint="Set calibration.images to pictures that show what the model knows, or take --skip-verify.",
            )
    agreement.pictures = len(pictures)
    accuracy = {} if truth is None else figures(score(answers[0], truth), score(answers[1], truth), len(pictures))
    return {"figures": {**agreement.figures(), **accuracy}, "failures": agreement.failures(limits)}


def _lists_objects(runner: "_Listening") -> bool:
    if runner.metadata.task is Task.CLASSIFY:
        return False
    return recognise(runner.heard, runner.metadata).layout.head is not Head.RAW


def _truth(paths: Sequence[Path], pictures: Sequence[Image], metadata: ModelMetadata, channel: Channel) -> Truth | None:
    try:
        return read_truth(paths, [(picture.shape[0], picture.shape[1]) for picture in pictures], metadata)
    except SourceError as error:
        channel.warn(f"the accuracy against the labels is not measured: {error.message}")
        return None


def _read(paths: Sequence[Path], channel: Channel) -> tuple[list[Path], list[Image]]:
    """The pictures that can be read, with their paths."""
    readable, pictures = [], []
    for path in paths:
        try:
            pictures.append(read_picture(path))
        except SourceError as error:
            channel.warn(f"{path} is left out of the verification: {error.message}")
        else:
            readable.append(path)
    if not pictures:
        raise VerificationFailed(
            f"None of the {len(paths)} pictures for the verification can be read",
            hint="Set calibration.images to pictures of your own, or take --skip-verify.",
        )
    return readable, pictures


def _compare(
    models: tuple[Model, Model],
    runners: tuple["_Listening", "_Listening"],
    batch: Sequence[Image],
    agreement: Agreement,
) -> tuple[list[Result], list[Result]]:
    """Returns what both said, however unsure; compared is what `infer` would report."""
    ours, theirs = (model.predict_batch(batch) for model in models)
    engine, reference = (runner.heard for runner in runners)
    _compare_tensors(engine, reference, models[1].metadata, agreement)
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


def _compare_tensors(engine: Tensors, reference: Tensors, metadata: ModelMetadata, agreement: Agreement) -> None:
    known = recognise(reference, metadata)
    for name, expected in reference.items():
        actual = engine.get(name)
        if actual is None:
            raise VerificationFailed(
                f"The engine has no output {name!r}, it has {', '.join(engine)}", hint="Build it with --force-convert."
            )
        for part, ours, theirs in _parts(actual, expected, known, metadata):
            agreement.add_tensor(f"{name} {part}".rstrip(), tensor_error(ours, theirs))


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


class _Listening:
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

    def __enter__(self) -> "_Listening":
        self._runner.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._runner.__exit__(kind, error, trace)


if __name__ == "__main__":
    child_main(_verify)
