"""How the C library keeps memory for frames."""

import ctypes

# Numbers of malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8

_FOR_LONG = {
    _ARENA_MAX: 1,  # else each of the threads that come and go with the cameras grows one of its own, for hours
    _MMAP_THRESHOLD: 512 << 10,  # frames go back whole; glibc itself lets large ones that are freed raise this
    _TRIM_THRESHOLD: 2 << 20,
}
# Else each frame's memory comes anew, page by page, which costs as much as to decode the frame.
_FOR_SPEED = {_ARENA_MAX: 1, _MMAP_THRESHOLD: 32 << 20, _TRIM_THRESHOLD: 16 << 20}


def prepare_for_frames(*, live: bool) -> None:
    """
    For the whole process. Other C libraries than glibc stay as they are.

    Args:
        live: the run goes on for long, and its frames have many sizes: memory that is free goes back. Files are done
            soon: what one frame leaves the next one takes.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "gnu_get_libc_version"):
        for name, value in (_FOR_LONG if live else _FOR_SPEED).items():
            libc.mallopt(name, value)
