"""
The facts of this machine that decide which engine runs on it.

They are read from files under an injectable root, and from the CUDA driver where there is one. Nothing is guessed:
a fact that no file tells is "unknown". Sources: nvidia-container-toolkit and jetson-containers for the Jetson files,
the kernel's Documentation for /proc, the CUDA driver API (cuda.h) for the attribute numbers.
"""

import ctypes
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Gpu:
    """The first GPU that the CUDA driver shows to this process."""

    name: str
    compute_capability: str  # "8.7"
    sm_count: int
    integrated: bool  # it shares the memory of the CPU, as on every Jetson
    driver_cuda: str  # the newest CUDA that the driver serves: "12.6"
    memory_bytes: int


@dataclass(frozen=True)
class Device:
    kind: str  # "jetson", "gpu" or "cpu"
    module: str  # "NVIDIA Jetson Orin Nano Developer Kit"
    soc: str  # "tegra234"
    l4t: str  # "36.4.3"
    cpu_model: str
    cpu_features: tuple[str, ...]  # sorted; only those that compute kernels are chosen by
    ram_bytes: int | None
    gpu: Gpu | None
    part: str = UNKNOWN  # the module's part number, by which NVIDIA tells variants apart: "p3767-0005"

    @property
    def slug(self) -> str:
        """
        A folder name for this device, at most 60 characters: "orin-nano-8gb-sm87", "cpu-intel-xeon-processor".

        It leaves out what an upgrade changes (L4T, driver): the folder stays, its engines' identities differ.
        """
        if self.kind == "cpu":
            return _slugged("cpu", self.cpu_model)
        sm = "sm" + self.gpu.compute_capability.replace(".", "") if self.gpu else ""
        if self.kind == "gpu":
            return _slugged(self.gpu.name if self.gpu else "", sm, tail=sm)
        known = _MODULE_NOISE.sub(" ", self.module) if self.module != UNKNOWN else ""
        name = known if known.strip() else f"jetson {self.soc if self.soc != UNKNOWN else ''}"
        memory = "" if self.ram_bytes is None or "gb" in name.lower() else f"{nominal_gb(self.ram_bytes)}gb"
        return _slugged(name, memory, sm, tail=sm)


def read_device(
    root: Path = Path("/"),
    *,
    gpu_probe: Callable[[], Gpu | None] | None = None,
    l4t: str = "",
    module: str = "",
) -> Device:
    """
    Look at this machine; `l4t` and `module` stand in where no file tells (containers often hide both files).

    `gpu_probe` returns the GPU, or None where there is none; by default the CUDA driver is asked.
    """
    cpu_model, cpu_features = parse_cpuinfo(read_text(root / "proc/cpuinfo"))
    compatible = _device_tree(root, "compatible")
    soc = next((name.removeprefix("nvidia,") for name in compatible if _TEGRA.fullmatch(name)), UNKNOWN)
    gpu = (gpu_probe or probe_gpu)()
    found_l4t = parse_l4t(read_text(root / "etc/nv_tegra_release"))
    if found_l4t == UNKNOWN:
        found_l4t = l4t.strip() or UNKNOWN
    is_jetson = (
        found_l4t != UNKNOWN
        or soc != UNKNOWN
        or (root / "dev/nvmap").exists()
        or (gpu is not None and gpu.integrated and _TEGRA_GPU.search(gpu.name) is not None)
    )
    kind = "jetson" if is_jetson else "gpu" if gpu else "cpu"
    return Device(
        kind=kind,
        module=_module(root, compatible, module) if is_jetson else UNKNOWN,
        soc=soc,
        l4t=found_l4t,
        cpu_model=cpu_model,
        cpu_features=cpu_features,
        ram_bytes=parse_memory(read_text(root / "proc/meminfo")),
        gpu=gpu,
        part=_part(compatible),
    )


# --- Jetson files ---

_TEGRA = re.compile(r"nvidia,tegra[0-9]{3}")
_TEGRA_GPU = re.compile(r"\b(?:Xavier|Orin|Thor)\b")  # not every integrated GPU is a Jetson's: DGX Spark has GB10
_MODULE_NOISE = re.compile(
    r"\b(nvidia|jetson|engineering|reference|developer|kit|devkit|super|module)\b", re.IGNORECASE
)
_NOMINAL_GB = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256)

# The board id in the device tree names the module exactly; the model text names the carrier it was flashed for.
# Source: MODULE_NAME_TABLE of jetson_stats 7.2.2.
_BOARDS = {
    "p3767-0000": "NVIDIA Jetson Orin NX 16GB",
    "p3767-0001": "NVIDIA Jetson Orin NX 8GB",
    "p3767-0003": "NVIDIA Jetson Orin Nano 8GB",
    "p3767-0004": "NVIDIA Jetson Orin Nano 4GB",
    "p3767-0005": "NVIDIA Jetson Orin Nano 8GB",
    "p3701-0000": "NVIDIA Jetson AGX Orin",
    "p3701-0004": "NVIDIA Jetson AGX Orin 32GB",
    "p3701-0005": "NVIDIA Jetson AGX Orin 64GB",
    "p3668": "NVIDIA Jetson Xavier NX",
    "p2888": "NVIDIA Jetson AGX Xavier",
    "p3448": "NVIDIA Jetson Nano",
    "p3834-0008": "NVIDIA Jetson AGX Thor",
}
_PART = re.compile(r"p[0-9]{4}-[0-9]{4}")


def parse_l4t(text: str) -> str:
    """ "36.4.3" from the first line of /etc/nv_tegra_release: `# R36 (release), REVISION: 4.3, GCID: …`."""
    found = re.match(r"#\s*R([0-9]{1,4})\s*\(release\),\s*REVISION:\s*([0-9]{1,4}(?:\.[0-9]{1,4}){0,2})", text)
    return f"{found[1]}.{found[2]}" if found else UNKNOWN


def _device_tree(root: Path, name: str) -> list[str]:
    """
    A property of the device tree. Docker masks /sys/firmware and with it /proc/device-tree, so copies of `model` and
    `compatible` may be mounted at /etc/jetsmith.
    """
    return _strings(root / "proc/device-tree" / name) or _strings(root / "etc/jetsmith" / name)


def _part(compatible: Iterable[str]) -> str:
    """The carrier's number stands beside the module's ("nvidia,p3768-0000+p3767-0005"): only modules are known."""
    found = (part for text in compatible for part in _PART.findall(text))
    return next((part for part in found if part in _BOARDS or part[:5] in _BOARDS), UNKNOWN)


def _module(root: Path, compatible: Iterable[str], given: str) -> str:
    text = " ".join(_device_tree(root, "model")).strip()
    part = _part(compatible)
    return text or given.strip() or _BOARDS.get(part) or _BOARDS.get(part[:5], UNKNOWN)


def nominal_gb(ram_bytes: int) -> int:
    """What the module is sold as: firmware and carve-outs keep 0.3 to 3 GB from the kernel's MemTotal."""
    gib = ram_bytes / 2**30
    return next((size for size in _NOMINAL_GB if size >= gib), round(gib))


# --- /proc ---

# Only what compute kernels are chosen by (MLAS in ONNX Runtime, XNNPACK, oneDNN). All other flags stay out: microcode
# and kernel updates add and hide such (user_shstk, ibpb, …), and none of those may rebuild an engine.
_KERNEL_FEATURES = frozenset(
    re.findall(
        r"\w+",
        # x86-64
        "sse4_1 sse4_2 avx avx2 fma f16c avx_vnni avx_vnni_int8 avx_ifma avx_ne_convert avx512f avx512dq avx512bw "
        "avx512vl avx512cd avx512ifma avx512vbmi avx512_vbmi2 avx512_vnni avx512_bf16 avx512_fp16 avx512_bitalg "
        "avx512_vpopcntdq amx_tile amx_int8 amx_bf16 amx_fp16 "
        # aarch64
        "asimd asimdhp fphp asimddp asimdfhm i8mm bf16 sve sve2 svei8mm svebf16 sme sme2",
    )
)
_ARM_CORES = {  # (implementer, part): MIDR_EL1 as in the kernel's arch/arm64/include/asm/cputype.h
    ("0x41", "0xd07"): "ARM Cortex-A57",
    ("0x41", "0xd08"): "ARM Cortex-A72",
    ("0x41", "0xd0b"): "ARM Cortex-A76",
    ("0x41", "0xd0c"): "ARM Neoverse-N1",
    ("0x41", "0xd40"): "ARM Neoverse-V1",
    ("0x41", "0xd42"): "ARM Cortex-A78AE",
    ("0x41", "0xd4f"): "ARM Neoverse-V2",
    ("0x41", "0xd83"): "ARM Neoverse-V3AE",
    ("0x4e", "0x004"): "NVIDIA Carmel",
}


def parse_cpuinfo(text: str) -> tuple[str, tuple[str, ...]]:
    """The CPU's model, and of its instruction sets those that every core has and kernels are chosen by."""
    models: set[str] = set()
    features: set[str] | None = None
    for block in re.split(r"\n\s*\n", text):
        fields = dict(_field(line) for line in block.splitlines() if ":" in line)
        name = _cpu_name(fields)
        if name:
            models.add(name)
        flags = fields.get("flags") or fields.get("Features")
        if flags is not None:
            own = set(flags.split()) & _KERNEL_FEATURES
            features = own if features is None else features & own
    return " + ".join(sorted(models)) or UNKNOWN, tuple(sorted(features or ()))


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip(), value.strip()


def _cpu_name(fields: dict[str, str]) -> str:
    if "CPU part" in fields:
        core = fields.get("CPU implementer", UNKNOWN).lower(), fields["CPU part"].lower()
        return _ARM_CORES.get(core, f"ARM core {core[0]}:{core[1]}")
    # "Intel(R) Xeon(R) CPU @ 2.30GHz": trademarks and the clock are no facts that kernels depend on.
    name = re.sub(r"\((?:R|TM)\)|\bCPU\b|@.*", " ", fields.get("model name", ""), flags=re.IGNORECASE)
    return " ".join(name.split())


def parse_memory(meminfo: str) -> int | None:
    found = re.search(r"^MemTotal:\s*([0-9]{1,15}) kB", meminfo, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


# --- the CUDA driver ---

_MULTIPROCESSOR_COUNT, _INTEGRATED, _MAJOR, _MINOR = 16, 18, 75, 76  # CUdevice_attribute


def probe_gpu(load: Callable[[str], Any] = ctypes.CDLL) -> Gpu | None:
    """
    Ask the CUDA driver for its first device, without creating a context.

    Returns:
        None where the driver library is missing or shows no device.
    """
    try:
        cuda = load("libcuda.so.1")
    except OSError:
        return None
    device = ctypes.c_int()
    if cuda.cuInit(0) or cuda.cuDeviceGet(ctypes.byref(device), 0):
        return None
    name = ctypes.create_string_buffer(256)
    memory, version = ctypes.c_size_t(), ctypes.c_int()
    failed = (
        cuda.cuDeviceGetName(name, len(name), device)
        or cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
        or cuda.cuDriverGetVersion(ctypes.byref(version))
    )
    numbers = [_attribute(cuda, which, device) for which in (_MAJOR, _MINOR, _MULTIPROCESSOR_COUNT, _INTEGRATED)]
    if failed or None in numbers:
        return None
    major, minor, sm_count, integrated = (int(number or 0) for number in numbers)
    return Gpu(
        name=name.value.decode("utf-8", "replace").strip() or UNKNOWN,
        compute_capability=f"{major}.{minor}",
        sm_count=sm_count,
        integrated=bool(integrated),
        driver_cuda=f"{version.value // 1000}.{version.value % 1000 // 10}",
        memory_bytes=memory.value,
    )


def _attribute(cuda: Any, which: int, device: ctypes.c_int) -> int | None:
    value = ctypes.c_int()
    return None if cuda.cuDeviceGetAttribute(ctypes.byref(value), which, device) else value.value


# --- reading ---


def read_text(path: Path) -> str:
    """A file's text, or nothing where it is absent or hidden: a container may hide any of them."""
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""


def _strings(path: Path) -> list[str]:
    """The NUL-terminated strings of a device-tree property."""
    return [text.strip() for text in read_text(path).split("\0") if text.strip()]


def _slugged(*parts: str, tail: str = "") -> str:
    """Lower-case, dashes between; where it grows too long, `tail` stays."""
    words = re.sub(r"[^a-z0-9.]+", "-", " ".join(parts).lower()).strip("-.")
    if len(words) > 60:
        words = words[: 59 - len(tail)].rstrip("-.") + (f"-{tail}" if tail else "")
    return words or UNKNOWN
