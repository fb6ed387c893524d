"""
The camera at a Jetson's CSI port, through the GStreamer tools of its system: `csi://0`.

NVIDIA's camera software speaks GStreamer only. Size and rate: `csi://0?width=1280&height=720&fps=60`.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from app.errors import SourceError
from app.infer.sources.base import Desk, Shot
from app.infer.sources.gstreamer import Program, Rows, launched
from app.infer.sources.live import Feed

_SIDE = range(2, 8193, 2)
_FORM = "Write csi://0, or with size and rate: 'csi://0?width=1280&height=720&fps=60' (even sides)."
_HINT = (
    "Is the camera plugged in, and nvargus-daemon on? In a container: JETSMITH_CAMERA_SOCKET=/tmp/argus_socket in "
    ".env, and start the container anew after that daemon."
)


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

    @property
    def elements(self) -> list[str]:
        size = f"width={self.width},height={self.height}"
        return [
            *("nvarguscamerasrc", f"sensor-id={self.sensor}"),
            *("!", f"video/x-raw(memory:NVMM),{size},framerate={self.fps}/1"),
            *("!", "nvvidconv"),  # out of the GPU's memory
            *("!", f"video/x-raw,format=NV12,{size}"),
            *("!", "queue", "max-size-buffers=1", "leaky=downstream"),  # whoever reads late misses frames
        ]


@contextmanager
def csi(camera: CsiCamera, stall_s: float, desk: Desk) -> Iterator[Feed]:
    """
    Raises:
        Refused: GStreamer is not there.
        SourceError: it says that the camera does not work.
    """
    with launched(camera.elements) as program:
        yield Feed(_shots(program, Rows(camera.width, camera.height), stall_s, desk), float(camera.fps))


def _shots(program: Program, rows: Rows, stall_s: float, desk: Desk) -> Iterator[Shot]:
    """Each is read where the engine wants it, as nothing between the camera and the engine needs it otherwise."""
    while is_whole := program.fill(data := desk.take(rows.shape), stall_s):
        nv12 = rows.planes(data)
        yield lambda _, nv12=nv12: nv12  # type: ignore[misc]
    if is_whole is None:
        raise SourceError(f"no frame for {stall_s:.0f} s", hint=f"{_HINT} That daemon hangs now and then.")
    raise SourceError(f"GStreamer ended: {program.last_words() or 'without a word'}", hint=_HINT)
