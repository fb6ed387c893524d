"""What a source gives: frames, and failures in their place."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from app.errors import SourceError
from app.types import Image


class Kind(Enum):
    """What a frame is one of."""

    PICTURE = "picture"  # alone, of its own size
    VIDEO = "video"  # of a file: all of them matter, and they wait
    LIVE = "live"  # of a camera: the newest matters, and the next one comes anyway


@dataclass(frozen=True, eq=False)
class Frame:
    source: str  # as the user named it, or as it was found below what the user named; without a password
    index: int  # of the frame within its source, counted before any is left out; 0 for a picture
    image: Image
    seconds: float | None = None  # its place in a video file
    moment: datetime | None = None  # when a live frame came; UTC
    rate: float | None = None  # frames a second that reach the sinks: the source's own, less what is left out
    kind: Kind = Kind.PICTURE


@dataclass(frozen=True)
class Failure:
    """What stands for an input that gave nothing, or broke off."""

    source: str
    error: SourceError
