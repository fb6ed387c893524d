"""One file into the models volume: whole or not at all, and with its owner."""

import io
import re
import tarfile
from collections.abc import Iterator
from threading import Event

from app.errors import FleetError
from app.fleet.base import FILES_FOLDER, MODELS_VOLUME, File
from app.fleet.docker_host import once
from app.fleet.docker_host.connection import Connection
from app.fleet.docker_host.on_device import NOT_WHOLE, NOT_WRITABLE
from app.fleet.docker_host.volumes import ensure_volumes, give_volumes, mount
from app.fleet.docker_host.waiting import Within, meanwhile
from app.fleet.host import Watch
from app.fleet.service import MODELS_FOLDER

_ARRIVING = f"{FILES_FOLDER}/arriving"
_LONGEST_S = 3600.0
_SILENT_S = 300.0
_CHUNK = 1 << 20
_MIB = 1 << 20


class Files:
    """
    Args:
        image: that is there, to give the file its name.
        user: "uid:gid" that the services run as.
    """

    def __init__(self, connection: Connection, fleet: str, image: str, user: str) -> None:
        self._connection, self._fleet, self._image, self._user = connection, fleet, image, user

    def put(self, file: File, watch: Watch) -> None:
        ensure_volumes(self._connection, self._fleet, watch)
        exit_code = self._put(file, watch)
        if exit_code == NOT_WRITABLE:
            give_volumes(self._connection, self._image, self._user, self._fleet, watch)
            exit_code = self._put(file, watch)
        if exit_code == NOT_WRITABLE:
            raise FleetError(
                f"user {self._user} may not write into the volume {MODELS_VOLUME}",
                hint="Is JETSMITH_UID another than at first? The files in the volume belong to that user.",
            )
        if exit_code == NOT_WHOLE:
            raise FleetError(
                f"{file.source.name} did not arrive as it is",
                hint="Was it changed here meanwhile? Is the device's disk well (dmesg)? Run it again.",
            )

    def _put(self, file: File, watch: Watch) -> int:
        asked = {
            "models": MODELS_FOLDER,
            "arrived": f"{_ARRIVING}/{file.digest}",
            "place": file.path,
            "digest": file.digest,
        }
        arguments = {"user": self._user, "mounts": [mount(MODELS_VOLUME, MODELS_FOLDER)]}
        command = once.program("settle", asked)
        with once.created(self._connection, self._image, command, watch, fleet=self._fleet, **arguments) as container:
            self._send(container, file, watch)
            ended = once.run(self._connection, container, watch)
        if ended.exit_code not in (0, NOT_WRITABLE, NOT_WHOLE):
            why = ended.complained.splitlines()[-1] if ended.complained else f"exit {ended.exit_code}"
            raise FleetError(
                f"{file.source.name} could not be put in its place: {why}", hint="Look at the device's disk."
            )
        return ended.exit_code

    def _send(self, container: str, file: File, watch: Watch) -> None:
        there, cancelled = self._connection.twin(), Event()
        sent = [0]

        def work() -> None:
            with there.request(Within(_LONGEST_S), at_most_s=_SILENT_S) as client:
                client.api.put_archive(container, MODELS_FOLDER, _counted(_archive(file, self._user), sent, cancelled))

        def cancel() -> None:
            cancelled.set()
            there.close()

        def tick() -> None:
            watch.update(f"{file.source.name}: {sent[0] // _MIB} MiB are sent")

        try:
            meanwhile(work, watch, tick=tick, cancel=cancel)
        finally:
            there.close()


def _counted(chunks: Iterator[bytes], sent: list[int], cancelled: Event) -> Iterator[bytes]:
    for chunk in chunks:
        if cancelled.is_set():
            raise FleetError("it was stopped", hint="Run it again.")
        yield chunk
        sent[0] += len(chunk)


def _archive(file: File, user: str) -> Iterator[bytes]:
    """
    A tar with the folders on the way, all of them the user's.

    Raises:
        FleetError: the file cannot be read here.
    """
    owner = owner_of(user)
    yield _header(FILES_FOLDER, tarfile.DIRTYPE, 0, owner) + _header(_ARRIVING, tarfile.DIRTYPE, 0, owner)
    try:
        with file.source.open("rb") as source:
            size = source.seek(0, io.SEEK_END)
            source.seek(0)
            yield _header(f"{_ARRIVING}/{file.digest}", tarfile.REGTYPE, size, owner)
            left = size
            while left and (chunk := source.read(min(_CHUNK, left))):
                left -= len(chunk)
                yield chunk
            yield b"\0" * left  # it grew shorter; its digest tells
    except OSError as error:
        raise FleetError(f"{file.source} cannot be read: {error.strerror}", hint="Is it still there?") from error
    yield b"\0" * (-size % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE)


def owner_of(user: str) -> tuple[int, int]:
    """
    Raises:
        FleetError: it is none in numbers.
    """
    found = re.fullmatch(r"([0-9]{1,10})(?::([0-9]{1,10}))?", user)
    if found is None:
        raise FleetError(
            f"user {user} is none in numbers",
            hint="JETSMITH_UID and JETSMITH_GID under env in the fleet file: what id -u and id -g say on the device.",
        )
    return int(found[1]), int(found[2] or found[1])


def _header(name: str, kind: bytes, size: int, owner: tuple[int, int]) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size, (info.uid, info.gid) = kind, size, owner
    info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    return info.tobuf(tarfile.USTAR_FORMAT)
