"""
Aliases: the relative symbolic links by which `infer`, and Ultralytics, find an engine under `model_path`'s stem.

They are looked for in the folder that holds the store (models/). One that was made elsewhere is noted inside the
store, so that `prune` keeps what it points at.
"""

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.engines.engine import SLUG, STORED_NAME, split_name
from app.engines.files import inside, make_folder, replace_link, stage_link, store_errors
from app.errors import StoreError

NOTES = ".aliases"
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)  # FAT, exFAT, some network file systems


def points_at(alias: Path, engine: Path) -> bool:
    return os.path.realpath(alias) == os.path.realpath(engine) and os.path.lexists(engine)


def refuse_foreign(alias: Path, root: Path) -> None:
    """
    Whatever stands at an alias's place is the user's own, unless it is a link into this store or another one.

    Raises:
        StoreError: such a thing stands there.
    """
    if not os.path.lexists(alias):
        return
    if alias.is_symlink() and (_leads_into(alias, root) or _is_made_here(alias)):
        return
    what = f"a link to {os.path.realpath(alias)}" if alias.is_symlink() else "a file"
    raise StoreError(
        f"{alias} is {what} that jetsmith did not make, and it is left alone.",
        hint=f"Move it away, or set another `vision.yolo.model_path` than {alias.name}.",
    )


def _leads_into(alias: Path, root: Path) -> bool:
    return Path(os.path.realpath(alias)).is_relative_to(os.path.realpath(root))


def _is_made_here(alias: Path) -> bool:
    """By its form alone: the store that it was made for may have been moved, or be that of other settings."""
    store, shelf, name = ("", "", "", *alias.readlink().parts)[-3:]
    engine = STORED_NAME.fullmatch(name) is not None and split_name(name)[1] != ""
    whole = Path(os.path.realpath(alias)).parts[-3:] == (store, shelf, name)  # and leads nowhere else from there
    return store == "engines" and SLUG.fullmatch(shelf) is not None and engine and whole


def probe(alias: Path) -> None:
    """Find out whether the alias could be made. The caller holds the store's lock."""
    with store_errors(alias, "make the link"), _links_expected(alias):
        make_folder(alias.parent)
        stage_link(alias, "nowhere").unlink()


def point(alias: Path, engine: Path, root: Path) -> None:
    """Point an alias at an engine in one step. The caller holds the store's lock."""
    _link(alias, os.path.relpath(engine.resolve(), alias.parent.resolve()))
    place = alias.absolute()
    if not place.parent.resolve().is_relative_to(root.parent.resolve()):
        note = root / NOTES / hashlib.sha256(os.fsencode(place)).hexdigest()[:16]
        _link(note, os.path.relpath(place, note.parent.resolve()))


def pointed(root: Path) -> dict[Path, list[Path]]:
    """Engines by real path, each with the links that lead to it."""
    found: dict[Path, list[Path]] = {}
    real_root = os.path.realpath(root)  # unlike `resolve`, it bears links in a circle
    for link in [*links_below(root.parent, root), *(alias for _, alias in noted(root))]:
        target = Path(os.path.realpath(link))
        if link.is_symlink() and target.is_relative_to(real_root):
            found.setdefault(target, []).append(link)
    return found


def noted(root: Path) -> list[tuple[Path, Path]]:
    """(note, alias) of the aliases outside the folder that holds the store."""
    notes = [note for note in inside(root / NOTES) if note.is_symlink()]
    return [(note, Path(os.path.normpath(note.parent.resolve() / note.readlink()))) for note in notes]


def links_below(folder: Path, root: Path) -> Iterator[Path]:
    """Every symbolic link in `folder`, outside the store."""
    for place, folders, files in os.walk(folder):
        here = Path(place)
        yield from (here / name for name in [*folders, *files] if (here / name).is_symlink())
        folders[:] = [name for name in folders if here / name != root]


def _link(link: Path, target: str) -> None:
    with store_errors(link, "make the link"), _links_expected(link):
        make_folder(link.parent)
        replace_link(link, target)


@contextmanager
def _links_expected(link: Path) -> Iterator[None]:
    """Say what a refused link means: the file system knows no such thing."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        raise StoreError(
            f"Cannot make the link {link}: the file system of {link.parent} has no symbolic links (FAT, exFAT?).",
            hint="Keep the models folder on ext4 or another Linux file system, as on an NVMe disk.",
        ) from error
