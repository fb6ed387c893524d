"""Video files, paths on standard input, and cameras that are not there."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.infer.frame import Failure, Frame, Kind
from app.infer.sources.base import Selection
from app.infer.sources.choose import open_sources
from app.infer.sources.live import Patience
from tests.infer.desk import Desk
from tests.infer.doubles import encoded, photo
from tests.infer.videos import RATE, brightness, write_video

pytest.importorskip("av")


def _frames(path: Path | str, selection: Selection | None = None, desk: Desk | None = None) -> list[Frame]:
    items = [item for source in open_sources([str(path)], selection) for item in source.read(desk or Desk())]
    assert not [item for item in items if isinstance(item, Failure)]
    return [item for item in items if isinstance(item, Frame)]


def _failure(path: Path) -> tuple[int, Failure]:
    """How many frames came before it."""
    (source,) = open_sources([str(path)])
    *before, last = source.read(Desk())
    assert isinstance(last, Failure)
    return len(before), last


@pytest.mark.parametrize(
    ("name", "codec"),
    [("v.mp4", "libx264"), ("v.mkv", "libx264"), ("v.avi", "mjpeg"), ("v.webm", "libvpx"), ("v.ts", "libx264")],
)
def test_every_frame_comes_in_order_with_its_place_and_its_colours(tmp_path: Path, name: str, codec: str) -> None:
    desk = Desk()
    frames = _frames(write_video(tmp_path / name, 30, codec=codec), desk=desk)

    assert [frame.index for frame in frames] == list(range(30))
    assert [frame.seconds for frame in frames] == pytest.approx([index / RATE for index in range(30)], abs=0.02)
    for frame in frames:
        assert float(frame.image.mean()) == pytest.approx(brightness(frame.index), abs=6), frame.index
    assert {(frame.kind, frame.rate, frame.image.shape) for frame in frames} == {(Kind.VIDEO, 25.0, (48, 64, 3))}
    assert desk.shares == sorted(desk.shares)
    assert desk.shares[-1] == 1


@pytest.mark.parametrize(
    ("selection", "indexes", "rate"),
    [
        pytest.param(Selection(stride=7), [0, 7, 14, 21, 28], 25 / 7, id="stride"),
        pytest.param(Selection(fps=5), [0, 5, 10, 15, 20, 25], 5.0, id="rate"),
        pytest.param(Selection(fps=100), list(range(30)), 25.0, id="a rate above the video's"),
        pytest.param(Selection(duration=0.2), [0, 1, 2, 3, 4], 25.0, id="duration"),
        pytest.param(Selection(fps=6, stride=2, duration=0.6), [0, 4, 8, 14], 6.0, id="all three"),
    ],
)
def test_frames_are_left_out_as_asked(tmp_path: Path, selection: Selection, indexes: list[int], rate: float) -> None:
    frames = _frames(write_video(tmp_path / "v.mp4", 30), selection)

    assert [frame.index for frame in frames] == indexes
    assert frames[0].rate == pytest.approx(rate)


def test_frames_are_written_into_the_arrays_that_the_engine_offers(tmp_path: Path) -> None:
    desk = Desk()
    _frames(write_video(tmp_path / "v.mp4", 3), Selection(stride=2), desk)

    assert desk.taken == [(48, 64, 3)] * 2, "none for a frame that is left out"


def test_a_video_turned_by_its_phone_is_upright(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", 2)
    data = path.read_bytes()
    upright = np.array([1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30], ">i4").tobytes()
    quarter = np.array([0, 1 << 16, 0, -1 << 16, 0, 0, 48 << 16, 0, 1 << 30], ">i4").tobytes()
    header = data.index(b"tkhd")
    at = data.index(upright, header)
    path.write_bytes(data[:at] + quarter + data[at + len(quarter) :])

    assert {frame.image.shape for frame in _frames(path)} == {(64, 48, 3)}


def test_a_video_is_known_by_its_content_too_and_folders_may_mix(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", 2).rename(tmp_path / "no ending")
    write_video(tmp_path / "b.mp4", 2)
    (tmp_path / "a.jpg").write_bytes(encoded(photo(), "JPEG"))
    (tmp_path / "c.mp4").write_bytes(encoded(photo(), "JPEG"))

    assert len(_frames(tmp_path / "no ending")) == 2
    desk = Desk()
    mixed = [(Path(frame.source).name, frame.index, frame.kind) for frame in _frames(tmp_path, desk=desk)]
    (tmp_path / "no ending").unlink()
    assert desk.shares == pytest.approx([1 / 3, 0.5, 2 / 3, 2 / 3, 1])
    assert mixed == [
        ("a.jpg", 0, Kind.PICTURE),
        ("b.mp4", 0, Kind.VIDEO),
        ("b.mp4", 1, Kind.VIDEO),
        ("c.mp4", 0, Kind.PICTURE),
    ]


def test_a_video_that_breaks_off_gives_what_is_whole(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mkv", 50, size=(320, 240))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    assert 5 < len(_frames(path)) < 50, "Matroska may end anywhere"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b"no video at all" * 10, "cannot be opened", id="text"),
        pytest.param(b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "cannot be opened", id="a playlist"),
        pytest.param(b"ffconcat version 1.0\nfile '/etc/passwd'\n", "cannot be opened", id="a list of files"),
    ],
)
def test_what_is_no_video_is_a_failure(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "v.mp4"
    path.write_bytes(content)

    count, failure = _failure(path)

    assert count == 0
    assert says in failure.error.message
    assert failure.error.hint
    assert str(tmp_path) not in failure.error.message


def test_a_sound_is_no_video(tmp_path: Path) -> None:
    import av

    sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
    sound.sample_rate = 8000
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream: Any = container.add_stream("aac", rate=8000, layout="mono")
        container.mux([*stream.encode(sound), *stream.encode(None)])

    count, failure = _failure(tmp_path / "sound.mp4")

    assert (count, failure.error.message) == (0, "it holds no video")


def test_paths_come_one_a_line_and_at_once(tmp_path: Path) -> None:
    (tmp_path / "größe 1.png").write_bytes(encoded(photo(), "PNG"))
    write_video(tmp_path / "v.mp4", 2)
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stdin, os.fdopen(writing, "wb", buffering=0) as stdout:
        (source,) = open_sources(["-"], stdin=stdin)
        items = source.read(Desk())
        stdout.write(os.fsencode(tmp_path / "größe 1.png") + b"\n")
        first = next(items)
        stdout.write(b"\nmissing.jpg\n" + os.fsencode(tmp_path / "v.mp4") + b"\r\n" + os.fsencode(tmp_path))
        stdout.close()
        rest = list(items)

    assert isinstance(first, Frame)
    names = [Path(item.source).name for item in (first, *rest)]
    assert names == ["größe 1.png", "missing.jpg", "v.mp4", "v.mp4", "größe 1.png", "v.mp4", "v.mp4"]
    assert isinstance(rest[0], Failure)


def test_a_line_without_end_is_refused() -> None:
    (source,) = open_sources(["-"], stdin=io.BytesIO(b"x" * 200_000))

    (failure,) = source.read(Desk())

    assert isinstance(failure, Failure)
    assert "a line of more than" in failure.error.message


def test_without_pyav_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "v.mp4", 2)
    monkeypatch.setitem(__import__("sys").modules, "av", None)

    for source in (str(path), "rtsp://127.0.0.1:1/live"):
        (opened,) = open_sources([source])
        (failure,) = opened.read(Desk())
        assert isinstance(failure, Failure)
        assert failure.error.hint == "Install it: pip install 'jetsmith[video]'"


def test_a_camera_that_is_not_there_is_tried_again() -> None:
    (source,) = open_sources(["camera:217"], Selection(duration=1.0), Patience(1, 0.1, 0.1))
    desk = Desk()

    assert list(source.read(desk)) == []
    assert "camera 217 cannot be opened" in desk.losses[0][0]
