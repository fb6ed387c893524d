"""Video files, paths on standard input, and the CSI camera's pipe."""

import io
import os
import stat
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.errors import SourceError
from app.infer.frame import Failure, Frame, Kind
from app.infer.sources.base import Selection
from app.infer.sources.choose import open_sources
from app.infer.sources.csi import CsiCamera
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


def test_the_command_of_a_csi_camera() -> None:
    camera = CsiCamera.parse("csi://1?width=640&height=360&fps=60")

    assert " ".join(camera.command()) == (
        "gst-launch-1.0 -q nvarguscamerasrc sensor-id=1 ! video/x-raw(memory:NVMM),width=640,height=360,framerate=60/1"
        " ! nvvidconv ! video/x-raw,format=NV12,width=640,height=360 ! queue max-size-buffers=1 leaky=downstream"
        " ! fdsink fd=1 sync=false"
    )
    assert camera.frame_bytes == 640 * 360 * 3 // 2


@pytest.mark.parametrize(
    "address",
    ["csi://", "csi://x", "csi://0?width=641", "csi://0?fps=0", "csi://0?gain=3", "csi://0/1", "csi://0?fps=x"],
)
def test_a_csi_camera_that_cannot_be_is_refused(address: str) -> None:
    with pytest.raises(SourceError) as error:
        CsiCamera.parse(address)

    assert "csi://0" in error.value.hint


_FAKE_GST = """#!/usr/bin/env python3
import os, signal, sys, time
signal.signal(signal.SIGINT, lambda *_: (open(os.environ["GST_LOG"], "a").write("interrupted\\n"), sys.exit(0)))
open(os.environ["GST_LOG"], "a").write(" ".join(sys.argv[1:]) + "\\n")
for number in range(int(os.environ["GST_FRAMES"])):
    luma = bytes([100 + number]) * (64 * 48)
    os.write(1, luma + bytes([128]) * (64 * 24))
    time.sleep(0.02)
if os.environ["GST_END"] == "hang":
    time.sleep(100)
sys.stderr.write("Error generated. Argus: no cameras available\\n")
sys.exit(1)
"""


@pytest.fixture
def gst(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program called gst-launch-1.0, and where it writes what happened to it."""
    program, log = tmp_path / "gst-launch-1.0", tmp_path / "log"
    program.write_text(_FAKE_GST)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    log.touch()
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("GST_LOG", str(log))
    monkeypatch.setenv("GST_FRAMES", "6")
    monkeypatch.setenv("GST_END", "die")
    return log


def test_a_csi_camera_is_read_lost_and_tried_again(gst: Path) -> None:
    patience = Patience(stall_s=5, first_retry_s=0.05, last_retry_s=0.1)
    (source,) = open_sources(["csi://0?width=64&height=48"], patience=patience)
    desk, frames = Desk(), []
    for item in source.read(desk):
        frames.append(item)
        if len(frames) == 15:
            desk.stop.set()

    first = frames[0]
    assert isinstance(first, Frame)
    assert first.image.shape == (48, 64, 3)
    assert float(first.image.mean()) == pytest.approx((100 - 16) * 255 / 219, abs=2), "NV12 in limited range"
    assert desk.told[:2] == ["lost", "back"]
    assert "Argus: no cameras available" in desk.losses[0][0]
    assert "sensor-id=0" in gst.read_text()


def test_a_csi_camera_that_hangs_is_lost_and_interrupted(gst: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GST_END", "hang")
    patience = Patience(stall_s=0.3, first_retry_s=0.05, last_retry_s=0.1)
    (source,) = open_sources(["csi://0?width=64&height=48"], patience=patience)
    desk = Desk()
    for count, _ in enumerate(source.read(desk)):
        if count == 7:
            desk.stop.set()

    assert desk.told[0] == "lost"
    assert "no frame for" in desk.losses[0][0]
    deadline = time.monotonic() + 5
    while gst.read_text().count("interrupted") < 2:
        assert time.monotonic() < deadline


def test_without_gstreamer_a_csi_camera_ends_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (source,) = open_sources(["csi://0"])

    (failure,) = source.read(Desk())

    assert isinstance(failure, Failure)
    assert "gst-launch-1.0" in failure.error.message


def test_a_camera_that_is_not_there_is_tried_again() -> None:
    (source,) = open_sources(["camera:217"], Selection(duration=1.0), Patience(1, 0.1, 0.1))
    desk = Desk()

    assert list(source.read(desk)) == []
    assert "camera 217 cannot be opened" in desk.losses[0][0]
