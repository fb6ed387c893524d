"""
The camera at a Jetson's CSI port, through the GStreamer tools of its system: `csi://0`.

NVIDIA's camera software speaks GStreamer only. `gst-launch-1.0` is a process of its own, which writes raw frames
(NV12: one and a half bytes a pixel) to a pipe. Size and rate: `csi://0?width=1280&height=720&fps=60`.
"""

import os
import re
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO
from urllib.parse import parse_qsl, urlsplit

import numpy as np

from app.errors import SourceError
from app.infer.sources.base import Shot, Take
from app.infer.sources.errors import Refused
from app.infer.sources.live import Feed
from app.types import Image

_GST = "gst-launch-1.0"
_SIDE = range(2, 8193, 2)
_FORM = "Write csi://0, or with size and rate: 'csi://0?width=1280&height=720&fps=60' (even sides)."
_LAST_WORDS = 2000


@dataclass(frozen=True)
class CsiCamera:
    sensor: int
    width: int = 1920
    height: int = 1080
    fps: int = 30

    @classmethod
    def parse(cls, address: str) -> "CsiCamera":
        """
        Raises:
            SourceError: no sensor, or a size or rate that cannot be.
        """
        parts = urlsplit(address)
        given = dict(parse_qsl(parts.query, keep_blank_values=True))
        numbers = {key: int(value) for key, value in given.items() if re.fullmatch("[0-9]{1,5}", value, re.ASCII)}
        known = set(given) <= {"width", "height", "fps"} and len(numbers) == len(given)
        if not known or not re.fullmatch("[0-9]{1,2}", parts.netloc, re.ASCII) or parts.path not in ("", "/"):
            raise SourceError("no CSI camera is named so", hint=_FORM)
        found = cls(int(parts.netloc), **numbers)
        if found.width not in _SIDE or found.height not in _SIDE or not 1 <= found.fps <= 240:
            raise SourceError(f"no camera gives {found.width}×{found.height} at {found.fps}", hint=_FORM)
        return found

    def command(self) -> list[str]:
        size = f"width={self.width},height={self.height}"
        return [
            *(_GST, "-q", "nvarguscamerasrc", f"sensor-id={self.sensor}"),
            *("!", f"video/x-raw(memory:NVMM),{size},framerate={self.fps}/1"),
            *("!", "nvvidconv"),  # out of the GPU's memory, in rows without padding
            *("!", f"video/x-raw,format=NV12,{size}"),
            *("!", "queue", "max-size-buffers=1", "leaky=downstream"),  # whoever reads late misses frames
            *("!", "fdsink", "fd=1", "sync=false"),
        ]

    @property
    def frame_bytes(self) -> int:
        return self.width * self.height * 3 // 2


@contextmanager
def csi(camera: CsiCamera, stall_s: float) -> Iterator[Feed]:
    """
    Raises:
        Refused: GStreamer is not there.
        SourceError: it says that the camera does not work.
    """
    if shutil.which(_GST) is None:
        raise Refused(
            f"a CSI camera needs {_GST}, which is not here", hint="Use the Jetson image, or install gstreamer1.0-tools."
        )
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(  # noqa: S603
            camera.command(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, bufsize=0
        )
        try:
            yield Feed(_shots(process, camera, stall_s, said), float(camera.fps))
        finally:
            _end(process)


def _shots(process: "subprocess.Popen[bytes]", camera: CsiCamera, stall_s: float, said: IO[bytes]) -> Iterator[Shot]:
    while (data := _read_exactly(process, camera.frame_bytes, stall_s)) is not None:
        frame = np.frombuffer(data, np.uint8).reshape(camera.height * 3 // 2, camera.width)
        yield lambda take, frame=frame: _to_bgr(frame, take)  # type: ignore[misc]
    process.wait(stall_s)
    said.seek(max(0, said.tell() - _LAST_WORDS))
    words = " ".join(said.read(_LAST_WORDS).decode(errors="replace").split())
    raise SourceError(
        f"{_GST} ended: {words or 'without a word'}", hint="Is the camera plugged in, and nvargus-daemon on?"
    )


def _read_exactly(process: "subprocess.Popen[bytes]", size: int, stall_s: float) -> bytearray | None:
    """None at the end of the pipe."""
    assert process.stdout is not None  # noqa: S101 (for the type checker)
    data, deadline = bytearray(size), time.monotonic() + stall_s
    filled, view = 0, memoryview(data)
    while filled < size:
        ready, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise SourceError(f"no frame for {stall_s:.0f} s", hint="Restart nvargus-daemon: it hangs now and then.")
        count = os.readv(process.stdout.fileno(), [view[filled:]])
        if count == 0:
            return None
        filled += count
    return data


def _to_bgr(nv12: Image, take: Take) -> Image:
    import cv2

    into = take((nv12.shape[0] * 2 // 3, nv12.shape[1], 3))
    cv2.cvtColor(nv12, cv2.COLOR_YUV2BGR_NV12, dst=into)
    return into


def _end(process: "subprocess.Popen[bytes]") -> None:
    """SIGINT, so that the camera is given back: a killed Argus client can block it until a reboot."""
    import signal

    for number in (signal.SIGINT, signal.SIGKILL):
        process.send_signal(number)
        try:
            process.wait(3.0)
        except subprocess.TimeoutExpired:
            continue
        break
    assert process.stdout is not None  # noqa: S101
    process.stdout.close()
