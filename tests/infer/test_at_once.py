"""How many frames are computed at the same time."""

import io
import os
from pathlib import Path

import pytest

from app.infer.at_once import frames_at_once, usable_cores
from app.infer.sources.base import Selection
from app.infer.sources.choose import open_sources


@pytest.mark.parametrize(
    ("names", "cores", "expected"),
    [
        pytest.param(["a.mp4"], 4, 4, id="a video"),
        pytest.param(["a.mp4"], 64, 8, id="never more than eight"),
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
    assert frames_at_once(open_sources(names, Selection(), stdin=io.BytesIO()), cores) == expected


def test_cores_are_those_of_this_process() -> None:
    assert usable_cores() == len(os.sched_getaffinity(0))
