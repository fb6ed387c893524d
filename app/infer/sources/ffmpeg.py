"""FFmpeg, through PyAV: the only place that imports it. Its errors end here."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
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


@dataclass(frozen=True, eq=False)
class Picture:
    """One of a video, decoded."""

    pts: int | None
    time_base: Fraction | None
    pixels: Shot

    @classmethod
    def of(cls, frame: Any) -> "Picture":
        return cls(frame.pts, frame.time_base, lambda take: to_bgr(frame, take))


def packets_of(container: Any) -> Iterator[Any]:
    """
    Of the first video stream; the last one is empty.

    Raises:
        SourceError: the source broke off.
    """
    with _errors_as_ours("broke off"):
        yield from container.demux(container.streams.video[0])


def frames_in(packet: Any) -> list[Any]:
    """None where it is damaged, or a part of a later one."""
    av = import_av()
    with _errors_as_ours("cannot be decoded"):
        try:
            frames: list[Any] = packet.decode()
        except av.error.InvalidDataError:
            return []
    return frames


def pictures_in(packets: Iterable[Any], stall_s: float | None = None) -> Iterator[Picture]:
    """
    Decoded by the processor.

    Raises:
        SourceError: the source broke off, or no picture came for `stall_s`.
    """
    last = time.monotonic()
    for packet in packets:
        frames = frames_in(packet)
        if frames:
            last = time.monotonic()
        elif stall_s is not None and time.monotonic() - last > stall_s:
            raise SourceError(f"no frame for {stall_s:.0f} s", hint="Look what the camera sends.")
        yield from map(Picture.of, frames)


def to_bgr(frame: Any, take: Take, rotation: int | None = None) -> Image:
    """
    A frame of FFmpeg's, of whatever kind, as an upright picture.

    Args:
        rotation: in degrees, where the frame itself does not know it.

    Raises:
        SourceError: it is too large, or of a kind that FFmpeg cannot convert.
    """
    height, width = frame.height, frame.width
    if height * width > MAX_PIXELS:
        raise SourceError(f"too large: {width}×{height}", hint="Scale the video down.")
    rotation = frame.rotation if rotation is None else rotation
    turn = _TURNS.get(rotation % 360)
    into = take((height, width, 3)) if turn is None else np.empty((height, width, 3), np.uint8)
    if is_plain(frame):  # what most cameras and files hold: OpenCV converts it in half the time
        cv2.cvtColor(frame.to_ndarray(), cv2.COLOR_YUV2BGR_I420, dst=into)
    else:
        with _errors_as_ours("cannot be converted"):
            np.copyto(into, frame.to_ndarray(format="bgr24", threads=1))
    if turn is None:
        return into
    turned = take((width, height, 3) if rotation % 180 else (height, width, 3))
    cv2.rotate(into, turn, dst=turned)
    return turned


@dataclass(frozen=True)
class Coded:
    """A packet as decoders of hardware take it: whole, with start codes in place of lengths."""

    data: bytes
    pts: int | None
    unwanted: bool  # its picture lies before the beginning that the file itself names


_START_CODES = b"\0\0\0\1", b"\0\0\1"
_FILTERS = {"h264": "h264_mp4toannexb", "hevc": "hevc_mp4toannexb"}


def annex_b(stream: Any, packets: Iterable[Any]) -> Iterator[Coded]:
    """
    Raises:
        SourceError: a packet is damaged, or the source broke off.
    """
    import_av()
    from av.bitstream import BitStreamFilterContext

    extra = stream.codec_context.extradata or b""
    head = extra if extra.startswith(_START_CODES) else b""  # else the filter puts it where it belongs
    with _errors_as_ours("cannot be unpacked"):
        filter_ = BitStreamFilterContext(_FILTERS[stream.codec_context.name], stream)
        for packet in packets:
            for whole in filter_.filter(packet) if packet.size else ():
                yield Coded(head + bytes(whole), whole.pts, whole.is_discard)
                head = b""


def planes_of(frame: Any) -> list[Image]:
    """Y, U and V of a frame in 4:2:0, as they lie in it."""
    sides = (frame.height, frame.width), ((frame.height + 1) // 2, (frame.width + 1) // 2)
    return [
        np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:height, :width]
        for plane, (height, width) in zip(frame.planes, (sides[0], sides[1], sides[1]), strict=True)
    ]


def like_planes(like: Any, planes: Iterable[Image]) -> Any:
    """A frame of these planes, of the size, kind and colours of another one."""
    frame = import_av().VideoFrame(like.width, like.height, like.format.name)
    frame.colorspace, frame.color_range = like.colorspace, like.color_range
    for into, plane in zip(planes_of(frame), planes, strict=True):
        np.copyto(into, plane)
    return frame


def is_plain(frame: Any) -> bool:
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
