"""Frames that come and go take the memory of those before. In a process of its own: the settings stay."""

import json
import platform
import subprocess
import sys

import pytest

_FRAMES_COME_AND_GO = """
import ctypes, json, resource, sys, threading
import numpy as np
from app.infer import ahead

PAGES = 1 << 8  # of a frame of 1 MB
meet = threading.Barrier(6)

def camera():
    meet.wait()
    for _ in range(20):
        [np.ones(1 << 20, np.uint8) for _ in range(3)]
    meet.wait()

def arenas():
    libc, text = ctypes.CDLL(None), ctypes.c_char_p()
    libc.open_memstream.restype = ctypes.c_void_p
    stream = ctypes.c_void_p(libc.open_memstream(ctypes.byref(text), ctypes.byref(ctypes.c_size_t())))
    libc.malloc_info(0, stream)
    libc.fclose(stream)
    return text.value.count(b"<heap nr")

if sys.argv[1] == "ours":
    ahead.Reading([], None).start(None, None)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
threads = [threading.Thread(target=camera) for _ in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(json.dumps([arenas(), faults / PAGES]))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are glibc's")
def test_frames_of_many_threads_share_a_little_memory() -> None:
    arenas, new_frames = _seen("ours")
    assert arenas <= 3
    assert new_frames < 40, "frames' worth of memory that was new to the process, of 120 frames"

    arenas, new_frames = _seen("as glibc does")
    assert arenas > 3
    assert new_frames > 40


def _seen(how: str) -> tuple[int, float]:
    ran = subprocess.run([sys.executable, "-c", _FRAMES_COME_AND_GO, how], check=True, capture_output=True, text=True)
    arenas, new_frames = json.loads(ran.stdout)
    return arenas, new_frames
