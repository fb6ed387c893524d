"""A models folder with two engines of one model, of different input sizes."""

import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from app.infer.sinks.video import VideoFile
from tests.command import Jetsmith
from tests.infer.service.camera import Camera
from tests.infer.service.ground import MODEL, NAME, Wall


@pytest.fixture(scope="session")
def two_engines(ready_exports: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The alias leads to the last one."""
    folder = tmp_path_factory.mktemp("engines")
    for side in (64, 96):
        jetsmith = Jetsmith(folder / "models", folder, exports=ready_exports(side, MODEL))
        jetsmith("convert", "--model", MODEL, "--imgsz", side, side, "--skip-verify")
    return jetsmith.models


@pytest.fixture(scope="session")
def video_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """A video of so many frames."""
    folder = tmp_path_factory.mktemp("videos")

    @cache
    def make(frames: int) -> Path:
        target = folder / f"way-{frames}.mp4"
        image = np.full((64, 96, 3), 90, np.uint8)
        video = VideoFile(target, image, 25)
        for index in range(frames):
            image[:, : index % 96] = index % 256
            video.write(image, index / 25)
        video.close()
        return target

    return make


@pytest.fixture
def camera() -> Iterator[Camera]:
    with Camera() as camera:
        yield camera


@pytest.fixture
def wall(two_engines: Path, tmp_path: Path) -> Iterator[Wall]:
    """Not started yet."""
    shutil.copytree(two_engines, tmp_path / "models", symlinks=True)
    wall = Wall(Jetsmith(tmp_path / "models", tmp_path), tmp_path, _settings(tmp_path))
    yield wall
    if wall.process is not None and wall.process.poll() is None:
        wall.process.kill()
        wall.process.wait()


def _settings(folder: Path) -> dict[str, object]:
    return {
        "vision": {"yolo": {"model_source": {"base_model": MODEL}, "input_size": [96, 96]}},
        "infer": {"name": NAME, "sinks": {"jsonl": str(folder / "out" / "results.jsonl")}},
    }
