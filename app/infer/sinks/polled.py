"""Standard output, whose reader may stand still for ever."""

import os
import select
from typing import TextIO

_CHUNK = select.PIPE_BUF  # a pipe that is ready takes as much without waiting
_LOOK_MS = 200


class PolledStream:
    """
    Text for the descriptor of a stream, written only where it can be taken, so that a waiting write can be left.

    Raises:
        BrokenPipeError: nobody reads any longer, or the write was left.
    """

    def __init__(self, stream: TextIO) -> None:
        stream.flush()
        self._stream = stream
        self.encoding = stream.encoding or "utf-8"
        self._poll = select.poll()
        self._poll.register(stream.fileno(), select.POLLOUT)
        self._waiting = b""
        self._left = False

    def write(self, text: str) -> int:
        self._waiting += text.encode(self.encoding, self._stream.errors or "strict")
        return len(text)

    def flush(self) -> None:
        while self._waiting:
            if self._left:
                raise BrokenPipeError
            if self._poll.poll(_LOOK_MS):
                written = os.write(self._stream.fileno(), self._waiting[:_CHUNK])
                self._waiting = self._waiting[written:]

    def leave(self) -> None:
        """Let the write that waits now fail, and every later one. Any thread may call."""
        self._left = True

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return self._stream.isatty()
