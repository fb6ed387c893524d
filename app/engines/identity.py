"""
What an engine depends on, as one key and in words.

A recipe says what was asked for; a platform says what it was built on. Two identities with the same key are the same
engine; where the keys differ, `changes` names every component that does. Precision is the one asked for, not the one
that was built, so that a fall-back does not rebuild at every start.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from app.device import UNKNOWN, Device
from app.types import Backend

FORMAT = 1
"""Raise it when jetsmith builds engines otherwise from the same recipe: all are built anew."""

ABSENT = "none"
KEY_CHARS = 12  # of the key, in file names

_LABELS = {
    "backend": "backend",
    "batch": "batch size",
    "calibration": "calibration pictures",
    "calibration_method": "calibration method",
    "compute_capability": "compute capability",
    "cpu": "CPU",
    "cpu_features": "CPU features",
    "cuda": "CUDA",
    "dla_core": "DLA core",
    "format": "jetsmith's engine format",
    "gpu": "GPU",
    "imgsz": "input size",
    "l4t": "L4T",
    "module": "module",
    "onnx": "ONNX",
    "onnxruntime": "ONNX Runtime",
    "onnxslim": "onnxslim",
    "opset": "ONNX opset",
    "sm_count": "SM count",
    "tensorrt": "TensorRT",
    "tensorrt_rtx": "TensorRT for RTX",
    "torch": "PyTorch",
    "ultralytics": "Ultralytics",
    "workspace": "workspace size",
}
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Change:
    """One component that differs. As text: "TensorRT 10.3.0 → 10.16.2"."""

    component: str
    was: str
    now: str

    def __str__(self) -> str:
        label = _LABELS.get(self.component, self.component.replace("_", " "))
        if self.component == "cpu_features":
            return f"{label} {_set_difference(self.was, self.now)}"
        return f"{label} {_brief(self.was)} → {_brief(self.now)}"


@dataclass(frozen=True)
class Identity:
    recipe: Mapping[str, str]
    platform: Mapping[str, str]
    format: int = FORMAT

    @property
    def key(self) -> str:
        """64 hexadecimal digits: the sha256 of all components in canonical JSON."""
        parts = {"format": self.format, "recipe": dict(self.recipe), "platform": dict(self.platform)}
        canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(canonical.encode("ascii")).hexdigest()

    @property
    def short_key(self) -> str:
        return self.key[:KEY_CHARS]

    @property
    def backend(self) -> Backend:
        return Backend(self.platform["backend"])

    def changes(self, other: "Identity") -> list[Change]:
        """What is different in `other`, from this identity to it; empty if and only if the keys are equal."""
        formats = [Change("format", str(self.format), str(other.format))] if self.format != other.format else []
        return [
            *differences(self.recipe, other.recipe),
            *differences(self.platform, other.platform),
            *formats,
        ]


def differences(was: Mapping[str, str], now: Mapping[str, str]) -> list[Change]:
    """Every component that differs; one that a side does not name at all is "none" there."""
    return [
        Change(name, was.get(name, ABSENT), now.get(name, ABSENT))
        for name in [*was, *(name for name in now if name not in was)]
        if was.get(name) != now.get(name)
    ]


def in_words(changes: Iterable[Change]) -> str:
    return ", ".join(map(str, changes))


def platform_of(device: Device, backend: Backend, versions: Mapping[str, str]) -> dict[str, str]:
    """
    What an engine of this backend depends on here.

    Args:
        versions: full versions by library: "tensorrt", "tensorrt_rtx", "onnxruntime"; "cuda", where the runtime
            that the backend uses is known, else the driver's counts.
    """
    if backend is Backend.ONNXRUNTIME:
        # A fully optimised graph is laid out for the instruction sets of the CPU that optimised it.
        parts = {"cpu": device.cpu_model, "cpu_features": " ".join(device.cpu_features) or UNKNOWN}
    else:
        gpu = device.gpu
        parts = {
            "cuda": versions.get("cuda") or (gpu.driver_cuda if gpu else UNKNOWN),
            "compute_capability": gpu.compute_capability if gpu else UNKNOWN,
            "gpu": gpu.name if gpu else UNKNOWN,
            "sm_count": str(gpu.sm_count) if gpu else UNKNOWN,
            "module": device.module,
            "l4t": device.l4t,
        }
    return {"backend": backend.value, backend.value: versions.get(backend.value) or UNKNOWN, **parts}


def _brief(value: str) -> str:
    return value[:KEY_CHARS] if _DIGEST.fullmatch(value) else value


def _set_difference(was: str, now: str) -> str:
    before, after = set(was.split()), set(now.split())
    return " ".join(
        [*(f"+{name}" for name in sorted(after - before)), *(f"−{name}" for name in sorted(before - after))]
    )
