"""
What is known of Jetson modules and of the JetPack on them, and which of them jetsmith can serve.

A release is judged by its L4T, which the board tells; the JetPack is only the label that people know it by. Sources:
MODULE_NAME_TABLE and CUDA_TABLE of jetson_stats 7.2.2, the README of NVIDIA/Deep-Learning-Accelerator-SW for the DLA,
the release notes of OE4T/meta-tegra for JetPack and L4T.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from app.device import UNKNOWN, Device, nominal_gb
from app.errors import BackendUnavailable
from app.power import read_clocks, read_power

OLDEST_L4T = 36  # JetPack 6, the first whose TensorRT is bound to a Python that jetsmith runs on


@dataclass(frozen=True)
class Module:
    name: str
    part: str  # of the module, or its first five characters where all variants are alike
    soc: str
    compute_capability: str
    memory_gb: int | None  # None: sold with several
    dla_cores: int | None  # None: no source tells
    last_jetpack: int | None = None  # None: NVIDIA goes on releasing for it


MODULES = (
    Module("Jetson Nano", "p3448", "tegra210", "5.3", 4, 0, 4),
    Module("Jetson Xavier NX", "p3668", "tegra194", "7.2", None, 2, 5),
    Module("Jetson AGX Xavier", "p2888", "tegra194", "7.2", None, 2, 5),
    Module("Jetson Orin Nano 4GB", "p3767-0004", "tegra234", "8.7", 4, 0),
    Module("Jetson Orin Nano 8GB", "p3767-0003", "tegra234", "8.7", 8, 0),
    Module("Jetson Orin Nano 8GB", "p3767-0005", "tegra234", "8.7", 8, 0),
    Module("Jetson Orin NX 8GB", "p3767-0001", "tegra234", "8.7", 8, None),
    Module("Jetson Orin NX 16GB", "p3767-0000", "tegra234", "8.7", 16, 2),
    Module("Jetson AGX Orin 32GB", "p3701-0004", "tegra234", "8.7", 32, 2),
    Module("Jetson AGX Orin 64GB", "p3701-0005", "tegra234", "8.7", 64, 2),
    Module("Jetson AGX Orin", "p3701-0000", "tegra234", "8.7", None, 2),
    Module("Jetson AGX Thor T5000", "p3834-0008", "tegra264", "11.0", 128, 0),
)

_FAMILIES = ("orin nano", "orin nx", "agx orin", "thor", "xavier nx", "agx xavier", "jetson nano")
_JETPACKS = {  # L4T, the longest beginning that decides: JetPack
    "32.6": "4.6",
    **{f"32.7.{patch}": f"4.6.{patch}" for patch in range(1, 7)},
    "35.1": "5.0.2",
    "36.2": "6.0 DP",
    "36.3": "6.0",
    "36.4.0": "6.1",
    "36.4.3": "6.2",
    "36.4.4": "6.2.1",
    "36.4.7": "6.2.1",
    "36.5.0": "6.2.2",
    "36.5.2": "6.2.3",
    "38.2": "7.0",
    "38.4": "7.1",
    "39.2.0": "7.2",
    "39.2.1": "7.2.1",
    "39.2.2": "7.2.2",
}
_JETPACK_MAJORS = {32: 4, 34: 5, 35: 5, 36: 6, 38: 7, 39: 7}
_PYTHONS = {4: "3.6", 5: "3.8", 6: "3.10", 7: "3.12"}  # that NVIDIA's TensorRT bindings are built for


def l4t_major(l4t: str) -> int | None:
    head = l4t.partition(".")[0]
    return int(head) if re.fullmatch(r"[0-9]{1,4}", head) else None


def jetpack_major(l4t: str) -> int | None:
    return _JETPACK_MAJORS.get(l4t_major(l4t) or 0)


def jetpack_of(l4t: str) -> str:
    """ "6.2" for L4T 36.4.3; "6.x" where only the line is known; "unknown"."""
    parts = l4t.split(".")
    for length in range(len(parts), 1, -1):
        label = _JETPACKS.get(".".join(parts[:length]))
        if label:
            return label
    major = jetpack_major(l4t)
    return f"{major}.x" if major else UNKNOWN


def tensorrt_python(l4t: str) -> str | None:
    """The Python that this release's own TensorRT bindings are built for."""
    return _PYTHONS.get(jetpack_major(l4t) or 0)


def module_of(device: Device) -> Module | None:
    """By part number, else by the model's text and the memory, if these leave one choice."""
    if device.kind != "jetson":
        return None
    for module in MODULES:
        if device.part.startswith(module.part):
            return module
    text = device.module.lower()
    family = next((family for family in _FAMILIES if family in text), None)
    variants = {module.name: module for module in MODULES if family and family in module.name.lower()}
    memory = _memory_gb(device)
    fitting = [module for module in variants.values() if module.memory_gb == memory] or list(variants.values())
    return fitting[0] if len(fitting) == 1 else None


def _memory_gb(device: Device) -> int | None:
    named = re.search(r"\b([0-9]{1,3}) ?GB\b", device.module, re.IGNORECASE | re.ASCII)
    if named:
        return int(named[1])
    return None if device.ram_bytes is None else nominal_gb(device.ram_bytes)


# --- who is served ---


class Refusal(NamedTuple):
    reason: str
    advice: str


def refusal(device: Device) -> Refusal | None:
    """Why jetsmith cannot serve this Jetson; None where it can, or where nothing is known against it."""
    if device.kind != "jetson":
        return None
    major = l4t_major(device.l4t)
    last = _last_jetpack(device)
    if major is None and last is None:
        return None
    if major is not None and major >= OLDEST_L4T:
        return None
    jetpack = jetpack_major(device.l4t) if major is not None else last
    python = _PYTHONS.get(jetpack or 0)
    bound = f"whose TensorRT is bound to Python {python}" if python else "whose TensorRT is too old"
    name = device.module if device.module != UNKNOWN else f"This Jetson ({device.soc})"
    runs = f"runs L4T {device.l4t} (JetPack {jetpack_of(device.l4t)})" if major else f"ends with JetPack {last}"
    return Refusal(f"{name} {runs}, {bound}; jetsmith needs JetPack 6 or newer and Python 3.10 or newer", _advice(last))


def require_supported(device: Device) -> None:
    """
    Raises:
        BackendUnavailable: jetsmith cannot serve this Jetson.
    """
    refused = refusal(device)
    if refused is not None:
        raise BackendUnavailable(refused.reason, hint=refused.advice)


def _advice(last: int | None) -> str:
    if last is None:
        return "Install JetPack 6 or 7 on it; what JetPack it runs: cat /etc/nv_tegra_release"
    return (
        f"JetPack {last} is the last for this module: use an Orin or a Thor. Its processor alone can be used, with a "
        "Python 3.10 or newer of your own: --backend onnxruntime"
    )


def _last_jetpack(device: Device) -> int | None:
    """The last JetPack for this hardware, where it has come: by module, by SoC, by the GPU's generation."""
    module = module_of(device)
    if module is not None:
        return module.last_jetpack
    by_soc = {"tegra210": 4, "tegra186": 4, "tegra194": 5}
    by_gpu = {"5.3": 4, "6.2": 4, "7.2": 5}
    return by_soc.get(device.soc) or (by_gpu.get(device.gpu.compute_capability) if device.gpu else None)


# --- what a manifest keeps ---


def dla_cores(device: Device, root: Path = Path("/")) -> int | None:
    """By the kernel's device files, else by the module; TensorRT has the last word on whether it can use them."""
    files = list(root.glob("dev/nvhost-ctrl-nvdla[0-9]"))
    module = module_of(device)
    return len(files) or (module.dla_cores if module else None)


def board_name(device: Device) -> str:
    module = module_of(device)
    return module.name if module else device.module if device.module != UNKNOWN else f"this {device.kind}"


def board_facts(device: Device, root: Path = Path("/")) -> Mapping[str, str]:
    """What of this board a build's time and speed depend on, in words; what is not known is left out."""
    if device.kind != "jetson":
        return {}
    power, clocks, module, cores = read_power(root), read_clocks(root), module_of(device), dla_cores(device, root)
    facts = {
        "module": module.name if module else device.module,
        "part": device.part,
        "jetpack": jetpack_of(device.l4t),
        "dla_cores": UNKNOWN if cores is None else str(cores),
        "power_mode": power.name if power.name != UNKNOWN else power.number,
        "gpu_mhz": _mhz(clocks.gpu_now_hz),
        "gpu_limit_mhz": _mhz(clocks.gpu_limit_hz),
        "cpu_limit_mhz": _mhz(clocks.cpu_limit_hz),
    }
    return {name: value for name, value in facts.items() if value != UNKNOWN}


def _mhz(hertz: int | None) -> str:
    return UNKNOWN if hertz is None else f"{hertz / 1e6:.0f}"
