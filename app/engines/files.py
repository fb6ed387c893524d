"""Writing so that a kill, a power cut or a full disk leaves the old file or the new one; reading without trust."""

import errno
import hashlib
import io
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.errors import StoreError

STAGED_SUFFIX = ".jetsmith-new"
_CHUNK_BYTES = 2**20


@contextmanager
def store_errors(path: Path, doing: str) -> Iterator[None]:
    """Turn an OSError into a StoreError that says whose the folder is and what to do about it."""
    try:
        yield
    except OSError as error:
        raise store_error(path, doing, error) from error


def store_error(path: Path, doing: str, error: OSError) -> StoreError:
    message = f"Cannot {doing} {path}: {error.strerror or error}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(_existing(path)).free
        hint = "Make room (`jetsmith engines prune` removes engines that nothing points to), then run it again."
        return StoreError(f"{message} ({free / 2**20:.1f} MiB are free).", hint=hint)
    if error.errno == errno.EROFS:
        hint = "Mount that folder writable to convert (in docker-compose.yml: no `:ro`); `infer` only reads it."
        return StoreError(f"{message}.", hint=hint)
    if error.errno in (errno.EACCES, errno.EPERM):
        return _no_permission(path, message)
    if error.errno == errno.EXDEV:
        return StoreError(f"{message}.", hint="Keep the whole engine store on one file system.")
    return StoreError(f"{message}.", hint="See that the folder exists and its disk is healthy.")


def _no_permission(path: Path, message: str) -> StoreError:
    place = _existing(path)
    owner, group = place.stat().st_uid, place.stat().st_gid
    return StoreError(
        f"{message}; {place} belongs to user {owner}, and this process runs as user {os.geteuid()}.",
        hint=f"Run as its owner (in Docker: JETSMITH_UID={owner} JETSMITH_GID={group}), or give it to this user: "
        f"`sudo chown -R {os.geteuid()}:{os.getegid()} {place}` (in Docker: the host's folder that is mounted there).",
    )


def _existing(path: Path) -> Path:
    """The path itself, else the nearest folder above it that is there, and that we may see (`Path.exists` raises)."""
    return next((place for place in (path, *path.parents) if os.path.exists(place)), Path("/"))  # noqa: PTH110


def sha256_of(path: Path) -> str:
    """The digest of a regular file; a symbolic link in its place is refused (ELOOP)."""
    digest = hashlib.sha256()
    with _open(path) as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def read_capped(path: Path, limit: int) -> bytes:
    """At most one byte more than `limit`: enough to see that a file is too large."""
    with _open(path) as file:
        return file.read(limit + 1)


def _open(path: Path) -> io.FileIO:
    return io.FileIO(path, opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW))


def inside(folder: Path) -> list[Path]:
    """What lies in a folder, by name; nothing if it is not there, or no longer."""
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def regular_size(path: Path) -> int | None:
    """Bytes of a regular file; None for anything else, a symbolic link too."""
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def write_synced(path: Path, data: bytes) -> None:
    """Write a new file that every user may read: the runner may be another one than the builder, whatever its umask."""
    with path.open("xb") as file:
        os.fchmod(file.fileno(), 0o644)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def make_folder(path: Path) -> None:
    """Make a folder, and those above it that lack, such that every user may look into it, as `write_synced`."""
    if path.is_dir():
        return
    make_folder(path.parent)
    try:
        path.mkdir()
    except FileExistsError:  # another process was faster, or a file stands there
        path.mkdir(exist_ok=True)
    else:
        path.chmod(path.stat().st_mode & 0o777 | 0o055)


def sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def stage_link(link: Path, target: str) -> Path:
    """Make a link beside its place. The caller holds the store's lock: there is one writer at a time."""
    staged = link.with_name(f".{link.name}{STAGED_SUFFIX}")
    staged.unlink(missing_ok=True)  # of a process that was killed here
    staged.symlink_to(target)
    return staged


def replace_link(link: Path, target: str) -> None:
    """Put a symbolic link in place in one step. The caller holds the store's lock."""
    stage_link(link, target).replace(link)
    sync(link.parent)
