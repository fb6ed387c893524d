"""
Files that the user named, in order.

A file is taken whatever its name. A folder gives the pictures and videos that lie directly in it, a glob (`**` too)
those that match: by their endings, without hidden ones, img2 before img10. What cannot be found is a `Failure`.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from app.errors import SourceError
from app.infer.frame import Failure
from app.infer.sources.video import VIDEO_SUFFIXES
from app.vision.pictures import PICTURE_SUFFIXES


def find(source: str) -> list[Path | Failure]:
    """The files that one name stands for, none of them opened yet."""
    if not source:
        return [_failure(source, "an empty name", "Name a picture, a video, a folder, a pattern or an address.")]
    try:
        path = Path(source)
        if path.is_dir():
            return _some(source, path.iterdir(), "the folder holds no picture and no video")
        # A file may be called photo[1].jpg: it is a pattern only where no such file is there.
        if path.exists() or path.is_symlink() or not _is_pattern(source):
            return [path]
        return _some(source, _glob(path), "no picture and no video matches")
    except (OSError, ValueError) as error:  # ValueError: a NUL character, or `**` beside other letters
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return [_failure(source, f"cannot be searched: {reason}", "Check the name and its permissions.")]


def _some(source: str, paths: Iterator[Path], nothing: str) -> list[Path | Failure]:
    files = [path for path in paths if _is_wanted(path)]
    if not files:
        endings = " ".join(sorted(PICTURE_SUFFIXES | VIDEO_SUFFIXES))
        return [_failure(source, nothing, f"Looked for {endings}; for sub-folders write 'FOLDER/**/*'.")]
    return [*sorted(files, key=_natural_order)]


def _failure(source: str, message: str, hint: str) -> Failure:
    return Failure(source, SourceError(message, hint=hint))


def _is_wanted(path: Path) -> bool:
    known = path.suffix.lower() in PICTURE_SUFFIXES | VIDEO_SUFFIXES
    return known and not path.name.startswith(".") and not path.is_dir()


def _is_pattern(source: str) -> bool:
    return re.search(r"[*?[]", source) is not None


def _glob(pattern: Path) -> Iterator[Path]:
    """pathlib's `**` does not follow links to folders, so a loop of links cannot catch it (glob.glob's does)."""
    root = Path(pattern.anchor)
    relative = pattern.relative_to(root)
    if relative.name == "**":  # which would match folders only, before Python 3.13
        relative /= "*"
    return root.glob(str(relative))


def _natural_order(path: Path) -> tuple[list[tuple[int, str]], str]:
    """img2 before img10; the name itself decides between 1.jpg and 01.jpg."""
    parts = re.findall(r"[0-9]+|[^0-9]+", str(path))
    return [(int(part), "") if part[0] in "0123456789" else (-1, part.casefold()) for part in parts], str(path)
