"""Memory of frames that come and go, each time in a process of its own: the settings stay."""

import json
import platform
import subprocess
import sys

import pytest

_FRAMES_COME_AND_GO = """
import ctypes, json, resource, sys, threading
import numpy as np
from app.infer import ahead
from pathlib import Path

PAGES = 1 << 8  # of a frame of 1 MB
meet = threading.Barrier(6)

def camera():
    meet.wait()
    for _ in range(20):
        frames = [np.ones(1 << 20, np.uint8) for _ in range(3)]
        kept.append(bytes(2000))  # what lives longer lies between the frames
        del frames
    meet.wait()

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) >> 10

def arenas():
    libc, text = ctypes.CDLL(None), ctypes.c_char_p()
    libc.open_memstream.restype = ctypes.c_void_p
    stream = ctypes.c_void_p(libc.open_memstream(ctypes.byref(text), ctypes.byref(ctypes.c_size_t())))
    libc.malloc_info(0, stream)
    libc.fclose(stream)
    return text.value.count(b"<heap nr")

if sys.argv[1] in ("files", "live"):
    ahead.Reading([], None, forever=sys.argv[1] == "live").start(None, None)
kept, at_first = [], resident()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
threads = [threading.Thread(target=camera) for _ in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(json.dumps([arenas(), faults / PAGES, resident() - at_first]))
"""


pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are glibc's")


def test_frames_of_files_take_the_memory_of_those_before() -> None:
    arenas, new_frames, _ = _seen("files")
    assert arenas <= 3 < _seen("as glibc does")[0]
    assert new_frames < 90, "frames' worth of memory that was new to the process, of 360 frames"


def test_a_live_run_gives_memory_back_even_between_things_that_stay() -> None:
    arenas, new_frames, left_mb = _seen("live")
    assert arenas <= 3
    assert new_frames > 300, "of 360 frames"
    assert left_mb < 8


def _seen(how: str) -> tuple[int, float, int]:
    ran = subprocess.run([sys.executable, "-c", _FRAMES_COME_AND_GO, how], check=True, capture_output=True, text=True)
    arenas, new_frames, left_mb = json.loads(ran.stdout)
    return arenas, new_frames, left_mb
