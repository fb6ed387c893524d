"""How many batches are computed at the same time."""

import io
from pathlib import Path

import pytest

from app.infer.at_once import EngineSize, Machine, batches_at_once
from app.infer.sources.base import Selection
from app.infer.sources.choose import open_sources

MB = 1 << 20
YOLOV8N = EngineSize(12 * MB, (640, 640), 1)
LARGE = 16 << 30


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 16 pictures and a video."""
    for number in range(16):
        (tmp_path / f"{number}.png").write_bytes(b"\x89PNG")
    (tmp_path / "a.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    monkeypatch.chdir(tmp_path)


def _chosen(names: list[str], machine: Machine, engine: EngineSize = YOLOV8N, wanted: int | None = None) -> int:
    return batches_at_once(open_sources(names, Selection(), stdin=io.BytesIO()), engine, machine, wanted)


def _pictures(count: int) -> list[str]:
    return [f"{number}.png" for number in range(count)]


@pytest.mark.parametrize(
    ("names", "cores", "expected"),
    [
        pytest.param(["a.mp4"], 4, 4, id="a video"),
        pytest.param(["a.mp4"], 1, 1, id="one core"),
        pytest.param(_pictures(1), 2, 1, id="a picture has all cores"),
        pytest.param(_pictures(15), 4, 1, id="too few to be worth it"),
        pytest.param(_pictures(16), 4, 4, id="many pictures"),
        pytest.param(["."], 4, 4, id="a folder of many"),
        pytest.param(["a.mp4", "rtsp://camera/1"], 4, 1, id="somebody waits for a camera"),
        pytest.param(["camera:0"], 4, 1, id="a camera"),
        pytest.param(["-"], 4, 1, id="who names paths may wait for the answers"),
        pytest.param(["a.mp4", "-"], 4, 1, id="and does so beside a video"),
    ],
)
def test_where_nobody_waits_it_is_one_on_each_core(names: list[str], cores: int, expected: int) -> None:
    assert _chosen(names, Machine(cores, LARGE)) == expected


@pytest.mark.parametrize(
    ("names", "wanted", "expected"),
    [
        pytest.param(["a.mp4"], 7, 7, id="a video"),
        pytest.param(["a.mp4"], 1, 1, id="one at a time"),
        pytest.param(_pictures(5), 7, 5, id="no more than there are"),
        pytest.param(_pictures(1), 7, 1, id="a picture"),
        pytest.param(["missing.png"], 7, 1, id="none at all"),
        pytest.param(["camera:0"], 7, 1, id="never of a camera"),
        pytest.param(["-"], 7, 1, id="nor of standard input"),
    ],
)
def test_a_wish_is_for_files_alone(names: list[str], wanted: int, expected: int) -> None:
    assert _chosen(names, Machine(2, 0), wanted=wanted) == expected


def test_batches_are_counted_not_pictures() -> None:
    batched = EngineSize(12 * MB, (640, 640), 8)
    assert _chosen(_pictures(16), Machine(2, LARGE), batched) == 1
    assert _chosen(_pictures(16), Machine(2, LARGE), batched, wanted=5) == 2


@pytest.mark.parametrize(
    ("free_mb", "expected"),
    [
        pytest.param(0, 1, id="nobody knows"),
        pytest.param(512 + 2 * 47 * 16, 16, id="one on each core"),
        pytest.param(512 + 2 * 47 * 10, 10, id="half of the cores and more"),
        pytest.param(512 + 2 * 47 * 8, 1, id="so few would leave too many cores idle"),
    ],
)
def test_memory_limits_it(free_mb: int, expected: int) -> None:
    assert _chosen(["a.mp4"], Machine(16, free_mb * MB)) == expected


@pytest.mark.parametrize(
    ("file_mb", "seen_mb"),
    [
        pytest.param(12, 40, id="yolov8n"),
        pytest.param(42, 80, id="yolov8s"),
        pytest.param(260, 259, id="yolov8x"),
        pytest.param(217, 325, id="yolo11x"),
    ],
)
def test_a_run_takes_about_what_was_seen(file_mb: int, seen_mb: int) -> None:
    assert seen_mb * 0.9 < EngineSize(file_mb * MB, (640, 640), 1).bytes_of_a_run / MB < seen_mb * 1.5


def test_a_larger_input_and_a_batch_take_more() -> None:
    assert EngineSize(12 * MB, (1280, 1280), 2).bytes_of_a_run == 8 * YOLOV8N.bytes_of_a_run


def test_this_machine_has_both() -> None:
    here = Machine.here()
    assert here.cores >= 1
    assert here.free_bytes > 100 * MB
