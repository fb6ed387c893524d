"""The image that infers, for the processor of a Jetson: built and run under emulation, which takes many minutes."""

import json
import os
import platform
from pathlib import Path

import pytest

from app.types import Backend
from tests.docker import ground
from tests.docker.conftest import Make
from tests.docker.daemon import Compose, Projects, has_image

pytestmark = [pytest.mark.docker, pytest.mark.arm64, pytest.mark.slow, pytest.mark.timeout(3600)]

BASE = f"{ground.BASE}-arm64"
PICTURE = "models/demo/scenes/pose/scene-1.jpg"
ARM64 = {"DOCKER_DEFAULT_PLATFORM": "linux/arm64"}
NO_EXTRAS = {"JETSMITH_INFER_EXTRAS": ""}  # neither drawing nor tracking, which take long to install under emulation
# The instruction sets of an Orin's Cortex-A78AE. What QEMU emulates by default has SVE and SME besides: ONNX Runtime
# then takes its kernels for those, which no Jetson up to Orin runs and which take ten times as long to emulate.
CORES = ("-e", "QEMU_CPU=cortex-a76")


@pytest.fixture(scope="module")
def tag(daemon: Projects, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of an `infer` image for arm64."""
    if platform.machine() != "aarch64" and not Path("/proc/sys/fs/binfmt_misc/qemu-aarch64").exists():
        pytest.skip("the kernel runs no arm64 programs: .ci/arm64 registers an emulator")
    base = os.environ.get("JETSMITH_ARM64_BASE", BASE)
    if not has_image(base):
        ground.make_base(base, "arm64")
    made = f"test-{ground.revision(base)}-arm64"
    if not has_image(f"jetsmith-infer:{made}"):
        checkout = ground.copy_checkout(tmp_path_factory.mktemp("arm64"))
        ground.build(checkout, "infer", {**ground.build_settings(base), **NO_EXTRAS}, made, **ARM64)
    return made


def test_an_arm64_image_detects_and_reports(tag: str, make_compose: Make, compose: Compose) -> None:
    asked = ("--imgsz", "160", "160", "--precision", "FP32", "--keep-onnx")
    here = compose("run", "--rm", "-T", "converter", *asked, timeout_s=600)
    graphs = [path for path in compose.models.rglob("*.onnx") if not path.name.endswith(Backend.ONNXRUNTIME.suffix)]
    assert len(graphs) == 1, here.stderr
    (manifest,) = (compose.models / "engines").glob("[!.]*/*.json")
    on_amd64 = _detections(compose)

    arm64 = make_compose(compose.checkout, JETSMITH_TAG=tag, **ARM64)
    tool = "/media/tests/docker/publish_engine.py"
    inside = [
        f"/opt/jetsmith/{path.relative_to(compose.checkout)}"
        for path in (compose.models / "demo-pose.pt", manifest, graphs[0])
    ]
    published = _run(arm64, "--entrypoint", "python", "infer", tool, *inside)
    assert "cpu-arm" in published
    on_arm64 = _detections(arm64)
    assert on_amd64
    assert [found["class_name"] for found in on_arm64] == [found["class_name"] for found in on_amd64]
    for ours, theirs in zip(on_arm64, on_amd64, strict=True):
        assert ours["box"] == pytest.approx(theirs["box"], abs=1.0)
        assert ours["confidence"] == pytest.approx(theirs["confidence"], abs=0.01)

    report = json.loads(_run(arm64, "--entrypoint", "jetsmith", "infer", "doctor", "--json"))
    assert report["device"]["kind"] == "cpu"
    assert report["device"]["slug"].startswith("cpu-arm")
    assert report["well"]


def _run(compose: Compose, *arguments: str) -> str:
    return compose("run", "--rm", "-T", "--no-deps", *CORES, *arguments, timeout_s=1500).stdout


def _detections(compose: Compose) -> list[dict[str, object]]:
    said = _run(compose, "infer", "--format", "jsonl", PICTURE)
    return [found for line in said.splitlines() for found in json.loads(line)["detections"]]
