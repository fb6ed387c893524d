"""How many frames are computed at the same time."""

import io
import os
from pathlib import Path

import pytest

from app.infer.at_once import bytes_of_a_run, frames_at_once, usable_cores
from app.infer.sources.base import Selection
from app.infer.sources.choose import open_sources

MB = 1 << 20


@pytest.mark.parametrize(
    ("names", "cores", "expected"),
    [
        pytest.param(["a.mp4"], 4, 4, id="a video"),
        pytest.param(["a.mp4"], 16, 10, id="as many as half of the memory holds"),
        pytest.param(["a.mp4"], 20, 1, id="so few would leave too many cores idle"),
        pytest.param(["a.mp4"], 1, 1, id="one core"),
        pytest.param(["0.png"], 2, 1, id="a picture has all cores"),
        pytest.param([f"{number}.png" for number in range(7)], 4, 1, id="too few to be worth it"),
        pytest.param([f"{number}.png" for number in range(8)], 4, 4, id="many pictures"),
        pytest.param(["."], 4, 4, id="a folder of many"),
        pytest.param(["a.mp4", "rtsp://camera/1"], 4, 1, id="somebody waits for a camera"),
        pytest.param(["camera:0"], 4, 1, id="a camera"),
        pytest.param(["-"], 4, 1, id="who names paths may wait for the answers"),
        pytest.param(["a.mp4", "-"], 4, 1, id="and does so beside a video"),
    ],
)
def test_frames_at_once(
    names: list[str], cores: int, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(8):
        (tmp_path / f"{number}.png").write_bytes(b"\x89PNG")
    (tmp_path / "a.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    monkeypatch.chdir(tmp_path)
    assert frames_at_once(open_sources(names, Selection(), stdin=io.BytesIO()), MB, cores, 20 * MB) == expected


def test_cores_are_those_of_this_process() -> None:
    assert usable_cores() == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("file_mb", "input_hw", "batch", "seen_mb"),
    [
        pytest.param(12, (640, 640), 1, 40, id="yolov8n"),
        pytest.param(42, (640, 640), 1, 80, id="yolov8s"),
        pytest.param(260, (640, 640), 1, 259, id="yolov8x"),
        pytest.param(217, (640, 640), 1, 325, id="yolo11x"),
    ],
)
def test_a_run_takes_about_what_was_seen(file_mb: int, input_hw: tuple[int, int], batch: int, seen_mb: int) -> None:
    assert seen_mb * 0.9 < bytes_of_a_run(file_mb * MB, input_hw, batch) / MB < seen_mb * 1.6


def test_a_larger_input_and_a_batch_take_more() -> None:
    assert bytes_of_a_run(12 * MB, (1280, 1280), 2) == 8 * bytes_of_a_run(12 * MB, (640, 640), 1)


def test_without_room_for_two_it_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    monkeypatch.chdir(tmp_path)
    assert frames_at_once(open_sources(["a.mp4"]), MB, 4, 0) == 1
