"""
Videos decoded by a chip: FFmpeg takes the packets out of the file or the network, GStreamer hands them to the chip.

The chip is believed only as far as it can be checked: the processor decodes the first picture too, and both must be
the same byte by byte; it ends where the stream begins to describe itself otherwise, its size for one; and as many
pictures must come as packets went.
"""

import heapq
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from app.errors import SourceError
from app.infer.frame import Nv12
from app.infer.sources.base import Desk, Shot, Take, fresh
from app.infer.sources.ffmpeg import Coded, Picture, annex_b, is_plain, like_planes, planes_of, to_bgr
from app.infer.sources.gstreamer import Program, Rows, has_gstreamer, knows_element, launched
from app.types import Image

_KINDS = {"h264": "video/x-h264", "hevc": "video/x-h265"}
_PARAMETERS: dict[str, tuple[Callable[[int], int], int]] = {
    "h264": (lambda byte: byte & 0x1F, 7),
    "hevc": (lambda byte: byte >> 1 & 0x3F, 33),
}
_OFF = "Set infer.hardware_decoding to false."
_LATER = 1.5  # a camera that stands still is known by its packets, before its pictures are missed


class ChipFailed(SourceError):
    """The chip cannot decode this: the processor must."""


class OtherVideo(ChipFailed):
    """The stream describes itself otherwise from here on, its size perhaps: to the chip it is another one."""


@dataclass(frozen=True)
class Decoder:
    """GStreamer's elements for one family of chips."""

    elements: Mapping[str, str]  # what decodes each codec, by FFmpeg's name of it
    converter: str  # what brings the pictures into the processor's memory

    def pipeline(self, codec: str, size: Rows) -> list[str]:
        # As nvv4l2decoder wants it; h264parse, which would say the same, comes with a package of many megabytes.
        caps = f"{_KINDS[codec]},stream-format=byte-stream,alignment=au,width={size.width},height={size.height}"
        read = "fdsrc fd=0 ! multipartdemux single-stream=true"  # a buffer for each packet
        decode = f"{self.elements[codec]} ! {self.converter} ! video/x-raw,format=NV12"
        return f"{read} ! capssetter caps={caps} ! {decode}".split()

    def is_here(self, codec: str) -> bool:
        names = [text.split()[0] for text in (self.elements.get(codec), self.converter) if text]
        return codec in self.elements and has_gstreamer() and all(map(knows_element, names))


DECODERS = (Decoder({"h264": "nvv4l2decoder", "hevc": "nvv4l2decoder"}, "nvvidconv"),)
"""Those that are known; a Jetson's alone until now."""


@cache
def decoder_for(codec: str) -> Decoder | None:
    """Looked for once in a process."""
    return next((decoder for decoder in DECODERS if decoder.is_here(codec)), None)


@dataclass(frozen=True)
class Head:
    """A video of which the processor has decoded the beginning."""

    stream: Any
    packets: Iterator[Any] | None  # all, from the first that needs none before it, if there was such a one
    frames: list[Any]  # what the processor made of the first packets

    @property
    def fits(self) -> bool:
        """Whether chips decode the like: 4:2:0 of 8 bits, whole pictures."""
        if self.packets is None or not self.frames:
            return False
        first = self.frames[0]
        return first.format.name in ("yuv420p", "yuvj420p") and not (first.interlaced_frame or first.is_corrupt)


def decoded(decoder: Decoder, head: Head, stall_s: float, desk: Desk, *, live: bool) -> Iterator[Picture]:
    """
    Every picture of a video whose head fits, in order; all of it is read when the next is asked for.

    Raises:
        ChipFailed: from the picture on that would have come next, the chip cannot be used.
        SourceError: the source broke off.
    """
    codec, first = head.stream.codec_context.name, head.frames[0]
    size = Rows(first.width, first.height)
    feeder = _Feeder(annex_b(head.stream, head.packets or ()), codec)
    with feeder, launched(decoder.pipeline(codec, size), fed=True) as program:
        feeder.start(program.take_stdin())
        count, is_checked = 0, False
        into = desk.take if _is_for_the_engine(first) else fresh
        for rows in _rows(program, size, stall_s * _LATER, into):
            count += 1
            pts, unwanted = feeder.next_time()
            if unwanted:
                continue
            nv12 = size.planes(rows)
            if not is_checked:
                _check_same(nv12, first)
                is_checked = True
            yield Picture(pts, head.stream.time_base, _shot_of(nv12, first))
        feeder.finish()
        if feeder.is_broken or (count != feeder.sent and not live):
            raise _failed(f"gave {count} pictures of {feeder.sent}", program)


def _rows(program: Program, size: Rows, within_s: float, take: Take) -> Iterator[Image]:
    while begins := program.begins(within_s):
        rows = take(size.shape)
        if not program.fill(rows, within_s):
            raise _failed("ended amid a picture", program)
        yield rows
    if begins is None:
        raise _failed(f"gave nothing for {within_s:.0f} s", program)


def _failed(how: str, program: Program) -> ChipFailed:
    words = program.last_words()
    return ChipFailed(f"the hardware decoder {how}{f' and said: {words}' if words else ''}", hint=_OFF)


def _check_same(nv12: Nv12, first: Any) -> None:
    if not all(np.array_equal(ours, theirs) for ours, theirs in zip(_planes(nv12), planes_of(first), strict=True)):
        raise ChipFailed("the hardware decoder's first picture is not the processor's", hint=_OFF)


def _planes(nv12: Nv12) -> tuple[Image, Image, Image]:
    return nv12.y, nv12.uv[..., 0], nv12.uv[..., 1]


def _is_for_the_engine(first: Any) -> bool:
    """Whether `Nv12` says all of it; every other kind of colours is converted by FFmpeg, as if it had decoded it."""
    return is_plain(first) and not first.rotation


def _shot_of(nv12: Nv12, first: Any) -> Shot:
    if _is_for_the_engine(first):
        return lambda take: nv12
    return lambda take: to_bgr(like_planes(first, _planes(nv12)), take, first.rotation)


class _Feeder:
    """Hands packets to GStreamer beside the thread that takes pictures from it: both pipes are short."""

    def __init__(self, packets: Iterable[Coded], codec: str) -> None:
        self.sent = 0
        self.is_broken = False  # before all was sent
        self._packets, self._codec, self._parameters = packets, codec, set[bytes]()
        self._times: list[tuple[bool, int, int, bool]] = []  # of the pictures to come, the earliest first
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def start(self, pipe: int) -> None:
        self._thread = threading.Thread(target=self._work, args=(pipe,), name="feed a decoder", daemon=True)
        self._thread.start()

    def __enter__(self) -> "_Feeder":
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def finish(self) -> None:
        """
        Raises:
            OtherVideo: the rest is for another decoder.
            SourceError: the source broke off.
        """
        if self._thread is not None:
            self._thread.join()
        if self._error is not None:
            raise self._error

    def next_time(self) -> tuple[int | None, bool]:
        """Of the next picture: pictures come in the order of their times, and packets do not. And if it is unwanted."""
        with self._lock:
            if not self._times:
                return None, False
            unknown, pts, _, unwanted = heapq.heappop(self._times)
        return None if unknown else pts, unwanted

    def _check_kind(self, packet: Coded) -> None:
        found = _parameters(self._codec, packet.data)
        if self._parameters and not found <= self._parameters:
            raise OtherVideo("the video changes its kind, perhaps its size", hint="")
        self._parameters |= found

    def _work(self, pipe: int) -> None:
        try:
            for packet in self._packets:
                self._check_kind(packet)
                with self._lock:
                    heapq.heappush(self._times, (packet.pts is None, packet.pts or 0, self.sent, packet.unwanted))
                self.sent += 1
                head = f"--packet\r\nContent-Type: {_KINDS[self._codec]}\r\nContent-Length: {len(packet.data)}\r\n\r\n"
                _write(pipe, head.encode() + packet.data + b"\r\n")
                if self._over.is_set():
                    break
        except BrokenPipeError:  # it has ended; whoever takes its pictures learns why
            self.is_broken = True
        except BaseException as error:  # noqa: BLE001 (`finish` raises it)
            self._error = error
        finally:
            os.close(pipe)


def _parameters(codec: str, data: bytes) -> set[bytes]:
    """How a packet describes the video: its sequence parameter sets."""
    type_of, wanted = _PARAMETERS[codec]
    units = (unit for unit in data.split(b"\0\0\1")[1:] if unit)
    return {unit.rstrip(b"\0") for unit in units if type_of(unit[0]) == wanted}


def _write(pipe: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(pipe, view) :]
