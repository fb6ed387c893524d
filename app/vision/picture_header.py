"""What a picture file says of itself in its first bytes: which format it is, and how many pixels it will take."""

import io
import struct
import warnings

from app.errors import SourceError

HEAD_BYTES = 64
"""How much of a file `format_of` looks at."""

_SUPPORTED = "JPEG, PNG, BMP, TIFF, WebP, GIF, AVIF, JPEG 2000 and PNM pictures can be read."
_CONVERT = f"Convert it first. {_SUPPORTED}"

_PICTURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    *((b"P%d%c" % (kind, space), "PNM") for kind in range(1, 7) for space in b" \t\r\n#"),
)
_STRANGERS = (
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (b"FLV", "a Flash video"),
    (b"\0\0\x01\xba", "an MPEG video"),
    (b"\0\0\x01\xb3", "an MPEG video"),
    (b"II+\0", "a BigTIFF picture"),
    (b"MM\0+", "a BigTIFF picture"),
    (b"8BPS", "a Photoshop picture"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "an XML file (perhaps an SVG drawing)"),
    (b"<!DOCTYPE", "an HTML page"),
    (b"<html", "an HTML page"),
)
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


def format_of(head: bytes) -> str:
    """
    The picture format that a file begins like, told by content: names lie.

    Raises:
        SourceError: it is empty, or no picture that can be read; the message says what it looks like.
    """
    if not head:
        raise SourceError("the file is empty (0 bytes)", hint="Copy or download it again.")
    for magic, name in _PICTURES:
        if head.startswith(magic):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[4:12] in (b"ftypavif", b"ftypavis"):
        return "AVIF"
    raise SourceError(f"not a picture that can be read: {_stranger(head)}", hint=_CONVERT)


def _stranger(head: bytes) -> str:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    for magic, name in _STRANGERS:
        if text[: len(magic)].lower() == magic.lower():
            return f"it looks like {name}"
    if head[4:8] == b"ftyp":
        return f"it looks like {'an HEIC picture' if head[8:12] in _HEIF_BRANDS else 'an MP4 or QuickTime video'}"
    if head[:4] == b"RIFF":
        return "it looks like an AVI video or a WAV sound"
    if all(byte >= 0x20 or byte in b"\t\r\n" for byte in head):
        return "it looks like text"
    return f"its first bytes ({head[:8].hex(' ')}) belong to no known format"


def size_of(data: bytes, name: str) -> tuple[int, int]:
    """
    (width, height) as the header of a picture in format `name` states them; nothing is decoded.

    Raises:
        SourceError: the header is damaged.
    """
    # JPEG and PNG are nearly all pictures: reading their headers here spares importing Pillow.
    size = {"JPEG": _jpeg_size, "PNG": _png_size}.get(name, _pillow_size)(data)
    if size is None or min(size) < 1:
        raise SourceError(f"its {name} header is damaged", hint="Copy or download it again.")
    return size


def _png_size(data: bytes) -> tuple[int, int] | None:
    if len(data) < 24 or data[12:16] != b"IHDR":
        return None
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Follow the segments to the frame header (SOF0 to SOF15; C4, C8 and CC are tables). ITU-T T.81, B.1."""
    at = 2
    while at + 9 <= len(data):
        if data[at] != 0xFF:
            at += 1  # decoders skip stray bytes between segments
            continue
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        if marker in (0x00, 0x01, 0xFF) or 0xD0 <= marker <= 0xD8:  # fill bytes and markers without a body
            at += 1 if marker == 0xFF else 2
            continue
        at += 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))
    return None


def _pillow_size(data: bytes) -> tuple[int, int] | None:
    import logging

    from PIL import Image

    logging.getLogger("PIL").setLevel(logging.CRITICAL)  # what it logs of a damaged file, our error says
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of bombs, and of odd metadata; the limit here is our own
            with Image.open(io.BytesIO(data)) as picture:
                return picture.size
    except Image.DecompressionBombError as error:  # more than twice Pillow's own limit of 89 million pixels
        raise SourceError(f"too large: {error}", hint="Scale the picture down, or cut it into tiles.") from error
    except PILLOW_ERRORS:
        return None


PILLOW_ERRORS = (
    OSError,  # UnidentifiedImageError among them
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    RuntimeError,  # NotImplementedError and RecursionError among them
    MemoryError,
    struct.error,
)
"""What Pillow's parsers were seen to raise on damaged files."""
