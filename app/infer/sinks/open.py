"""The sinks that a run asked for."""

import io
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TextIO

from app.infer.sinks.base import Sink, Stream
from app.infer.sinks.files import Inputs
from app.infer.sinks.json_lines import JsonLines, LinesFile
from app.infer.sinks.polled import PolledStream
from app.infer.sinks.queued import Queued
from app.infer.sinks.table import Table
from app.infer.tracking import Tracked
from app.metadata import ModelMetadata
from app.progress import Reporter


class OutputFormat(str, Enum):
    TABLE = "table"
    JSONL = "jsonl"


@dataclass(frozen=True)
class SinkOptions:
    """Where the results of one run go: to all of these at once."""

    format: OutputFormat | None = OutputFormat.JSONL  # on standard output; None for nothing there
    output: Path | None = None  # a file of JSON lines
    save: Path | None = None  # a folder for annotated pictures and videos
    crops: Path | None = None  # a folder for cut-out objects
    track: bool = False


def open_sinks(
    options: SinkOptions, model: ModelMetadata, stream: TextIO, inputs: Iterable[Path], reporter: Reporter
) -> list[Sink]:
    """
    Raises:
        OutputError: one of them cannot be opened; those before it are closed again.
    """
    files = list(inputs)
    sinks: list[Sink] = []
    with ExitStack() as opened:
        for sink in _opened(options, model, stream, files, reporter):
            opened.callback(sink.close)
            sinks.append(sink)
        tracked: list[Sink] = [Tracked(sinks, model.task)] if options.track else sinks
        opened.pop_all()
    return tracked


def _opened(
    options: SinkOptions, model: ModelMetadata, stream: TextIO, inputs: list[Path], reporter: Reporter
) -> Iterable[Sink]:
    names = model.names
    if options.format is not None:
        out, leave = polled(stream)
        shown = Table(out, names) if options.format is OutputFormat.TABLE else JsonLines(out, names)
        yield Queued(shown, "standard output", reporter, beside_files=False, leave=leave)
    if options.output is not None:
        yield Queued(JsonLines(LinesFile(options.output, Inputs(inputs)), names), str(options.output), reporter)
    if options.save is not None:
        from app.infer.sinks.annotated import Annotated

        yield Queued(Annotated(options.save, names, inputs), f"annotating into {options.save}", reporter)
    if options.crops is not None:
        from app.infer.sinks.crops import Crops

        yield Queued(Crops(options.crops, names, model.task, inputs), f"cutting out into {options.crops}", reporter)


def polled(stream: TextIO) -> tuple[Stream, Callable[[], None]]:
    """A stream whose waiting writes can be left, and how to leave them."""
    try:
        patient = PolledStream(stream)
    except io.UnsupportedOperation:  # a stream in memory, which never waits
        return stream, lambda: None
    return patient, patient.leave
