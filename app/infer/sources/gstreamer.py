"""
GStreamer as a program beside this one: what NVIDIA's camera and decoder speak on a Jetson.

Its pictures come as NV12 (one and a half bytes a pixel) through a pipe; what it says goes into a file.
"""

import fcntl
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO

from app.infer.frame import Nv12
from app.infer.sources.errors import Refused
from app.types import Image

_LAUNCH, _INSPECT = "gst-launch-1.0", "gst-inspect-1.0"
_PIPE_BYTES = 1 << 20  # the most that the kernel lets a user have; a frame of a camera has several times as much
_LAST_WORDS, _LAST_WORDS_S = 2000, 1.0
_END_S, _LOOK_S = 3.0, 0.01


@dataclass(frozen=True)
class Rows:
    """How GStreamer lays a picture of NV12 out: rows of whole words, luma above chroma."""

    width: int
    height: int

    @property
    def shape(self) -> tuple[int, int]:
        even = self.height + self.height % 2
        return even + even // 2, (self.width + 3) // 4 * 4

    def planes(self, rows: Image) -> Nv12:
        """The picture in an array of this shape, nothing of it copied."""
        luma = self.height + self.height % 2
        pairs = rows.reshape(rows.shape[0], -1, 2)
        return Nv12(rows[: self.height, : self.width], pairs[luma:, : (self.width + 1) // 2])


def has_gstreamer() -> bool:
    return shutil.which(_LAUNCH) is not None and shutil.which(_INSPECT) is not None


def knows_element(name: str) -> bool:
    """Whether a plugin for it is installed and loads; that the hardware behind it works is another matter."""
    command = [_INSPECT, "--exists", name]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0  # noqa: S603


@contextmanager
def launched(elements: Sequence[str], *, fed: bool = False) -> Iterator["Program"]:
    """
    Run a pipeline whose last element gives NV12.

    Args:
        fed: it reads from its standard input.

    Raises:
        Refused: GStreamer is not there.
    """
    if shutil.which(_LAUNCH) is None:
        raise Refused(f"{_LAUNCH} is not here", hint="Use the Jetson image, or install gstreamer1.0-tools.")
    reading, writing = os.pipe()
    sink = ("!", "fdsink", f"fd={writing}", "sync=false", "async=false")
    command = [_LAUNCH, "-q", *elements, *sink]
    with tempfile.TemporaryFile() as said, os.fdopen(reading, "rb", buffering=0) as frames:
        try:
            process = subprocess.Popen(  # noqa: S603
                command,
                bufsize=0,
                stdin=subprocess.PIPE if fed else subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                pass_fds=(writing,),
                start_new_session=True,  # Ctrl-C is for us: what it has decoded until then is still wanted
            )
        finally:
            os.close(writing)
        with suppress(OSError):  # more than this user may have: it works with less, only slower
            fcntl.fcntl(frames, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        try:
            yield Program(process, frames, said)
        finally:
            _end(process, frames)


class Program:
    def __init__(self, process: "subprocess.Popen[bytes]", frames: IO[bytes], said: IO[bytes]) -> None:
        self.process = process
        self._frames, self._said = frames, said
        self._poll = select.poll()
        self._poll.register(frames, select.POLLIN)

    def take_stdin(self) -> int:
        """The pipe that feeds it, whose end is the end of what it reads; the caller closes it."""
        assert self.process.stdin is not None  # noqa: S101 (for the type checker)
        with self.process.stdin as pipe:
            return os.dup(pipe.fileno())

    def begins(self, within_s: float) -> bool | None:
        """Whether a picture begins; False at the end of the pipe, None where nothing comes within this time."""
        events = self._poll.poll(within_s * 1e3)
        return bool(events[0][1] & select.POLLIN) if events else None

    def fill(self, rows: Image, within_s: float) -> bool | None:
        """Read a picture; False where the pipe ends before it is whole, None where that takes longer than this."""
        view, filled, deadline = rows.reshape(-1).data, 0, time.monotonic() + within_s
        while filled < len(view):
            begins = self.begins(max(0.0, deadline - time.monotonic()))
            if not begins:
                return begins
            count = os.readv(self._frames.fileno(), [view[filled:]])
            if count == 0:
                return False
            filled += count
        return True

    def last_words(self) -> str:
        """Why it ended, as far as it says so."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_LAST_WORDS_S)
        size = os.fstat(self._said.fileno()).st_size
        text = os.pread(self._said.fileno(), _LAST_WORDS, max(0, size - _LAST_WORDS)).decode(errors="replace")
        errors = [line for line in text.splitlines() if re.match("ERROR|WARNING|sh:", line)]
        return " ".join(" ".join(errors or [text]).split())


def _end(process: "subprocess.Popen[bytes]", frames: IO[bytes]) -> None:
    """SIGINT, so that a camera is given back: a killed Argus client can block it until a reboot."""
    if process.stdin is not None:
        with suppress(BrokenPipeError):
            process.stdin.close()
    for number in (signal.SIGINT, signal.SIGKILL):
        process.send_signal(number)
        if _has_ended(process, frames):
            break


def _has_ended(process: "subprocess.Popen[bytes]", frames: IO[bytes]) -> bool:
    """Within some seconds. A picture that it is about to write is taken from it: until then it heeds nothing."""
    deadline = time.monotonic() + _END_S
    while process.poll() is None and time.monotonic() < deadline:
        ready, _, _ = select.select([frames], [], [], _LOOK_S)
        if not ready or not os.read(frames.fileno(), _PIPE_BYTES):
            time.sleep(_LOOK_S)
    return process.poll() is not None
