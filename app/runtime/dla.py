"""
Running an engine on a Deep Learning Accelerator: the core must be chosen before the plan is read.

The header names it under `dla`, as Ultralytics writes it (8.4.190, `engine/exporter.py`): "0" or "1".
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.errors import EngineDamaged, EngineStale

if TYPE_CHECKING:
    import tensorrt as stubs

HEADER_KEY = "dla"


def core_of(header: Mapping[str, Any], path: Path) -> int | None:
    """
    The core that an engine was built for; None for the GPU.

    Raises:
        EngineDamaged: the header names something that is no core.
    """
    named = header.get(HEADER_KEY)
    if named is None:
        return None
    text = str(named)
    if not (text.isascii() and text.isdigit() and len(text) <= 2):
        raise EngineDamaged(
            f"The header of {path.name} names {text!r:.40} as its DLA core, which is no number",
            hint="Build it again: jetsmith convert --force-convert",
        )
    return int(text)


def select_core(runtime: "stubs.Runtime", core: int | None, path: Path) -> None:
    """
    Raises:
        EngineStale: TensorRT finds no such core here.
    """
    if core is None:
        return
    there = runtime.num_DLA_cores
    if core >= there:
        raise EngineStale(
            f"{path.name} was built for DLA core {core}, and TensorRT finds {there or 'none'} here",
            hint="In a container, let it see the host's DLA (/dev/nvhost-ctrl-nvdla*). To run on the GPU, set "
            "vision.yolo.tensorrt_engine_settings.dla_core to null and build again: jetsmith convert",
        )
    runtime.DLA_core = core
