"""
Building for a core of the Deep Learning Accelerator that Jetson AGX Orin and Orin NX have beside their GPU.

What it takes: FP16 and INT8, static shapes. Whether a release of TensorRT can use it is asked of the library; NVIDIA's
words on it (11.4.1, "Working with DLA" and the migration guide for Jetson) only explain a no. TensorRT up to 10 is told
the precision by flags there, as NVIDIA's and Ultralytics' own tools do, though it has strongly typed networks; its DLA
takes no pairs of QuantizeLinear and DequantizeLinear (NVIDIA/TensorRT#2222). From 11 on networks are strongly typed.
"""

import re
from typing import TYPE_CHECKING, Any

from app.convert.precision import is_told_by_flags
from app.errors import BuildFailed
from app.types import Backend, Precision

if TYPE_CHECKING:
    import tensorrt as stubs

SETTING = "vision.yolo.tensorrt_engine_settings.dla_core"
_ON_THE_GPU = f"To build for the GPU, set {SETTING} to null."
_LAST_OLD, _FIRST_NEW = (10, 7), (11, 4, 1)


def require_dla(core: int, precision: Precision, backend: Backend, board: str, cores: int | None) -> None:
    """
    Refuse what is known to be impossible before anything is done.

    Args:
        board: its name; cores: how many it has, None where nothing tells.

    Raises:
        BuildFailed: with the reason.
    """
    wanted = f"DLA core {core} was asked for ({SETTING})"
    if backend is not Backend.TENSORRT:
        raise BuildFailed(
            f"{wanted}, and {backend.value} cannot use one: only TensorRT on a Jetson can", hint=_ON_THE_GPU
        )
    if precision is Precision.FP32:
        raise BuildFailed(
            f"{wanted}, and the DLA computes in FP16 or INT8, not in FP32", hint=f"Take --precision FP16. {_ON_THE_GPU}"
        )
    if cores is not None and core >= cores:
        raise BuildFailed(f"{wanted}, and {board} has {_counted(cores)}", hint=_ON_THE_GPU)


def require_cores(trt: Any, builder: "stubs.Builder", core: int, precision: Precision) -> None:
    """
    Refuse what this TensorRT says it cannot do.

    Raises:
        BuildFailed: with the reason, and NVIDIA's where the release is known for it.
    """
    release = f"TensorRT {trt.__version__}"
    there = builder.num_DLA_cores
    if core >= there:
        why = "" if there else _why_none(trt)
        raise BuildFailed(
            f"DLA core {core} was asked for, and {release} finds {_counted(there)} here{why}",
            hint=f"{_ON_THE_GPU} In a container, let it see /dev/nvhost-ctrl-nvdla*.",
        )
    if precision is Precision.INT8 and is_told_by_flags(trt):
        raise BuildFailed(
            f"{release} cannot build INT8 for the DLA from a graph with pairs of QuantizeLinear and DequantizeLinear, "
            "and jetsmith quantises by such pairs",
            hint=f"Take --precision FP16 for the DLA. {_ON_THE_GPU}",
        )


def _counted(cores: int) -> str:
    return "no DLA" if cores == 0 else "1 DLA core, number 0" if cores == 1 else f"{cores} DLA cores, 0 to {cores - 1}"


def _why_none(trt: Any) -> str:
    """In NVIDIA's words, for the releases that have none anywhere."""
    release = tuple(int(part) for part in re.findall(r"[0-9]+", str(trt.__version__))[:3])
    if release[:2] <= _LAST_OLD or release >= _FIRST_NEW:
        return ""
    return ": TensorRT 10.7 was the last to support it, until 11.4.1 does again on AGX Orin with JetPack 7.2.2 or newer"


def use_core(trt: Any, config: "stubs.IBuilderConfig", core: int) -> None:
    """Prefer this core for every layer; the GPU runs those that it cannot."""
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = core
    config.set_flag(trt.BuilderFlag.GPU_FALLBACK)


def layers_on_dla(network: "stubs.INetworkDefinition", config: "stubs.IBuilderConfig") -> dict[str, int]:
    """
    For the manifest: how much of the network the core can take. TensorRT says nothing when it takes none.

    Raises:
        BuildFailed: it can take none.
    """
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    able = sum(bool(config.can_run_on_DLA(layer)) for layer in layers)
    if not able:
        raise BuildFailed(f"The DLA can run none of the {len(layers)} layers of this network", hint=_ON_THE_GPU)
    return {"layers_it_can_run": able, "layers": len(layers)}
