"""
Bytes in, picture out: (height, width, 3), BGR, 8 bits, upright.

OpenCV decodes: grey, palette and CMYK become BGR, alpha is dropped, 16 bits keep the upper eight, EXIF turns the
picture upright, an animation gives its first frame. A truncated file is refused, not filled up with grey.
"""

import os
import threading
from pathlib import Path

import numpy as np

from app.errors import SourceError
from app.types import Image
from app.vision.picture_header import HEAD_BYTES, PILLOW_ERRORS, format_of, size_of

MAX_PIXELS = 1 << 28
"""16384 × 16384 pixels, 805 MB once decoded: a header that promises more is a mistake or an attack."""
MAX_FILE_BYTES = 1 << 30

# fmt: off
PICTURE_SUFFIXES = frozenset({
    ".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpeg", ".jpg", ".mpo",
    ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
})
# fmt: on
"""What a folder or a pattern is searched for; a file that is named by itself may be called anything."""

_AGAIN = "Copy or download it again; if other programs show it, save it as an 8-bit JPEG or PNG."


def read_picture(path: Path) -> Image:
    """
    Decode a picture file, whatever its name.

    Raises:
        SourceError: it is missing, no file, unreadable, no picture, too large, or damaged. The message does not
            repeat the path.
    """
    return decode_picture(_read(path))


def decode_picture(data: bytes) -> Image:
    """
    Decode a picture that is already in memory.

    Raises:
        SourceError: it is no picture, too large, or damaged.
    """
    name = format_of(data[:HEAD_BYTES])
    width, height = size_of(data, name)
    if width * height > MAX_PIXELS:
        raise SourceError(
            f"too large: {width}×{height} is {width * height / 1e6:,.0f} million pixels, "
            f"and the limit is {MAX_PIXELS / 1e6:,.0f} million",
            hint="Scale the picture down, or cut it into tiles.",
        )
    image = _decode_with_pillow(data) if name == "AVIF" else _decode_with_opencv(data)
    if image is None:
        raise SourceError(f"the {name} picture is truncated, damaged, or of a kind too rare to read", hint=_AGAIN)
    return image


def _read(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise SourceError("a folder, not a picture", hint="Name the folder itself to take all its pictures.")
        if path.exists() and not path.is_file():  # a pipe or a device would be waited for without end
            raise SourceError("not a regular file", hint="Name a picture file.")
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            format_of(head)  # before a video of many gigabytes is read
            _check_file_size(os.fstat(file.fileno()).st_size)
            return head + file.read()
    except FileNotFoundError as error:
        raise SourceError("no such file", hint="Check the spelling and the folder you are in.") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SourceError(f"cannot be read: {reason}", hint="Check the file and its permissions.") from error


def _check_file_size(size: int) -> None:
    if size > MAX_FILE_BYTES:
        raise SourceError(
            f"too large: the file has {size / 1e6:,.0f} MB, and the limit is {MAX_FILE_BYTES / 1e6:,.0f} MB",
            hint="Compress the picture, or cut it into tiles.",
        )


def _decode_with_opencv(data: bytes) -> Image | None:
    import cv2

    with _codecs_kept_quiet:
        try:
            image: Image | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error:  # the codecs' assertions, and memory that is not there
            return None
    return image


def _decode_with_pillow(data: bytes) -> Image | None:
    """AVIF only: OpenCV leaves its EXIF turn out, and not every build of it can read AVIF."""
    import io

    from PIL import Image as Pillow
    from PIL import ImageOps

    try:
        with Pillow.open(io.BytesIO(data)) as picture:
            upright = ImageOps.exif_transpose(picture)
            return np.ascontiguousarray(np.asarray(upright.convert("RGB"))[..., ::-1])
    except PILLOW_ERRORS:
        return None


class _Quiet:
    """
    libpng, libjpeg and OpenCV write to file descriptor 2 themselves, past `sys.stderr`.

    Threads decode at the same time: the first one in closes the descriptor, the last one out opens it again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._saved: int | None = None

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._saved = _sent_nowhere(2)

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._saved is not None:
                os.dup2(self._saved, 2)
                os.close(self._saved)


def _sent_nowhere(descriptor: int) -> int | None:
    """What it was before."""
    try:
        saved = os.dup(descriptor)
    except OSError:  # the process was started without stderr: nothing to keep quiet
        return None
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), descriptor)
    return saved


_codecs_kept_quiet = _Quiet()
