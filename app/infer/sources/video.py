"""Video files: every frame, in order."""

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from app.errors import SourceError
from app.infer.frame import Failure, Frame, Kind
from app.infer.sources.base import Desk, Selection
from app.infer.sources.decoding import of_file
from app.infer.sources.ffmpeg import Picture, opened, packets_of, pictures_in
from app.vision.picture_header import format_of

# fmt: off
VIDEO_SUFFIXES = frozenset({
    ".3gp", ".asf", ".avi", ".flv", ".h264", ".hevc", ".m2ts", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4",
    ".mpeg", ".mpg", ".mts", ".ts", ".webm", ".wmv",
})
# fmt: on

_MAGIC = b"\x1aE\xdf\xa3", b"FLV", b"\0\0\x01\xba", b"\0\0\x01\xb3", b"OggS", b"\x30\x26\xb2\x75"
_PICTURES_IN_A_ROW = ".mjpeg", ".mjpg"
_LOCAL = {
    # Nothing but this file: a playlist that calls itself .mp4 would have FFmpeg read other files and addresses.
    "protocol_whitelist": "file",
    "format_whitelist": "mov,matroska,avi,mpegts,mpeg,flv,ogg,asf,h264,hevc,m4v,mjpeg,mpegvideo,ivf",
}


def looks_like_video(path: Path, head: bytes) -> bool:
    """By content, where that is clear, else by the name."""
    if not head or (_is_picture(head) and path.suffix.lower() not in _PICTURES_IN_A_ROW):
        return False
    is_mp4 = head[4:8] == b"ftyp" and head[8:12] not in (b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis")
    is_avi = head[:4] == b"RIFF" and head[8:12] == b"AVI "
    return is_mp4 or is_avi or head.startswith(_MAGIC) or path.suffix.lower() in VIDEO_SUFFIXES


def _is_picture(head: bytes) -> bool:
    try:
        format_of(head)
    except SourceError:
        return False
    return True


def read_video(path: Path, selection: Selection, desk: Desk) -> Iterator[Frame | Failure]:
    """
    The wanted frames; where the file breaks off, a `Failure` after those that were whole.

    Raises:
        SourceError: it cannot be opened.
    """
    again = partial(opened, f"file:{path}", _LOCAL)
    with again() as container:
        if not selection.hardware:
            yield from frames_of(container, str(path), selection, desk)
            return
        with closing(of_file(container, again, desk)) as pictures:
            yield from frames_of(container, str(path), selection, desk, pictures)


def frames_of(
    container: Any, name: str, selection: Selection, desk: Desk, pictures: Iterator[Picture] | None = None
) -> Iterator[Frame | Failure]:
    """Of a container that has an end; decoded by the processor, where its `pictures` are not given."""
    stream = container.streams.video[0]
    sieve, total = selection.sieve(), _frame_count(container)
    rate = selection.rate(float(stream.average_rate) if stream.average_rate else None)
    index = -1
    try:
        for index, found in enumerate(pictures or pictures_in(packets_of(container))):
            seconds = _seconds(found, stream, index)
            if sieve.over(seconds) or desk.stop.is_set():
                return
            if sieve.wants(index, seconds):
                yield Frame(name, index, found.pixels(desk.take), seconds=seconds, rate=rate, kind=Kind.VIDEO)
            if total:
                desk.progress(min(1.0, (index + 1) / total))
    except SourceError as error:
        whole = f"after {index + 1} frames" if index >= 0 else "before the first frame"
        yield Failure(name, SourceError(f"{error.message}, {whole}", hint=error.hint))
        return
    if index < 0:
        yield Failure(name, SourceError("no frame in it can be decoded", hint="Copy it again, or convert it."))


def _seconds(picture: Picture, stream: Any, index: int) -> float | None:
    """From the beginning of the video; some files start their clock elsewhere."""
    if picture.pts is not None and picture.time_base is not None:
        return float((picture.pts - (stream.start_time or 0)) * picture.time_base)
    return index / float(stream.average_rate) if stream.average_rate else None


def _frame_count(container: Any) -> int | None:
    stream = container.streams.video[0]
    if stream.frames:
        return int(stream.frames)
    if container.duration and stream.average_rate:
        return round(float(container.duration) / 1e6 * float(stream.average_rate))
    return None
