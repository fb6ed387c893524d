"""A camera at this machine: `camera:0`, `/dev/video0`. OpenCV reads it, through V4L2."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from app.errors import SourceError
from app.infer.sources.base import Shot, Take
from app.infer.sources.live import Feed
from app.types import Image

_ABSENT = "Plug it in, look for /dev/video*, and see that this user (or container) may open it."


@contextmanager
def camera(number: int) -> Iterator[Feed]:
    """
    Raises:
        SourceError: no such camera, or somebody else uses it.
    """
    import cv2

    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # it warns of each camera that is not there
    capture = cv2.VideoCapture(number, cv2.CAP_V4L2)
    try:
        if not capture.isOpened():
            raise SourceError(f"camera {number} cannot be opened", hint=_ABSENT)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest frame, not one of a second ago
        yield Feed(_shots(capture), float(capture.get(cv2.CAP_PROP_FPS)) or None)
    finally:
        capture.release()


def _shots(capture: Any) -> Iterator[Shot]:
    """OpenCV waits ten seconds for a frame at most."""
    while capture.grab():
        yield lambda take: _retrieved(capture, take)
    raise SourceError("the camera gives no frame any more", hint=_ABSENT)


def _retrieved(capture: Any, take: Take) -> Image:
    good, image = capture.retrieve()
    if not good:
        raise SourceError("the camera gave a frame that cannot be decoded", hint=_ABSENT)
    into = take(image.shape)
    np.copyto(into, image)
    return into
