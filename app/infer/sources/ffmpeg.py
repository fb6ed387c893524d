"""FFmpeg, through PyAV: the only place that imports it. Its errors end here."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import cv2
import numpy as np

from app.errors import SourceError
from app.infer.sources.base import Shot, Take
from app.infer.sources.errors import Refused, from_os, refused
from app.types import Image
from app.vision.pictures import MAX_PIXELS

_BT601 = 5, 6, 2  # AVColorSpace: BT.470BG, SMPTE 170M, and "unspecified", which FFmpeg takes for the same
_FULL_RANGE = 2  # AVColorRange
_TURNS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}


def import_av() -> ModuleType:
    """
    Raises:
        Refused: PyAV is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise Refused(
            f"videos and streams need the library PyAV: {error}", hint="Install it: pip install 'jetsmith[video]'"
        ) from error
    module: ModuleType = av
    return module


@contextmanager
def opened(address: str, options: Mapping[str, str], timeout_s: float | None = None) -> Iterator[Any]:
    """
    A container, closed at the end.

    Raises:
        SourceError: it cannot be opened, or holds no picture; the message does not repeat the address.
    """
    av = import_av()
    timeout = None if timeout_s is None else (timeout_s, timeout_s)
    with _errors_as_ours("cannot be opened"):
        container = av.open(address, options=dict(options), timeout=timeout, metadata_errors="replace")
    with container:
        if not container.streams.video:
            raise SourceError("it holds no video", hint="Name a video file or a camera's stream.")
        yield container


def video_frames(container: Any, stall_s: float | None = None) -> Iterator[Any]:
    """
    Decode the first video stream; a packet that is damaged is left out.

    Raises:
        SourceError: the source broke off, or no frame came for `stall_s`.
    """
    av = import_av()
    last = time.monotonic()
    with _errors_as_ours("broke off"):
        for packet in container.demux(container.streams.video[0]):
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                frames = []
            if frames:
                last = time.monotonic()
            elif stall_s is not None and time.monotonic() - last > stall_s:
                raise SourceError(f"no frame for {stall_s:.0f} s", hint="Look what the camera sends.")
            yield from frames


def shot_of(frame: Any) -> Shot:
    return lambda take: to_bgr(frame, take)


def to_bgr(frame: Any, take: Take) -> Image:
    """
    A frame of FFmpeg's, of whatever kind, as an upright picture.

    Raises:
        SourceError: it is too large, or of a kind that FFmpeg cannot convert.
    """
    height, width = frame.height, frame.width
    if height * width > MAX_PIXELS:
        raise SourceError(f"too large: {width}×{height}", hint="Scale the video down.")
    turn = _TURNS.get(frame.rotation % 360)
    into = take((height, width, 3)) if turn is None else np.empty((height, width, 3), np.uint8)
    if _is_plain(frame):  # what most cameras and files hold: OpenCV converts it in half the time
        cv2.cvtColor(frame.to_ndarray(), cv2.COLOR_YUV2BGR_I420, dst=into)
    else:
        with _errors_as_ours("cannot be converted"):
            np.copyto(into, frame.to_ndarray(format="bgr24", threads=1))
    if turn is None:
        return into
    turned = take((width, height, 3) if frame.rotation % 180 else (height, width, 3))
    cv2.rotate(into, turn, dst=turned)
    return turned


def _is_plain(frame: Any) -> bool:
    """Whether OpenCV's own formula is the right one: YUV 4:2:0 of 8 bits, BT.601, limited range, even sides."""
    return bool(
        frame.format.name == "yuv420p"
        and frame.colorspace in _BT601
        and frame.color_range != _FULL_RANGE
        and frame.width % 2 == 0
        and frame.height % 2 == 0
    )


@contextmanager
def _errors_as_ours(doing: str) -> Iterator[None]:
    av = import_av()
    try:
        yield
    except av.error.ExitError as error:  # FFmpeg's name for a call that took longer than it was given
        raise SourceError(f"{doing}: nothing came in time", hint="Is the camera or server on?") from error
    except av.error.HTTPClientError as error:  # RTSP has the same answers
        raise refused(error.strerror or type(error).__name__) from error
    except av.error.FFmpegError as error:
        raise from_os(error, doing) from error
    except OSError as error:
        raise from_os(error, doing) from error
