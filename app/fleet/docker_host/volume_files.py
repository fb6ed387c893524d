"""Files that a container on the device wrote, read through Docker's archives; a container need not run for that."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docker.errors import NotFound

from app.errors import FleetError
from app.fleet.docker_host.connection import Connection
from app.fleet.host import Watch

_PIECE = 1 << 20
_TAR_OVERHEAD = 64 << 10  # headers, and what pads them


def read_small_file(connection: Connection, container: str, path: str, at_most: int, watch: Watch) -> bytes | None:
    """None: there is none, or it is no regular file of at most so many bytes."""
    archive = _archive(connection, container, path, at_most, watch)
    return None if archive is None else only_file(archive, at_most)


def only_file(archive: bytes, at_most: int) -> bytes | None:
    """The first of an archive, as `read_small_file` has it."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
            member = tar.next()
            if member is None or not member.isreg() or member.size > at_most:
                return None
            file = tar.extractfile(member)
            return file.read(at_most) if file else None
    except (tarfile.TarError, ValueError):
        return None


def read_link(connection: Connection, container: str, path: str, watch: Watch) -> str | None:
    """Where a symbolic link leads, as it is written; None where there is none."""
    archive = _archive(connection, container, path, 0, watch)
    try:
        with tarfile.open(fileobj=io.BytesIO(archive or b""), mode="r:") as tar:
            member = tar.next()
    except (tarfile.TarError, ValueError):
        return None
    return member.linkname if member is not None and member.issym() else None


def _archive(connection: Connection, container: str, path: str, at_most: int, watch: Watch) -> bytes | None:
    def fetched(client: Any) -> bytes | None:
        try:
            chunks, _ = client.api.get_archive(container, path)
        except NotFound:
            return None
        whole = bytearray()
        for chunk in chunks:
            whole += chunk
            if len(whole) > at_most + _TAR_OVERHEAD:
                raise FleetError(f"{path} there is larger than it can be", hint="Remove it on the device.")
        return bytes(whole)

    return connection.ask(watch, fetched)


def copy_file(connection: Connection, container: str, path: str, to: Path, size: int, watch: Watch) -> None:
    """
    Raises:
        FleetError: it is not a regular file of this very size, or cannot be written here.
    """
    with connection.request(watch) as client:
        try:
            chunks, _ = client.api.get_archive(container, path)
        except NotFound as error:
            raise FleetError(f"{path} is not there", hint="Apply again.") from error
        stream: Any = _Chunks(chunks, watch)
        try:
            with tarfile.open(fileobj=stream, mode="r|") as tar, to.open("wb") as file:
                member = tar.next()
                if member is None or not member.isreg() or member.size != size:
                    raise FleetError(f"{path} is not the file that it should be", hint="Apply again.")
                source = tar.extractfile(member)
                while source is not None and (piece := source.read(_PIECE)):
                    file.write(piece)
        except (tarfile.TarError, ValueError) as error:
            raise FleetError(f"{path} did not arrive whole: {error}", hint="Apply again.") from error


class _Chunks:
    """What comes in pieces, as tarfile reads it."""

    def __init__(self, chunks: Iterator[bytes], watch: Watch) -> None:
        self._chunks, self._watch, self._left = iter(chunks), watch, b""

    def read(self, size: int) -> bytes:
        while len(self._left) < size and (chunk := next(self._chunks, b"")):
            self._watch.remaining_s()
            self._left += chunk
        piece, self._left = self._left[:size], self._left[size:]
        return piece
