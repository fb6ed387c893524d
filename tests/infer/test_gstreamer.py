"""GStreamer's pipe: how its pictures lie in it, and the CSI camera at its other end."""

import os
import shutil
import signal
import stat
import time
from pathlib import Path

import numpy as np
import pytest

from app.errors import SourceError
from app.infer.frame import Failure, Frame, Nv12
from app.infer.sources.choose import open_sources
from app.infer.sources.csi import CsiCamera, csi
from app.infer.sources.gstreamer import Rows, knows_element, launched
from app.infer.sources.live import Patience
from app.types import Image
from tests.infer.desk import Desk

needs_gstreamer = pytest.mark.skipif(shutil.which("gst-launch-1.0") is None, reason="GStreamer is not installed")


def test_the_command_of_a_csi_camera() -> None:
    camera = CsiCamera.parse("csi://1?width=640&height=360&fps=60")

    assert " ".join(camera.elements) == (
        "nvarguscamerasrc sensor-id=1 ! video/x-raw(memory:NVMM),width=640,height=360,framerate=60/1"
        " ! nvvidconv ! video/x-raw,format=NV12,width=640,height=360 ! queue max-size-buffers=1 leaky=downstream"
    )


@pytest.mark.parametrize(
    "address",
    ["csi://", "csi://x", "csi://0?width=641", "csi://0?fps=0", "csi://0?gain=3", "csi://0/1", "csi://0?fps=x"],
)
def test_a_csi_camera_that_cannot_be_is_refused(address: str) -> None:
    with pytest.raises(SourceError) as error:
        CsiCamera.parse(address)

    assert "csi://0" in error.value.hint


_FAKE_GST = """#!/usr/bin/env python3
import os, re, signal, sys, time
pipe = int(re.search("fdsink fd=([0-9]+)", " ".join(sys.argv))[1])
signal.signal(signal.SIGINT, lambda *_: (open(os.environ["GST_LOG"], "a").write("interrupted\\n"), sys.exit(0)))
open(os.environ["GST_LOG"], "a").write(" ".join(sys.argv[1:]) + "\\n")
for number in range(int(os.environ["GST_FRAMES"])):
    luma = bytes([100 + number]) * (64 * 48)
    os.write(pipe, luma + bytes([128]) * (64 * 24))
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


def test_the_hint_says_how_a_container_reaches_the_camera(gst: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GST_FRAMES", "0")
    with pytest.raises(SourceError) as error, csi(CsiCamera(0, 64, 48), 5, Desk()) as feed:
        next(feed.shots)

    assert "JETSMITH_CAMERA_SOCKET=/tmp/argus_socket" in error.value.hint


def test_frames_of_a_csi_camera_lie_where_the_engine_wants_them(gst: Path) -> None:
    taken: list[Image] = []

    class Offering(Desk):
        def take(self, shape: tuple[int, ...]) -> Image:
            taken.append(super().take(shape))
            return taken[-1]

    desk = Offering()
    with csi(CsiCamera(0, 64, 48), 5, desk) as feed:
        pixels = next(feed.shots)(desk.take)

    assert isinstance(pixels, Nv12)
    assert (pixels.y.shape, pixels.uv.shape) == ((48, 64), (24, 32, 2))
    assert np.shares_memory(pixels.y, taken[0])
    assert np.shares_memory(pixels.uv, taken[0])


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


@pytest.mark.parametrize("size", [(64, 48), (66, 50), (322, 242), (1, 1), (7, 5)])
@needs_gstreamer
def test_pictures_are_found_where_gstreamer_puts_them(size: tuple[int, int]) -> None:
    width, height = size
    caps = f"video/x-raw,format=NV12,width={width},height={height}"
    rows = Rows(width, height)
    pattern = ("videotestsrc", "num-buffers=3", "pattern=solid-color", "foreground-color=0xff804020")
    with launched([*pattern, "!", caps]) as program:
        pictures = []
        while program.fill(data := np.zeros(rows.shape, np.uint8), 10):
            pictures.append(rows.planes(data))

    assert len(pictures) == 3
    for picture in pictures:
        values = [np.unique(plane) for plane in (picture.y, picture.uv[..., 0], picture.uv[..., 1])]
        assert [len(found) for found in values] == [1, 1, 1]
        assert picture.bgr.shape == (height, width, 3)
        assert picture.bgr is picture.bgr
        np.testing.assert_allclose(picture.bgr, np.broadcast_to([0x20, 0x40, 0x80], picture.bgr.shape), atol=4)


@needs_gstreamer
def test_a_pipeline_that_cannot_be_says_why() -> None:
    with launched(["nosuchelement"]) as program:
        assert program.fill(np.zeros((3, 4), np.uint8), 10) is False
        assert 'no element "nosuchelement"' in program.last_words()

    assert not knows_element("nosuchelement")
    assert knows_element("fdsink")


@needs_gstreamer
def test_a_pipeline_that_stands_still_is_told_from_one_that_ended() -> None:
    with launched(["fdsrc", "fd=0", "!", "capsfilter"], fed=True) as program:
        assert program.fill(np.zeros((3, 4), np.uint8), 0.2) is None
    assert program.process.returncode is not None


@needs_gstreamer
def test_a_pipeline_whose_pictures_nobody_takes_is_ended_in_peace() -> None:
    with launched(["videotestsrc", "!", "video/x-raw,format=NV12,width=1920,height=1080"]) as program:
        assert program.fill(np.zeros(Rows(1920, 1080).shape, np.uint8), 10)
        time.sleep(0.5)  # it is amid the next picture by now

    assert program.process.returncode != -signal.SIGKILL
