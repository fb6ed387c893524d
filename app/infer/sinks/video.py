"""
One video file, written so that it plays whatever ends the process: fragmented MP4, all but the last seconds are there.

H.264 where PyAV has an encoder for it, else MPEG-4 Part 2 (mp4v), which every build of FFmpeg has.
"""

from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from app.errors import OutputError
from app.infer.sinks.files import cannot_write
from app.infer.sinks.fragments import FragmentFile
from app.types import Image

SUFFIX = ".mp4"
_ENCODERS = ("libx264", "libopenh264", "h264_nvenc", "mpeg4")  # software first: it works wherever it is there
_OPTIONS = {
    "libx264": {"preset": "veryfast", "crf": "23"},
    "mpeg4": {"flags": "+qscale", "global_quality": "472"},  # 4 × FF_QP2LAMBDA
}
_FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"}
_TICKS = 60_000  # a second: MPEG-4 counts to 65535, and this divides by 24, 25, 30 and 30/1.001
_USUAL_RATE = 25.0
_FASTEST = 240.0


def import_av() -> ModuleType:
    """
    Raises:
        OutputError: PyAV is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise OutputError(
            f"Annotated videos need the library PyAV: {error}",
            hint="Install it: pip install 'jetsmith[draw]'; or leave --save out.",
        ) from error
    module: ModuleType = av
    return module


class VideoFile:
    """
    An MP4 of pictures of one size; odd sides get one more row or column, which H.264 wants.

    Args:
        rate: what a player is told; each frame has its own time all the same.

    Raises:
        OutputError: the file cannot be written, or PyAV is not installed.
    """

    def __init__(self, target: Path, image: Image, rate: float | None) -> None:
        self._av: Any = import_av()
        self._target = target
        self.shape = image.shape[:2]
        self._last = -1
        self._file = FragmentFile(target)
        self._container = self._av.open(self._file, "w", format="mp4", options=_FRAGMENTED)
        try:
            self._stream = self._encoder(min(rate or _USUAL_RATE, _FASTEST))
            self._container.start_encoding()  # so that it is a video from the beginning
        except OSError as error:
            self.abandon()
            raise cannot_write(target, error) from error
        except OutputError:
            self.abandon()
            raise

    @property
    def bytes(self) -> int:
        return self._file.size

    def write(self, image: Image, seconds: float) -> None:
        """`seconds` since the first frame; a frame that comes too early follows the one before it at once."""
        frame = self._av.VideoFrame.from_ndarray(_even(image), format="bgr24")
        self._last = max(self._last + 1, round(seconds * _TICKS))
        frame.pts, frame.time_base = self._last, Fraction(1, _TICKS)
        self._mux(frame)

    def close(self) -> None:
        """
        Raises:
            OutputError: the end cannot be written; what is there plays.
        """
        self._mux(None)
        try:
            self._container.close()
            self._file.close()
        except OSError as error:
            raise cannot_write(self._target, error) from error

    def abandon(self) -> None:
        """Let go of a file whose end could not be written."""
        with suppress(OSError):  # it was told of already
            self._container.close()
        self._file.close()

    def _mux(self, frame: Any) -> None:
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except OSError as error:
            self.abandon()
            raise cannot_write(self._target, error) from error

    def _encoder(self, rate: float) -> Any:
        """The first encoder that opens here: PyAV lists some whose library or hardware is absent."""
        refusals = []
        for name in _ENCODERS:
            try:
                context = self._av.CodecContext.create(name, "w")
                self._set_up(context, name, rate)
                context.open()
            except (self._av.FFmpegError, ValueError) as error:
                refusals.append(f"{name}: {error}")
                continue
            stream = self._container.add_stream(name, rate=context.framerate)
            self._set_up(stream.codec_context, name, rate)
            return stream
        raise OutputError(
            f"No encoder for video works here ({'; '.join(refusals)})",
            hint="Install PyAV from its wheels: pip install --force-reinstall av",
        )

    def _set_up(self, context: Any, name: str, rate: float) -> None:
        height, width = (side + side % 2 for side in self.shape)
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.framerate = Fraction(rate).limit_denominator(1001)
        context.time_base = Fraction(1, _TICKS)
        context.gop_size = max(1, round(rate))  # a fragment a second
        context.max_b_frames = 0  # frames leave in order, so none is held back for long
        context.options = _OPTIONS.get(name, {})


def _even(image: Image) -> Image:
    height, width = image.shape[:2]
    if height % 2 == 0 and width % 2 == 0:
        return np.ascontiguousarray(image)
    return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
