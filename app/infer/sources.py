"""
What the user named, as pictures in order.

A file is taken whatever its name. A folder gives the pictures that lie directly in it, a glob (`**` too) those that
match: by their endings, without hidden ones, img2 before img10. What cannot be read is a `Failure`, never the end.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from app.errors import SourceError
from app.infer.frame import Failure, Frame
from app.vision.pictures import PICTURE_SUFFIXES, read_picture


def open_sources(sources: Sequence[str]) -> Iterator[Frame | Failure]:
    """Read every picture that `sources` name, one at a time, in order."""
    return read_found(find_pictures(sources))


def find_pictures(sources: Sequence[str]) -> list[Path | Failure]:
    """The files that `sources` name, none of them opened yet. One named twice comes twice."""
    return [found for source in sources for found in _find(source)]


def read_found(found: Sequence[Path | Failure]) -> Iterator[Frame | Failure]:
    """Decode what `find_pictures` found."""
    for item in found:
        if isinstance(item, Failure):
            yield item
            continue
        try:
            image = read_picture(item)
        except SourceError as error:
            yield Failure(str(item), error)
        else:
            yield Frame(str(item), 0, image)


def _find(source: str) -> list[Path | Failure]:
    if not source:
        return [_failure(source, "an empty name", "Name a picture, a folder or a pattern.")]
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", source):
        return [_failure(source, "an address, not a file", "Download the picture first.")]
    try:
        path = Path(source)
        if path.is_dir():
            return _some(source, path.iterdir(), "the folder holds no picture")
        # A file may be called photo[1].jpg: it is a pattern only where no such file is there.
        if path.exists() or path.is_symlink() or not _is_pattern(source):
            return [path]
        return _some(source, _glob(path), "no picture matches")
    except (OSError, ValueError) as error:  # ValueError: a NUL character, or `**` beside other letters
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return [_failure(source, f"cannot be searched: {reason}", "Check the name and its permissions.")]


def _some(source: str, paths: Iterator[Path], nothing: str) -> list[Path | Failure]:
    pictures = [path for path in paths if _looks_like_picture(path)]
    if not pictures:
        endings = " ".join(sorted(PICTURE_SUFFIXES))
        return [_failure(source, nothing, f"Looked for {endings}; for sub-folders write 'FOLDER/**/*'.")]
    return [*sorted(pictures, key=_natural_order)]


def _failure(source: str, message: str, hint: str) -> Failure:
    return Failure(source, SourceError(message, hint=hint))


def _looks_like_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".") and not path.is_dir()


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
