"""
The export itself, in a process of its own: `python -m app.convert.export_child`.

The only module, with `loading`, that imports Ultralytics and torch. Its folder is the working directory.
"""

import errno
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.catalog import parse_model_name
from app.convert.child import Channel, child_main
from app.convert.confinement import forbid_network_and_programs
from app.convert.loading import Checkpoint, load
from app.convert.traits import require_colour, require_expected, require_names
from app.errors import ExportFailed, ModelError
from app.metadata import ModelMetadata
from app.types import Head

_NMS_ARGUMENT = {Head.RAW: None, Head.END2END: False, Head.NMS: True}
_STEPS = 4


def _export(job: dict[str, Any], channel: Channel) -> dict[str, Any]:
    forbid_network_and_programs()
    checkpoint = load(Path(job["weights"]), job["shown"], trust=job["trust"])
    channel.progress(1 / _STEPS)
    _require_convertible(checkpoint, job)
    _require_fitting_options(checkpoint, job)
    with _warnings_to(channel), _errors_as_ours(job):
        onnx_file = _run_exporter(checkpoint, job)
        channel.progress(3 / _STEPS)
        _finish(onnx_file, job)
    channel.progress(1.0)
    return {"onnx": onnx_file.name, "traits": checkpoint.traits.facts()}


def _require_convertible(checkpoint: Checkpoint, job: Mapping[str, Any]) -> None:
    """Before minutes of work, all that the checkpoint itself can tell."""
    name = None if job["expected"] is None else parse_model_name(job["expected"])
    require_expected(name, checkpoint.traits, job["shown"])
    require_colour(checkpoint.channels, job["shown"])
    require_names(len(checkpoint.model.names), checkpoint.classes, job["shown"])


def _require_fitting_options(checkpoint: Checkpoint, job: Mapping[str, Any]) -> None:
    height, width = job["imgsz"]
    stride = checkpoint.stride
    if min(height, width) < stride or height % stride or width % stride:
        nearest = [max(stride, round(side / stride) * stride) for side in (height, width)]
        raise ExportFailed(
            f"An input of {height}×{width} does not fit {job['shown']}: its sides must be multiples of {stride}",
            hint=f"Set input_size to {nearest}, for example.",
        )
    if job["batch"] < 1:
        raise ExportFailed(f"A batch of {job['batch']} cannot be exported", hint="Set batch_size to 1 or more.")
    problem = _head_problem(checkpoint, Head(job["head"]))
    if problem is not None:
        raise ExportFailed(f"{job['shown']} {problem[0]}", hint=problem[1])


def _head_problem(checkpoint: Checkpoint, head: Head) -> tuple[str, str] | None:
    if not checkpoint.is_detector:
        return None if head is Head.RAW else ("is a classification model: it has no boxes", "Set head to raw.")
    if head is Head.END2END and not checkpoint.has_one_to_one:
        name = type(checkpoint.head).__name__
        return f"has no end-to-end head ({name}): only YOLOv10 and YOLO26 have one", "Set head to raw or nms."
    if head is not Head.END2END and not checkpoint.has_one_to_many:
        return "was fused and has only its end-to-end head left", "Set head to end2end."
    return None


def _run_exporter(checkpoint: Checkpoint, job: Mapping[str, Any]) -> Path:
    from ultralytics.engine.exporter import Exporter

    checkpoint.model.pt_path = f"{job['stem']}.pt"  # the exporter names its output after it
    exporter = Exporter(
        overrides={
            "mode": "export",
            "task": checkpoint.task.value,
            "format": "onnx",
            "imgsz": job["imgsz"],
            "batch": job["batch"],
            "nms": _NMS_ARGUMENT[Head(job["head"])],
            "opset": job["opset"],
            "simplify": True,
            "dynamic": False,
            "device": "cpu",
            **job["nms"],
        }
    )
    return Path(exporter(model=checkpoint.model))


def _finish(path: Path, job: Mapping[str, Any]) -> None:
    """Check the graph, and take the date out of it: the same weights and options give the same bytes."""
    import onnx

    model = onnx.load(path)
    kept = {prop.key: prop.value for prop in model.metadata_props if prop.key != "date"}
    _require_promised(model, kept, job)
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, kept)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _require_promised(model: Any, props: Mapping[str, str], job: Mapping[str, Any]) -> None:
    """The exporter adjusts what it does not like with no more than a warning; here that is an error."""
    metadata = ModelMetadata.from_onnx(props)
    shapes = [[size.dim_value for size in value.type.tensor_type.shape.dim] for value in model.graph.input]
    wanted: dict[str, Any] = {
        "input": [[job["batch"], metadata.channels, *job["imgsz"]]],
        "imgsz": tuple(job["imgsz"]),
        "batch": job["batch"],
        "end2end": job["head"] == Head.END2END.value,
        "nms": job["head"] == Head.NMS.value,
    }
    actual = {"input": shapes, **{key: getattr(metadata, key) for key in wanted if key != "input"}}
    if actual != wanted:
        changed = ", ".join(f"{key}: {actual[key]}, not {wanted[key]}" for key in wanted if actual[key] != wanted[key])
        raise ExportFailed(f"Ultralytics exported {job['shown']} otherwise than asked ({changed})")


@contextmanager
def _errors_as_ours(job: Mapping[str, Any]) -> Iterator[None]:
    import onnx

    try:
        yield
    except ModelError as error:
        raise ExportFailed(error.message, hint="Try another version of ultralytics.") from error
    except OSError as error:
        raise _disk_error(error) from error
    except (
        ArithmeticError,
        AssertionError,
        AttributeError,
        ImportError,
        LookupError,
        RuntimeError,  # torch's own errors, NotImplementedError among them
        TypeError,
        ValueError,
        onnx.checker.ValidationError,
        onnx.shape_inference.InferenceError,
    ) as error:
        logging.getLogger(__name__).exception("the export failed")  # the log has the traceback
        reason = str(error).splitlines()[0] if str(error) else ""
        raise ExportFailed(
            f"{job['shown']} could not be exported: {type(error).__name__}: {reason}",
            hint=_versions_hint(job),
        ) from error


def _disk_error(error: OSError) -> ExportFailed:
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return ExportFailed(
            f"The disk is full: the ONNX file could not be written to {Path.cwd()}",
            hint="Free some space there and run the command again.",
        )
    return ExportFailed(f"The export could not write its file: {error}", hint=f"Check the folder {Path.cwd()}.")


def _versions_hint(job: Mapping[str, Any]) -> str:
    from app.convert.export import exporter_versions

    versions = ", ".join(f"{name} {version}" for name, version in exporter_versions().items())
    opset = "" if job["opset"] is None else f" Leave opset {job['opset']} out."
    return f"The versions are {versions}; run with --verbose for the log.{opset}"


@contextmanager
def _warnings_to(channel: Channel) -> Iterator[None]:
    """Tell the user what Ultralytics warns of, such as a graph that could not be simplified."""

    class Forward(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            channel.warn(f"Ultralytics: {record.getMessage().strip()}")

    handler = Forward(level=logging.WARNING)
    handler.addFilter(lambda record: record.levelno == logging.WARNING)  # errors are raised as well
    logger = logging.getLogger("ultralytics")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


if __name__ == "__main__":
    child_main(_export)
