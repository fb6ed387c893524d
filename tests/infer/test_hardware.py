"""
Videos decoded by GStreamer, with FFmpeg's decoders of GStreamer in a chip's place: the same way, every byte of it.

NVIDIA's own element is on a Jetson only.
"""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from app.infer.frame import Failure, Frame, Nv12
from app.infer.sources import decoding, hardware
from app.infer.sources.base import Selection
from app.infer.sources.choose import open_sources
from app.infer.sources.ffmpeg import annex_b
from app.infer.sources.gstreamer import Rows
from app.infer.sources.hardware import DECODERS, Decoder
from app.infer.sources.live import Patience
from app.types import Image
from tests.doubles.cameras import RtspCamera
from tests.infer.desk import Desk
from tests.infer.test_streams import Watched, wait_until

pytest.importorskip("av")
_PATIENCE = Patience(stall_s=10, first_retry_s=0.05, last_retry_s=0.2)  # a program has to start
_STAND_IN = Decoder({"h264": "avdec_h264", "hevc": "avdec_h265"}, "videoconvert")


def _has_stand_in() -> bool:
    if shutil.which("gst-inspect-1.0") is None:
        return False
    command = ["gst-inspect-1.0", "--exists", "avdec_h264"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


needs_stand_in = pytest.mark.skipif(not _has_stand_in(), reason="gst-launch-1.0 or its plugin libav is not installed")
Use = Callable[[Decoder], None]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Iterator[Use]:
    """Makes a decoder the only one that is known."""

    def take(decoder: Decoder) -> None:
        hardware.decoder_for.cache_clear()
        monkeypatch.setattr(hardware, "DECODERS", (decoder,))

    yield take
    hardware.decoder_for.cache_clear()
    assert not [thread.name for thread in threading.enumerate() if thread.name == "feed a decoder"]


@pytest.fixture
def chip(use: Use) -> None:
    use(_STAND_IN)


def _video(path: Path, count: int = 40, size: tuple[int, int] = (64, 48), codec: str = "libx264", **more: Any) -> Path:
    """Pictures that move, all of them different."""
    import av

    colours, options = more.pop("colours", {}), {"x265-params": "log-level=none", **more.pop("options", {})}
    width, height = size
    ground = cv2.resize(np.random.default_rng(0).integers(0, 255, (9, 9, 3), np.uint8), (width + count, height + count))
    with av.open(str(path), "w", **more) as container:
        stream: Any = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = Fraction(1, 25)
        for name, value in colours.items():
            setattr(stream.codec_context, name, value)
        for number in range(count):
            picture = np.ascontiguousarray(ground[number:, count - number :][:height, :width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())
    return path


def _read(path: Path, *, chip: bool, desk: Desk | None = None, **selection: Any) -> list[Frame | Failure]:
    (source,) = open_sources([str(path)], Selection(hardware=chip, **selection))
    return list(source.read(desk or Desk()))


def _frames(path: Path, *, chip: bool, desk: Desk | None = None, **selection: Any) -> list[Frame]:
    items = _read(path, chip=chip, desk=desk, **selection)
    assert not [item for item in items if isinstance(item, Failure)]
    return [item for item in items if isinstance(item, Frame)]


def _assert_same(ours: list[Frame], theirs: list[Frame]) -> None:
    assert len(ours) == len(theirs) > 0
    for one, other in zip(ours, theirs, strict=True):
        assert (one.index, one.seconds, one.rate, one.kind) == (other.index, other.seconds, other.rate, other.kind)
        assert np.array_equal(one.image, other.image), one.index


@needs_stand_in
@pytest.mark.parametrize(
    ("name", "codec", "size"),
    [
        pytest.param("v.mp4", "libx264", (64, 48), id="h264"),
        pytest.param("v.mp4", "libx265", (64, 64), id="h265"),
        pytest.param("v.mkv", "libx264", (322, 242), id="rows with padding"),
        pytest.param("v.ts", "libx264", (64, 48), id="start codes"),
        pytest.param("v.h264", "libx264", (64, 48), id="no times"),
        pytest.param("v.mp4", "libx264", (1280, 720), id="larger than the pipe"),
    ],
)
def test_every_frame_is_the_processors_byte_by_byte(
    chip: None, tmp_path: Path, name: str, codec: str, size: tuple[int, int]
) -> None:
    path, desk = _video(tmp_path / name, size=size, codec=codec), Desk()
    ours = _frames(path, chip=True, desk=desk)

    assert [type(frame.pixels) for frame in ours] == [Nv12] * 40
    assert desk.said == []
    _assert_same(ours, _frames(path, chip=False))


@needs_stand_in
def test_other_colours_are_converted_as_the_processor_does_it(chip: None, tmp_path: Path) -> None:
    path = _video(tmp_path / "v.mp4", colours={"colorspace": 1, "color_range": 2, "color_primaries": 1})
    desk = Desk()
    ours, theirs = _frames(path, chip=True, desk=desk), _frames(path, chip=False)

    assert desk.said == []
    assert desk.taken == [(48, 64, 3)] * 40
    assert isinstance(ours[0].pixels, np.ndarray)
    _assert_same(ours, theirs)


@needs_stand_in
def test_a_turned_video_is_upright(chip: None, tmp_path: Path) -> None:
    path = _video(tmp_path / "v.mp4", 5)
    data = path.read_bytes()
    upright = np.array([1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30], ">i4").tobytes()
    quarter = np.array([0, 1 << 16, 0, -1 << 16, 0, 0, 48 << 16, 0, 1 << 30], ">i4").tobytes()
    place = data.index(upright, data.index(b"tkhd"))
    path.write_bytes(data[:place] + quarter + data[place + len(upright) :])
    desk = Desk()
    ours = _frames(path, chip=True, desk=desk)

    assert desk.said == []
    assert ours[0].image.shape == (64, 48, 3)
    _assert_same(ours, _frames(path, chip=False))


@needs_stand_in
def test_frames_are_left_out_as_asked_and_an_early_end_leaves_nothing_behind(chip: None, tmp_path: Path) -> None:
    path = _video(tmp_path / "v.mp4")
    for selection in ({"stride": 7}, {"fps": 5}, {"duration": 0.4}):
        ours = _frames(path, chip=True, **selection)
        assert isinstance(ours[0].pixels, Nv12)
        _assert_same(ours, _frames(path, chip=False, **selection))


@needs_stand_in
def test_pictures_before_the_beginning_are_left_out(chip: None, tmp_path: Path) -> None:
    import av

    path, cut = _video(tmp_path / "v.mp4", options={"bf": "0", "g": "40"}), tmp_path / "cut.mp4"
    with av.open(str(path)) as old, av.open(str(cut), "w", options={"avoid_negative_ts": "disabled"}) as new:
        stream: Any = old.streams.video[0]
        into = new.add_stream_from_template(stream)
        early = round(5 / 25 / stream.time_base)
        for packet in old.demux(stream):
            if packet.dts is not None:
                packet.pts, packet.dts, packet.stream = (packet.pts or 0) - early, packet.dts - early, into
                new.mux(packet)
    with av.open(str(cut)) as made:
        assert sum(packet.is_discard for packet in made.demux(video=0)) == 5
    desk = Desk()
    ours = _frames(cut, chip=True, desk=desk)

    assert desk.said == []
    assert (len(ours), type(ours[0].pixels)) == (35, Nv12)
    _assert_same(ours, _frames(cut, chip=False))


# --- where the chip cannot ---


@needs_stand_in
@pytest.mark.parametrize(
    ("decoder", "says", "done"),
    [
        pytest.param("avdec_h265", "and said: ERROR", 0, id="it refuses"),
        pytest.param("avdec_h264 ! identity error-after=13", "and said: ERROR", None, id="it breaks amid"),
        pytest.param("avdec_h264 ! videobalance brightness=0.1", "first picture", 0, id="it gives another picture"),
        pytest.param("avdec_h264 ! videocrop left=8", "first picture", 0, id="it gives another size"),
    ],
)
def test_where_the_chip_fails_the_processor_goes_on_and_it_is_told(
    use: Use, tmp_path: Path, decoder: str, says: str, done: int | None
) -> None:
    use(Decoder({"h264": decoder}, "videoconvert"))
    path, desk = _video(tmp_path / "v.mp4", 400), Desk()
    ours = _frames(path, chip=True, desk=desk)

    (said,) = desk.said
    assert says in said
    assert f"from frame {'' if done is None else done}" in said
    assert len({type(frame.pixels) for frame in ours}) == (1 if done == 0 else 2)
    _assert_same(ours, _frames(path, chip=False))


@needs_stand_in
def test_a_video_that_changes_its_size_is_read_to_its_end(chip: None, tmp_path: Path) -> None:
    path = tmp_path / "both.h264"
    parts = [_video(tmp_path / "1.h264", 30), _video(tmp_path / "2.h264", 30, (96, 64))]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    desk = Desk()
    ours = _frames(path, chip=True, desk=desk)

    assert [frame.image.shape[:2] for frame in ours] == [(48, 64)] * 30 + [(64, 96)] * 30
    assert [isinstance(frame.pixels, Nv12) for frame in ours] == [True] * 30 + [False] * 30
    assert desk.said == ["the video changes its kind, perhaps its size. The processor decodes it from frame 30 on."]
    _assert_same(ours, _frames(path, chip=False))


_LOSING_GST = """#!{python}
import os, subprocess, sys
pipe = int(sys.argv[-3].removeprefix("fd="))
reading, writing = os.pipe()
real = subprocess.Popen(["{real}", *sys.argv[1:-3], f"fd={{writing}}", *sys.argv[-2:]], pass_fds=(writing,))
os.close(writing)
number = 0
with os.fdopen(reading, "rb") as pictures:
    while picture := pictures.read(64 * 48 * 3 // 2):
        if number != {lost}:
            os.write(pipe, picture)
        number += 1
sys.exit(real.wait())
"""


def _lose(number: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the picture of this number never arrives."""
    folder.mkdir()
    for name in ("gst-launch-1.0", "gst-inspect-1.0"):
        (folder / name).symlink_to(shutil.which(name) or "")
    program, real = folder / "gst-launch-1.0", shutil.which("gst-launch-1.0")
    program.unlink()
    program.write_text(_LOSING_GST.format(python=sys.executable, real=real, lost=number))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


@needs_stand_in
def test_lost_pictures_are_no_secret(chip: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _lose(20, tmp_path / "bin", monkeypatch)
    *frames, last = _read(_video(tmp_path / "v.mp4"), chip=True)

    assert len(frames) == 39
    assert isinstance(last, Failure)
    assert "gave 39 pictures of 40: some are left out" in last.error.message
    assert "infer.hardware_decoding" in last.error.hint


@needs_stand_in
def test_a_last_picture_that_is_lost_is_the_processors(
    chip: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, desk = _video(tmp_path / "v.mp4"), Desk()
    _lose(39, tmp_path / "bin", monkeypatch)
    ours = _frames(path, chip=True, desk=desk)

    assert desk.said == ["the hardware decoder gave 39 pictures of 40. The processor decodes it from frame 39 on."]
    _assert_same(ours, _frames(path, chip=False))


@needs_stand_in
def test_a_file_that_breaks_off_gives_what_it_has(chip: None, tmp_path: Path) -> None:
    path = _video(tmp_path / "v.mkv", 60, (320, 240))
    path.write_bytes(path.read_bytes()[: -path.stat().st_size // 3])
    ours, theirs = _read(path, chip=True), _read(path, chip=False)

    _assert_same(*[[item for item in items if isinstance(item, Frame)] for items in (ours, theirs)])
    assert [str(item.error) for item in ours if isinstance(item, Failure)] == [
        str(item.error) for item in theirs if isinstance(item, Failure)
    ]


def test_other_kinds_of_video_are_the_processors(chip: None, tmp_path: Path) -> None:
    desk = Desk()
    frames = _frames(_video(tmp_path / "v.webm", 5, codec="libvpx"), chip=True, desk=desk)

    assert {type(frame.pixels) for frame in frames} == {np.ndarray}
    assert desk.said == []


def test_without_its_element_the_processor_decodes_and_on_a_jetson_it_is_told_once(
    use: Use, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(DECODERS[0])
    path, desk = _video(tmp_path / "v.mp4", 3), Desk()
    assert len(_frames(path, chip=True, desk=desk)) == 3
    assert desk.said == []

    (tmp_path / "release").write_text("# R36 (release), REVISION: 4.3, GCID: 1, BOARD: generic\n")
    monkeypatch.setattr(decoding, "_RELEASE", tmp_path / "release")
    monkeypatch.setattr(decoding, "_told", threading.Event())
    for _ in range(2):
        assert len(_frames(path, chip=True, desk=desk)) == 3
    (said,) = desk.said
    assert "nvv4l2decoder" in said


def test_parameters_that_only_the_network_named_come_before_the_first_picture(tmp_path: Path) -> None:
    import av

    with av.open(str(_video(tmp_path / "v.h264", 3))) as container:
        stream: Any = container.streams.video[0]
        known = stream.codec_context.extradata
        whole = [packet for packet in container.demux(stream) if packet.size]
        picture = b"\0\0\1" + bytes(whole[0]).split(b"\0\0\1")[-1]
        others = [bytes(packet) for packet in whole[1:]]
        coded = list(annex_b(stream, [av.Packet(picture), *whole[1:]]))

    assert known.startswith(b"\0\0\1")
    assert [packet.data for packet in coded] == [known + picture, *others]


def test_the_pipeline_of_a_jetson() -> None:
    assert " ".join(DECODERS[0].pipeline("hevc", Rows(1920, 1080))) == (
        "fdsrc fd=0 ! multipartdemux single-stream=true"
        " ! capssetter caps=video/x-h265,stream-format=byte-stream,alignment=au,width=1920,height=1080"
        " ! nvv4l2decoder ! nvvidconv ! video/x-raw,format=NV12"
    )


# --- cameras ---


@needs_stand_in
def test_a_cameras_stream_goes_through_the_chip_and_comes_back_after_a_loss(chip: None) -> None:
    with RtspCamera() as camera, Watched(camera.url, patience=_PATIENCE) as watched:
        watched.wait_for_frames()
        assert {type(frame.pixels) for frame in watched.frames} == {Nv12}
        camera.size = 320, 200
        wait_until(lambda: watched.frames[-1].image.shape == (200, 320, 3))
        watched.wait_for_frames()

    assert {type(frame.pixels) for frame in watched.frames} == {Nv12}
    assert "the video changes its kind" in watched.desk.losses[0][0]
    assert [frame.index for frame in watched.frames] == list(range(len(watched.frames)))
    _assert_bar(watched.frames[0].image)


def _assert_bar(image: Image) -> None:
    """What the camera shows: a bar over grey."""
    assert abs(float(np.median(image)) - 90) < 4
    assert np.abs(image.reshape(-1, 3).astype(int) - (40, 200, 90)).sum(axis=1).min() < 60


@needs_stand_in
def test_a_chip_that_fails_with_a_camera_is_not_asked_again(use: Use) -> None:
    use(Decoder({"h264": "avdec_h264 ! videobalance brightness=0.1"}, "videoconvert"))
    with RtspCamera() as camera, Watched(camera.url, patience=_PATIENCE) as watched:
        watched.wait_for_frames()

    assert {type(frame.pixels) for frame in watched.frames} == {np.ndarray}
    assert "The processor decodes it from now on" in watched.desk.losses[0][0]
