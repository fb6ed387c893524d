"""The bare plan of an engine, for tools that do not know Ultralytics' header: trtexec, Polygraphy, Nsight."""

import shutil
from contextlib import suppress
from pathlib import Path

from app.engines.engine import Engine, check_content
from app.engines.header import read_header
from app.errors import EngineError, OutputError
from app.types import Backend


def export_plan(engine: Engine, destination: Path) -> int:
    """
    Write what follows the header to a new file; returns its bytes.

    Raises:
        EngineDamaged: the engine's bytes are not those of its manifest.
        EngineError: the engine holds no plan.
        OutputError: the file is there already, or cannot be written.
    """
    if engine.backend is Backend.ONNXRUNTIME:
        raise EngineError(
            f"{engine.path.name} holds no TensorRT plan: it is an ONNX graph as it stands",
            hint="Name an engine of the backend tensorrt or tensorrt_rtx: jetsmith engines list",
        )
    _, offset = read_header(check_content(engine).path)
    try:
        with engine.path.open("rb") as source, destination.open("xb") as file:
            source.seek(offset)
            shutil.copyfileobj(source, file)
            return file.tell()
    except FileExistsError as error:
        raise OutputError(f"{destination} is there already", hint="Name another file, or remove it.") from error
    except OSError as error:
        with suppress(OSError):  # half a plan would look like one; where none could be begun there is none
            destination.unlink()
        raise OutputError(
            f"The plan cannot be written to {destination}: {error.strerror}", hint="Name a file that can be written."
        ) from error
