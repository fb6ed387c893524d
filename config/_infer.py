"""The section `infer`: the service."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StrictBool, StrictInt

from app.text import masked_value
from config._fields import Section, absolute, setting

MAX_POSITIVE = 1_000_000
_A_POSITIVE = f"a number above 0, at most {MAX_POSITIVE}"
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"


def _source(value: Any) -> str:
    """An address or a camera as it is; a file as a path."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable() or value.strip() == "-":
        raise ValueError(f"{masked_value(repr(value)):.40} names no source of a service")
    text = value.strip()
    return text if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://|camera:", text) else str(absolute(text))


def _sources(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError
    sources = tuple(_source(item) for item in value)
    if len(set(sources)) < len(sources):
        raise ValueError("one source is named twice")
    return sources


def _lines_file(value: Any) -> Path | Literal["-"]:
    return "-" if isinstance(value, str) and value.strip() == "-" else absolute(value)


def _service_name(value: Any) -> Any:
    if value is not None and (not isinstance(value, str) or not re.fullmatch(_NAME, value)):
        raise ValueError
    return value


def _positive(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MAX_POSITIVE:
        raise ValueError
    return float(value)


class InferSinks(Section):
    jsonl: Annotated[Path | Literal["-"], BeforeValidator(_lines_file)] | None = setting(
        None, "File of JSON lines that the service continues.", 'the path of a file, "-" for standard output, or null'
    )
    save: Annotated[Path, BeforeValidator(absolute)] | None = setting(
        None, "Folder for the service's annotated videos and pictures.", "the path of a folder, or null"
    )
    crops: Annotated[Path, BeforeValidator(absolute)] | None = setting(
        None, "Folder for cut-out objects.", "the path of a folder, or null"
    )
    rotate_mb: Annotated[float, BeforeValidator(_positive)] = setting(
        64.0, "A file of a sink that grows beyond this is closed, and another one begun.", _A_POSITIVE
    )
    keep_mb: Annotated[float, BeforeValidator(_positive)] = setting(
        1024.0, "Where the files of one sink take more than this together, its oldest are removed.", _A_POSITIVE
    )


class Infer(Section):
    """
    What `jetsmith infer` does without a SOURCE: a service that never ends.

    `hardware_decoding` is for both, `frames_at_once` for the files that a SOURCE names.
    """

    name: Annotated[str | None, BeforeValidator(_service_name)] = setting(
        None,
        "What the service is called in `jetsmith status`; two on one models folder need two names.",
        "up to 64 letters, digits, dots, dashes and underscores, or null",
        shown="the stem of model_path",
    )
    sources: Annotated[tuple[str, ...], BeforeValidator(_sources)] = setting(
        (),
        "What the service watches, all at once.",
        "a list such as [rtsp://camera/1, camera:0], also files and folders; no - and none twice",
        shown="`[]`",
    )
    fps: Annotated[float, BeforeValidator(_positive)] | None = setting(
        None, "At most so many frames a second of each source.", f"{_A_POSITIVE}, or null for all"
    )
    stride: Annotated[StrictInt, Field(ge=1, le=1_000_000)] = setting(
        1, "Every so manieth frame of each source.", "a whole number from 1 to 1000000"
    )
    hardware_decoding: StrictBool = setting(
        True, "Let a Jetson's own decoder read H.264 and H.265, in files and from rtsp://.", "true or false"
    )
    frames_at_once: Annotated[StrictInt, Field(ge=1, le=64)] | None = setting(
        None,
        "How many frames (batches, if the engine takes more) of files are computed at once, on the processor.",
        "a whole number from 1 to 64, or null",
        shown="one a core, as memory allows",
    )
    track: StrictBool = setting(False, "Number objects that stay the same from frame to frame.", "true or false")
    sinks: InferSinks = InferSinks()
