"""Every kind of bad picture decodes right, or is refused with a reason."""

import importlib.util
import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from app.errors import SourceError
from app.vision.picture_header import HEAD_BYTES, format_of, size_of
from app.vision.pictures import MAX_PIXELS, decode_picture, read_picture
from tests.infer.doubles import bgr, encoded, photo

PHOTO = photo()
FORMATS = ["JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF", "JPEG2000", "PPM", "AVIF"]
LOSSLESS = {"PNG", "BMP", "TIFF", "JPEG2000", "PPM"}


def _with_alpha() -> Pillow.Image:
    picture = PHOTO.copy()
    picture.putalpha(77)
    return picture


def _turned(format_: str) -> bytes:
    exif = Pillow.Exif()
    exif[0x0112] = 6  # to be shown a quarter turn clockwise
    return encoded(PHOTO, format_, exif=exif)


def _sixteen_bits() -> bytes:
    data: bytes = cv2.imencode(".png", bgr(PHOTO).astype(np.uint16) * 256 + 200)[1].tobytes()
    return data


@pytest.mark.parametrize("format_", FORMATS)
def test_every_format_decodes_to_its_pixels(format_: str) -> None:
    image = decode_picture(encoded(PHOTO, format_))

    assert image.dtype == np.uint8
    worst = np.abs(image.astype(int) - bgr(PHOTO)).max()
    assert worst == 0 if format_ in LOSSLESS else worst <= 40


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_a_truncated_file_is_refused_and_not_filled_with_grey(format_: str, kept: float) -> None:
    data = encoded(photo(200, 150), format_)

    with pytest.raises(SourceError):
        decode_picture(data[: int(len(data) * kept)])


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(_sixteen_bits(), bgr(PHOTO), id="16 bits keep the upper eight"),
        pytest.param(encoded(PHOTO.convert("L"), "PNG"), bgr(PHOTO.convert("L")), id="grey"),
        pytest.param(encoded(PHOTO.convert("LA"), "PNG"), bgr(PHOTO.convert("L")), id="grey with alpha"),
        pytest.param(encoded(_with_alpha(), "PNG"), bgr(PHOTO), id="alpha is dropped, not blended"),
        pytest.param(encoded(PHOTO.convert("P"), "PNG"), bgr(PHOTO.convert("P")), id="palette"),
        pytest.param(encoded(PHOTO.convert("1"), "PNG"), bgr(PHOTO.convert("1")), id="one bit"),
        pytest.param(encoded(PHOTO.convert("CMYK"), "TIFF"), bgr(PHOTO), id="CMYK TIFF"),
        pytest.param(encoded(PHOTO.convert("CMYK"), "JPEG"), bgr(PHOTO), id="CMYK JPEG"),
        pytest.param(_turned("JPEG"), np.rot90(bgr(PHOTO), -1), id="EXIF in JPEG"),
        pytest.param(_turned("PNG"), np.rot90(bgr(PHOTO), -1), id="EXIF in PNG"),
        pytest.param(_turned("AVIF"), np.rot90(bgr(PHOTO), -1), id="EXIF in AVIF"),
        pytest.param(encoded(photo(1, 1), "PNG"), bgr(photo(1, 1)), id="1×1"),
        pytest.param(encoded(photo(4000, 1), "PNG"), bgr(photo(4000, 1)), id="4000×1"),
        pytest.param(encoded(photo(1, 4000), "PNG"), bgr(photo(1, 4000)), id="1×4000"),
        pytest.param(encoded(PHOTO, "JPEG") + b"\0\0 more", bgr(PHOTO), id="bytes after the end"),
        pytest.param(
            encoded(PHOTO, "PNG", save_all=True, append_images=[PHOTO.rotate(180)]),
            bgr(PHOTO),
            id="an animation gives its first frame",
        ),
    ],
)
def test_odd_pictures_decode_right(data: bytes, expected: np.ndarray) -> None:
    image = decode_picture(data)

    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).max() <= 12  # JPEG and CMYK round


_SAVE_WHAT_ULTRALYTICS_SEES = """
import sys
import numpy as np
from ultralytics.utils.patches import imread
for path in sys.argv[1:]:
    np.save(path + ".npy", imread(path))
"""


def test_the_pixels_are_those_that_ultralytics_sees(tmp_path: Path) -> None:
    if importlib.util.find_spec("ultralytics") is None:
        pytest.skip("ultralytics is not installed")
    kinds = {".jpg": encoded(PHOTO.convert("CMYK"), "JPEG"), ".png": _sixteen_bits(), ".webp": _turned("WEBP")}
    kinds |= {".tif": encoded(_with_alpha(), "TIFF"), ".avif": _turned("AVIF"), ".bmp": encoded(PHOTO, "BMP")}
    paths = [tmp_path / f"x{suffix}" for suffix in kinds]
    for path, data in zip(paths, kinds.values(), strict=True):
        path.write_bytes(data)

    # In a process of its own: once imported, Ultralytics replaces functions of OpenCV and Pillow.
    subprocess.run(
        [sys.executable, "-c", _SAVE_WHAT_ULTRALYTICS_SEES, *map(str, paths)],
        env={**os.environ, "YOLO_CONFIG_DIR": str(tmp_path), "YOLO_OFFLINE": "true"},
        check=True,
        capture_output=True,
    )

    for path in paths:
        assert np.array_equal(read_picture(path), np.load(f"{path}.npy")), path.suffix


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(b"", "0 bytes", id="empty"),
        pytest.param(b"hello, world\n", "text", id="text"),
        pytest.param(b"\n <svg xmlns=", "SVG", id="svg"),
        pytest.param(b"%PDF-1.7 ...", "PDF", id="pdf"),
        pytest.param(b"\0\0\0\x18ftypheic....", "HEIC", id="heic"),
        pytest.param(b"\0\0\0\x18ftypisom....", "MP4", id="mp4"),
        pytest.param(b"RIFF....AVI LIST", "AVI", id="avi"),
        pytest.param(b"\x1aE\xdf\xa3....", "Matroska", id="mkv"),
        pytest.param(b"PK\x03\x04....", "ZIP", id="zip"),
        pytest.param(bytes(range(1, 60)), "no known format", id="noise"),
        pytest.param(b"\x89PNG\r\n\x1a\n", "header is damaged", id="nothing after the signature"),
        pytest.param(encoded(PHOTO, "JPEG")[:-2], "truncated", id="a JPEG without its end marker"),
    ],
)
def test_what_is_no_picture_is_refused_by_name(data: bytes, says: str) -> None:
    with pytest.raises(SourceError, match=says) as error:
        decode_picture(data)

    assert error.value.hint


def _png_of(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + b"\0" * 64


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(_png_of(100_000, 100_000), id="PNG"),
        pytest.param(_png_of(MAX_PIXELS + 1, 1), id="PNG, one pixel too many"),
        pytest.param(b"BM" + struct.pack("<IIIIiiHHIIIIII", 0, 0, 54, 40, 90_000, 90_000, 1, 24, *[0] * 6), id="BMP"),
        pytest.param(b"P6 100000 100000 255\n", id="PNM"),
    ],
)
def test_a_decompression_bomb_is_refused_before_it_is_decoded(data: bytes) -> None:
    with pytest.raises(SourceError, match="too large"):
        decode_picture(data)


def test_the_header_of_a_jpeg_is_read_past_large_segments() -> None:
    exif = Pillow.Exif()
    exif[0x010E] = "x" * 60_000
    data = encoded(photo(70, 50), "JPEG", exif=exif, progressive=True)

    assert size_of(data, "JPEG") == (70, 50)


def test_twelve_thousand_squared_decodes() -> None:
    buffer = io.BytesIO()
    Pillow.new("L", (12_000, 12_000), 90).save(buffer, "JPEG")

    image = decode_picture(buffer.getvalue())

    assert image.shape == (12_000, 12_000, 3)
    assert image[0, 0].tolist() == [90, 90, 90]


@pytest.mark.parametrize("name", ["with spaces.png", "größe-图片.png", "wrong-ending.jpg", "no-ending", "[1].png"])
def test_a_file_is_told_by_content_whatever_its_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(encoded(PHOTO, "PNG"))

    assert np.array_equal(read_picture(path), bgr(PHOTO))


def test_a_name_that_is_no_utf8(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.png")
    try:
        path.write_bytes(encoded(PHOTO, "PNG"))
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")

    assert read_picture(path).shape == (40, 60, 3)


def test_missing_files_folders_pipes_and_loops_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    reasons = {
        tmp_path / "missing.jpg": "no such file",
        tmp_path: "a folder",
        tmp_path / "pipe.jpg": "not a regular file",
        tmp_path / "loop.jpg": "cannot be read",
        Path("nul\0.jpg"): "cannot be read",
        tmp_path / ("x" * 300 + ".jpg"): "cannot be read",
    }

    for path, reason in reasons.items():
        with pytest.raises(SourceError, match=reason):
            read_picture(path)


def test_codecs_write_nothing_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    damaged = encoded(photo(200, 150), "PNG")[:-400]
    with pytest.raises(SourceError):
        decode_picture(damaged)
    sys.stderr.write("still there\n")

    assert capfd.readouterr().err == "still there\n"


def _only_picture_or_error(data: bytes) -> None:
    try:
        image = decode_picture(data)
    except SourceError:
        return
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert image.dtype == np.uint8


SMALL = [encoded(photo(16, 12), format_) for format_ in FORMATS]


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=200), magic=st.sampled_from([b"", *(small[:16] for small in SMALL)]))
@example(data=b"", magic=b"")
def test_any_bytes_give_a_picture_or_a_reason(data: bytes, magic: bytes) -> None:
    _only_picture_or_error(magic + data)


@settings(max_examples=150, deadline=None)
@given(
    small=st.sampled_from(SMALL), changes=st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=4)), max_size=6)
)
def test_altered_pictures_give_a_picture_or_a_reason(small: bytes, changes: list[tuple[int, bytes]]) -> None:
    data = bytearray(small)
    for at, patch in changes:
        at %= len(data)
        data[at : at + len(patch)] = patch

    _only_picture_or_error(bytes(data))


@given(head=st.binary(max_size=HEAD_BYTES))
def test_any_head_has_a_format_or_a_reason(head: bytes) -> None:
    try:
        assert format_of(head)
    except SourceError:
        return
