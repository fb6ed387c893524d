"""How the C library keeps memory for frames: what one frame leaves the next one takes."""

import ctypes

_ENOUGH_FOR_FRAMES = 16 << 20

# Numbers of malloc.h. glibc's own way: an arena for each of the threads that come and go with the cameras, all of which
# grow for hours; and each frame's memory goes back to the system, to come anew page by page, which costs as much as
# to decode the frame.
_SETTINGS = {
    -8: 1,  # M_ARENA_MAX: threads take turns for the moment that finding memory takes; arenas that are there stay
    -3: 32 << 20,  # M_MMAP_THRESHOLD: the largest that glibc takes
    -1: _ENOUGH_FOR_FRAMES,  # M_TRIM_THRESHOLD
}


def use_again() -> None:
    """For the whole process. Other C libraries than glibc stay as they are."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "gnu_get_libc_version"):
        for name, value in _SETTINGS.items():
            libc.mallopt(name, value)
