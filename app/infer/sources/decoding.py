"""Who decodes a video: a chip where there is one, else the processor, which is right in every case."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from app.device import UNKNOWN, parse_l4t, read_text
from app.errors import SourceError
from app.infer.frame import bgr_of
from app.infer.sources.base import Desk, fresh
from app.infer.sources.ffmpeg import Picture, frames_in, packets_of, pictures_in
from app.infer.sources.hardware import ChipFailed, Head, OtherVideo, decoded, decoder_for
from app.infer.sources.live import STALL_S

_LONGEST_HEAD = 64  # packets; a picture waits for 16 others at most
_HARDWARE = "h264", "hevc"
_Pictures = Generator[Picture, None, None]
_RELEASE = Path("/etc/nv_tegra_release")
_told = threading.Event()


def of_file(container: Any, again: Callable[[], AbstractContextManager[Any]], desk: Desk) -> _Pictures:
    """
    Every picture of a file, in order, whoever decodes it.

    Args:
        again: opens the file anew, for the processor to go on where the chip fails.

    Raises:
        SourceError: the file breaks off, or the chip has left pictures out.
    """
    done, last = 0, None
    try:
        with closing(_pictures(container, STALL_S, desk, live=False)) as pictures:
            for last in pictures:
                yield last
                done += 1
        return
    except ChipFailed as failed:
        error = failed
    with again() as anew:
        rest = pictures_in(packets_of(anew))
        before = deque(islice(rest, done), maxlen=1)
        if last is not None and not (before and _is_same(last, before[0])):
            why = f"{error.message}: some are left out, so those after them have wrong numbers"
            raise SourceError(why, hint=error.hint)
        desk.tell(f"{error.message}. The processor decodes it from frame {done} on.")
        yield from rest


def _is_same(one: Picture, other: Picture) -> bool:
    return np.array_equal(bgr_of(one.pixels(fresh)), bgr_of(other.pixels(fresh)))


@dataclass
class Trust:
    """Whether a chip may decode a live source: not after it has failed with it."""

    chip: bool


def of_stream(container: Any, stall_s: float, desk: Desk, trust: Trust) -> _Pictures:
    """
    Raises:
        SourceError: the source broke off, or the chip cannot go on; then it is to be opened again.
    """
    if not trust.chip:
        yield from pictures_in(packets_of(container), stall_s)
        return
    try:
        yield from _pictures(container, stall_s, desk, live=True)
    except OtherVideo:
        raise
    except ChipFailed as error:
        trust.chip = False
        raise SourceError(f"{error.message}. The processor decodes it from now on", hint=error.hint) from error


def _pictures(container: Any, stall_s: float, desk: Desk, *, live: bool) -> _Pictures:
    stream, packets = container.streams.video[0], packets_of(container)
    decoder = decoder_for(stream.codec_context.name)
    by_processor = pictures_in(packets, stall_s if live else None)
    if decoder is None:
        if stream.codec_context.name in _HARDWARE:
            _tell_what_is_missed(desk)
        yield from by_processor
        return
    head = _head_of(stream, packets)
    if head.fits:
        yield from decoded(decoder, head, stall_s, desk, live=live)
    else:
        yield from chain(map(Picture.of, head.frames), by_processor)


def _head_of(stream: Any, packets: Iterator[Any]) -> Head:
    held = []
    for packet in islice(packets, _LONGEST_HEAD):
        held.append(packet)
        if frames := frames_in(packet):
            start = next((place for place, packet in enumerate(held) if packet.is_keyframe), None)
            return Head(stream, None if start is None else chain(held[start:], packets), frames)
    return Head(stream, None, [])


def _tell_what_is_missed(desk: Desk) -> None:
    """Once: that this is a Jetson, whose decoder is not to be found here."""
    if not _told.is_set() and parse_l4t(read_text(_RELEASE)) != UNKNOWN:
        _told.set()
        desk.tell("The processor decodes: this Jetson's decoder (nvv4l2decoder of GStreamer) is not to be found here.")
