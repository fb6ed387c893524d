"""Small video files, whose frames tell their number by their brightness."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

RATE = 25


def write_video(path: Path, frames: int, size: tuple[int, int] = (64, 48), codec: str = "libx264") -> Path:
    """`size` is width, height; the frame n is as bright as `brightness(n)`."""
    import av

    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=RATE)
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.time_base = Fraction(1, RATE)
        stream.codec_context.gop_size = 5
        for number in range(frames):
            picture = np.full((size[1], size[0], 3), brightness(number), np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def brightness(number: int) -> int:
    return 20 + number * 8 % 200
