"""The child that verifies: the first process to load a new engine, and one that may crash without harm."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.convert.agreement import Agreement, limits_for
from app.convert.child import Channel, child_main
from app.convert.compare import Listening, compare
from app.convert.truth import LEAST_CONFIDENCE, Truth, figures, read_truth, score
from app.engines.open import open_runner
from app.errors import SourceError, VerificationFailed
from app.metadata import ModelMetadata
from app.runtime.onnxruntime import OnnxRuntimeRunner
from app.types import Backend, Head, Image, Precision, Result, Task
from app.vision.layouts import recognise
from app.vision.model import Model, Thresholds
from app.vision.pictures import read_picture


def _verify(job: dict[str, Any], channel: Channel) -> dict[str, Any]:
    agreement = Agreement()
    paths, pictures = _read([Path(path) for path in job["pictures"]], channel)
    # Unoptimised, so that nothing but the exported graph itself is the reference.
    reference = Listening(OnnxRuntimeRunner(Path(job["reference"])))
    with Listening(open_runner(Path(job["engine"]), Backend(job["backend"]))) as engine, reference:
        truth = _truth(paths, pictures, reference.metadata, channel) if job["labelled"] else None
        thresholds = Thresholds() if truth is None else Thresholds(confidence=LEAST_CONFIDENCE)
        models = (Model(engine, thresholds), Model(reference, thresholds))
        answers: tuple[list[Result], list[Result]] = ([], [])
        size = engine.inputs[0].shape[0]
        for start in range(0, len(pictures), size):
            batch = pictures[start : start + size]
            for kept, found in zip(answers, compare(models, (engine, reference), batch, agreement), strict=True):
                kept.extend(found if truth is not None else ())
            channel.progress((start + len(batch)) / len(pictures))
        if agreement.expected == 0 and _lists_objects(reference):
            raise VerificationFailed(
                "The model sees no object on any picture, and its head lists nothing else: nothing was compared",
                hint="Set calibration.images to pictures that show what the model knows, or take --skip-verify.",
            )
    agreement.pictures = len(pictures)
    limits = limits_for(reference.metadata.task, Precision(job["precision"]))
    accuracy = {} if truth is None else figures(score(answers[0], truth), score(answers[1], truth), len(pictures))
    return {"figures": {**agreement.figures(), **accuracy}, "failures": agreement.failures(limits)}


def _lists_objects(runner: Listening) -> bool:
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


if __name__ == "__main__":
    child_main(_verify)
