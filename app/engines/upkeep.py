"""What lies in an engine store, what points to it, and what may go. Looking is apart from removing."""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from app.engines import aliases
from app.engines.engine import STORED_NAME, Engine, manifest_path, read_engine, split_name
from app.engines.files import STAGED_SUFFIX, inside, regular_size
from app.engines.locks import is_free, remove_if_free
from app.errors import EngineDamaged, EngineStale
from app.types import Backend

WORK, LOCKS = ".work", ".locks"
GUARD = ".guard"


@dataclass(frozen=True)
class Entry:
    """One engine of the store, or what is left of one."""

    path: Path  # where the engine is, or would be
    size: int  # bytes of engine and manifest
    engine: Engine | None  # None if it is damaged
    problem: str  # why it cannot be used anywhere; "" if it is whole (its bytes are not compared)
    aliases: tuple[Path, ...]


@dataclass(frozen=True)
class Removal:
    paths: tuple[Path, ...]
    size: int
    why: str


def entries(root: Path) -> list[Entry]:
    """Every engine, half-engine and orphan, by name."""
    links = aliases.pointed(root)
    bases = {
        manifest_path(path) if split_name(path.name)[1] else path
        for shelf in _shelves(root)
        for path in inside(shelf)
        if STORED_NAME.fullmatch(path.name)
    }
    return [_entry(manifest, links) for manifest in sorted(bases)]


def litter(root: Path) -> list[Removal]:
    """What killed processes left: workspaces, halves of engines that nothing points to, lock files."""
    return [
        *(_removal((path,), "left by a process that was killed") for path in _dead_workspaces(root)),
        *(
            _removal(_parts(entry), "half an engine: its publishing was cut off")
            for entry in entries(root)
            if len(_parts(entry)) == 1 and not entry.aliases
        ),
        *(
            _removal((link,), "left by a process that was killed")
            for link in aliases.links_below(root.parent, root)
            if link.name.startswith(".") and link.name.endswith(STAGED_SUFFIX)
        ),
        *(_removal((lock,), "lock of a process that was killed") for lock in _dead_locks(root)),
    ]


def unused(root: Path) -> list[Removal]:
    """Litter, engines that nothing points to, and notes of aliases that are gone."""
    alive = {alias for found in aliases.pointed(root).values() for alias in found}
    cut_off = litter(root)
    known = {path for removal in cut_off for path in removal.paths}
    return [
        *cut_off,
        *(
            _removal(_parts(entry), entry.problem or "nothing points to it")
            for entry in entries(root)
            if not entry.aliases and not known & set(_parts(entry))
        ),
        *(_removal((note,), "its alias is gone") for note, alias in aliases.noted(root) if alias not in alive),
    ]


def remove(removal: Removal, root: Path) -> None:
    """The caller holds the store's lock."""
    for path in removal.paths:
        if path.parent.name == LOCKS:
            remove_if_free(path)
        elif path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    shelf = removal.paths[0].parent
    if shelf in _shelves(root) and not inside(shelf):
        shelf.rmdir()


def _entry(manifest: Path, links: dict[Path, list[Path]]) -> Entry:
    engine, problem = None, ""
    try:
        engine = read_engine(manifest)
    except (EngineDamaged, EngineStale) as error:
        problem = error.message
    path = engine.path if engine else _engine_beside(manifest, links)
    size = (regular_size(path) or 0) + (regular_size(manifest) or 0)
    return Entry(path, size, engine, problem, tuple(sorted(links.get(Path(os.path.realpath(path)), ()))))


def _engine_beside(manifest: Path, links: dict[Path, list[Path]]) -> Path:
    """The engine of a manifest that cannot be used: what lies beside it, or what a link still expects there."""
    possible = [manifest.with_name(manifest.stem + backend.suffix) for backend in Backend]
    expected = (path for path in possible if os.path.lexists(path) or Path(os.path.realpath(path)) in links)
    return next(expected, manifest)


def _parts(entry: Entry) -> tuple[Path, ...]:
    """The files that are there, manifest first: a kill between the two leaves an engine that nobody takes for good."""
    both = dict.fromkeys((manifest_path(entry.path) if split_name(entry.path.name)[1] else entry.path, entry.path))
    return tuple(path for path in both if os.path.lexists(path))


def _removal(paths: tuple[Path, ...], why: str) -> Removal:
    return Removal(paths, sum(map(_size, paths)), why)


def _size(path: Path) -> int:
    if path.is_symlink() or not path.is_dir():
        return regular_size(path) or 0
    return sum(regular_size(Path(place, name)) or 0 for place, _, names in os.walk(path) for name in names)


def _shelves(root: Path) -> Iterator[Path]:
    # A shelf that is a link may lead out of the store: it is no shelf of ours.
    return (path for path in inside(root) if _is_shelf(path))


def _is_shelf(path: Path) -> bool:
    return not path.name.startswith(".") and path.is_dir() and not path.is_symlink()


def _dead_workspaces(root: Path) -> Iterator[Path]:
    for folder in _visible(root / WORK):
        with suppress(PermissionError):  # another user's, who alone may look after it
            if regular_size(folder / GUARD) is None or is_free(folder / GUARD):
                yield folder


def _dead_locks(root: Path) -> Iterator[Path]:
    for path in _visible(root / LOCKS):
        with suppress(PermissionError):
            if path.suffix == ".lock" and is_free(path):
                yield path


def _visible(folder: Path) -> list[Path]:
    with suppress(PermissionError):
        return inside(folder)
    return []
