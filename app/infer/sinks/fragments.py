"""A file of MP4 fragments that are there whole or not at all."""

import os
from pathlib import Path

from app.infer.sinks.files import part_beside

_HEAD = 8  # bytes: the size of a box, and its kind


class FragmentFile:
    """
    What the muxer writes into. A fragment is two boxes, moof and mdat; they reach the file in one piece.

    It lies under its name as soon as it is a video, so that a killed process leaves it there; in place of a link of
    that name, not where it leads.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._file = -1
        self._waiting = bytearray()
        self.size = 0

    def write(self, data: bytes) -> int:
        self._waiting += data
        whole = _end_of_whole(self._waiting)
        if whole:
            self._put(self._waiting[:whole])
            del self._waiting[:whole]
        return len(data)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _put(self, data: bytearray) -> None:
        if self._file < 0:
            self._begin(data)
        else:
            self._append(data)

    def _begin(self, data: bytearray) -> None:
        part = part_beside(self._target)
        try:
            self._file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            self._append(data)
            part.replace(self._target)
        except OSError:
            part.unlink(missing_ok=True)
            raise

    def _append(self, data: bytearray) -> None:
        done = 0
        try:
            while done < len(data):
                done += os.write(self._file, data[done:])
        except OSError:
            if done:
                os.ftruncate(self._file, self.size)  # players stumble over half a fragment
            raise
        self.size += len(data)


def _end_of_whole(boxes: bytearray) -> int:
    """Where the last box ends that is there whole, and its mdat too if it is a moof."""
    at = end = 0
    while at + _HEAD <= len(boxes):
        size, kind = int.from_bytes(boxes[at : at + 4], "big"), bytes(boxes[at + 4 : at + 8])
        if size < _HEAD or at + size > len(boxes):
            break
        at += size
        end = end if kind == b"moof" else at
    return end
