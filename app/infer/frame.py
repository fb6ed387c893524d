"""What a source gives: frames, and failures in their place."""

import threading
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

import numpy as np
import numpy.typing as npt

from app.errors import SourceError
from app.types import Image

_Plane = npt.NDArray[np.uint8]


class Kind(Enum):
    """What a frame is one of."""

    PICTURE = "picture"  # alone, of its own size
    VIDEO = "video"  # of a file: all of them matter, and they wait
    LIVE = "live"  # of a camera: the newest matters, and the next one comes anyway


@dataclass(frozen=True, eq=False)
class Nv12:
    """A picture as cameras and hardware decoders give it: BT.601, limited range."""

    y: _Plane  # (h, w)
    uv: _Plane  # (⌈h/2⌉, ⌈w/2⌉, 2)
    _bgr: list[Image] = field(default_factory=list, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    @property
    def shape(self) -> tuple[int, int]:
        return self.y.shape[0], self.y.shape[1]

    @property
    def nbytes(self) -> int:
        return self.y.nbytes + self.uv.nbytes

    @property
    def bgr(self) -> Image:
        """The same picture as most programs want it: converted once, by whoever asks first."""
        with self._lock:
            if not self._bgr:
                self._bgr.append(_to_bgr(self.y, self.uv))
            return self._bgr[0]


Pixels = Image | Nv12


def bgr_of(pixels: Pixels) -> Image:
    return pixels.bgr if isinstance(pixels, Nv12) else pixels


def _to_bgr(y: _Plane, uv: _Plane) -> Image:
    import cv2

    height, width = y.shape
    if height % 2 or width % 2:  # OpenCV wants even sides: the last row and column twice
        y = np.pad(y, ((0, height % 2), (0, width % 2)), mode="edge")
    even: Image = cv2.cvtColorTwoPlane(y, uv, cv2.COLOR_YUV2BGR_NV12)
    return even if even.shape[:2] == (height, width) else np.ascontiguousarray(even[:height, :width])


@dataclass(frozen=True, eq=False)
class Frame:
    source: str  # as the user named it, or as it was found below what the user named; without a password
    index: int  # of the frame within its source, counted before any is left out; 0 for a picture
    pixels: Pixels  # as the source gives them
    seconds: float | None = None  # its place in a video file
    moment: datetime | None = None  # when a live frame came; UTC
    rate: float | None = None  # frames a second that reach the sinks: the source's own, less what is left out
    kind: Kind = Kind.PICTURE

    @property
    def image(self) -> Image:
        return bgr_of(self.pixels)


@dataclass(frozen=True)
class Failure:
    """What stands for an input that gave nothing, or broke off."""

    source: str
    error: SourceError
