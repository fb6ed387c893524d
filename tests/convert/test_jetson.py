"""From weights to detections on an imaginary Jetson: NVIDIA's libraries are doubles, on a path as real ones are."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.command import SCENES, Jetsmith
from tests.doubles import jetson

PICTURES = sorted((SCENES / "detect").rglob("*.jpg"))[:2]


@dataclass(frozen=True)
class OnJetson(Jetsmith):
    libraries: Path

    @property
    def env(self) -> dict[str, str]:
        own = super().env
        path = f"{jetson.write_site(self.libraries / 'site')}:{own['PYTHONPATH']}"
        cpu = {"JETSMITH_VISION__YOLO__FRAME_PATH": "cpu"}  # the double of the driver runs no kernels
        return {**own, **cpu, "PYTHONPATH": path, "LD_LIBRARY_PATH": str(self.libraries / "driver")}


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> OnJetson:
    if jetson.compiler() is None:
        pytest.skip("no C compiler, to make the double of the CUDA driver with")
    folder = tmp_path_factory.mktemp("jetson")
    jetson.compile_driver(folder / "driver")
    models = folder / "models"
    models.mkdir()
    return OnJetson(models, folder, folder)


def test_it_takes_tensorrt_and_detects_what_onnx_runtime_detects(
    board: OnJetson, ready_exports: Callable[..., Path]
) -> None:
    options = ("--model", "demo-detect", "--imgsz", "160", "160")
    built = board("convert", *options)
    assert "backend: tensorrt (the best there is)" in built.stderr
    manifest = board.manifest()
    platform = manifest["identity"]["platform"]
    assert platform["tensorrt"] == "10.3.0"
    assert (platform["gpu"], platform["compute_capability"], platform["sm_count"]) == ("Orin", "8.7", "8")
    assert platform["cuda"] == "12.6"
    assert manifest["build"]["timing_cache"] == "cold"
    again = board("convert", *options)
    assert "build" not in again.stderr
    quick = replace(board, exports=ready_exports(160, "demo-detect"))  # the graph was exported just now
    quick("convert", *options, "--backend", "onnxruntime")
    on_gpu, on_cpu = _detections(board), _detections(board, "--backend", "onnxruntime")
    assert on_gpu
    assert [found["class_name"] for found in on_gpu] == [found["class_name"] for found in on_cpu]
    for ours, theirs in zip(on_gpu, on_cpu, strict=True):
        assert ours["box"] == pytest.approx(theirs["box"], abs=1.0)
        assert ours["confidence"] == pytest.approx(theirs["confidence"], abs=0.02)


def _detections(board: OnJetson, *options: str) -> list[dict[str, object]]:
    answer = board("infer", "--model", "demo-detect", *options, "--format", "jsonl", *PICTURES)
    return [found for line in answer.stdout.splitlines() for found in json.loads(line)["detections"]]
