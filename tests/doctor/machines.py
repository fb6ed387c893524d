"""Machines to judge: a healthy one of each kind, to be harmed by the tests."""

from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from app.device import Gpu, read_device
from app.doctor.facts import Container, Docker, Facts, Library, Store, Weights
from app.power import read_clocks, read_power

BOARDS = Path(__file__).parents[1] / "data" / "boards"
ORIN = Gpu("Orin", "8.7", 16, True, "13.2", 60 * 2**30)
RTX = Gpu("NVIDIA GeForce RTX 4070", "8.9", 46, False, "12.8", 12 * 2**30)
H100 = Gpu("NVIDIA H100 80GB HBM3", "9.0", 132, False, "12.8", 80 * 2**30)
CORE = {"numpy": Library(True, "1.26.4"), "onnxruntime": Library(True, "1.23.2"), "cv2": Library(True, "4.12.0")}
CONVERT = {"torch": Library(True, "2.8.0"), "ultralytics": Library(True, "8.4.190"), "onnx": Library(True, "1.19.0")}
GPU_SIDE = {"tensorrt": Library(True, "10.16.2.10"), "pycuda.driver": Library(True, "2025.1")}
IN_CONTAINER = Container(host_l4t="39.2.0", image_l4t="39.2")
NVIDIA_DOCKER = Docker(installed=True, toolkit=True, runtimes=("nvidia",))


def machine(board: str = "agx-orin-jp72", gpu: Gpu | None = ORIN, **changed: Any) -> Facts:
    """A machine on which all is well, by default an AGX Orin with JetPack 7.2, with some facts changed."""
    root = BOARDS / board
    healthy = Facts(
        device=read_device(root, gpu_probe=lambda: gpu),
        power=read_power(root),
        clocks=read_clocks(root),
        python=(3, 12),
        now=datetime(2026, 6, 1, tzinfo=timezone.utc),
        docker=NVIDIA_DOCKER,
        dla_cores=2,
        gpu_files=gpu is not None,
        libraries={**CORE, **CONVERT, **(GPU_SIDE if gpu else {})},
        memory_bytes=16 * 2**30,
        store=Store(Path("/models/engines"), 50 * 2**30),
        weights=Weights(Path("/models/yolo11n-pose.pt"), is_there=True),
    )
    return replace(healthy, **changed)


def server(**changed: Any) -> Facts:
    return machine("x86-xeon", None, **changed)


def workstation(gpu: Gpu = RTX, **changed: Any) -> Facts:
    return machine("x86-xeon", gpu, **changed)


def with_libraries(facts: Facts, **changed: Library) -> Facts:
    """`pycuda` stands for its module `pycuda.driver`."""
    named = {"pycuda.driver" if name == "pycuda" else name: library for name, library in changed.items()}
    return replace(facts, libraries={**facts.libraries, **named})
