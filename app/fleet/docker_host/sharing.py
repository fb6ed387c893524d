"""
`--share-engines`: a device takes a copy of the engine that one of its kind has built.

Who is alike is guessed here, by the work, the module and L4T. The device itself compares the whole identity, verifies
the copy as it would its own, and builds its own where that fails.
"""

import re
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath

from app.engines.manifest import MAX_BYTES, Manifest
from app.errors import EngineError, FleetError
from app.fleet.base import FILES_FOLDER, BoardFacts, File, Role, Slot, Target
from app.fleet.docker_host.connection import Connection
from app.fleet.docker_host.files import Files
from app.fleet.docker_host.volume_files import copy_file, read_link, read_small_file
from app.fleet.docker_host.waiting import Within, meanwhile
from app.fleet.donors import Donor, Donors
from app.fleet.host import Watch
from app.fleet.service import ENGINE_VARIABLE, MODELS_FOLDER
from app.fleet.target import file_for_device
from app.types import Backend

_INCOMING = f"{FILES_FOLDER}/incoming"
_STORED = re.compile(r"engines/[a-z0-9][a-z0-9.-]{0,59}/[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_MOST_BYTES = 8 << 30
_FETCH_S = 1800.0


class Sharing:
    """
    Args:
        files: of the device that takes.
    """

    def __init__(self, donors: Donors, files: Files) -> None:
        self._donors, self._files = donors, files

    def offer(self, target: Target, board: BoardFacts, watch: Watch) -> None:
        """
        Lay another device's engine ready for the converter; where that fails it is said, and nothing is lost.

        Raises:
            FleetError: the device that would take it is lost, full or stopped.
        """
        donor = self._donors.find(target, board)
        if donor is None:
            return
        with tempfile.TemporaryDirectory(prefix="jetsmith-") as folder:
            fetched = self._fetched(donor, target, Path(folder), watch)
            if isinstance(fetched, FleetError):
                watch.update(f"{donor.name}'s engine is not shared, an own one is built: {fetched.message}")
                return
            for file in fetched:
                self._files.put(file, watch)
        watch.update(f"{donor.name}'s engine is there, to be verified")

    def _fetched(self, donor: Donor, target: Target, folder: Path, watch: Watch) -> tuple[File, ...] | FleetError:
        """On a connection and with a time of its own: only the donor's failures may be passed over."""
        connection, time = Connection(donor.address), Within(min(_FETCH_S, watch.remaining_s()))

        def work() -> tuple[File, ...] | FleetError:
            try:
                return tuple(_fetch(connection, target, folder, time))
            except FleetError as error:
                return error

        with closing(connection):
            said = f"{donor.name}'s engine is fetched"
            return meanwhile(work, watch, tick=lambda: watch.update(said), cancel=connection.close)


def _fetch(connection: Connection, target: Target, folder: Path, watch: Watch) -> Iterator[File]:
    """
    Engine first, manifest last: the converter takes nothing without one.

    Raises:
        FleetError: the donor is lost, or what it has is no engine.
    """
    alias = str(target.specs[Role.CONVERTER].arguments["environment"][ENGINE_VARIABLE])
    path, manifest_path = _stored(connection, alias, watch)
    text = read_small_file(connection, Slot.CONVERTER.value, manifest_path, MAX_BYTES, watch)
    try:
        manifest = Manifest.from_json(text or b"", "the donor's manifest")
    except EngineError as error:
        raise FleetError(error.message, hint=error.hint) from error
    if manifest.engine != PurePosixPath(path).name or manifest.size > _MOST_BYTES:
        raise FleetError("the donor's manifest belongs to another engine", hint="Apply again.")
    engine, beside = folder / manifest.engine, folder / PurePosixPath(manifest_path).name
    copy_file(connection, Slot.CONVERTER.value, path, engine, manifest.size, watch)
    beside.write_bytes(text or b"")
    for copy in (engine, beside):
        digest = file_for_device(copy).digest
        if copy == engine and digest != manifest.sha256:
            raise FleetError("the donor's engine was altered", hint="On it: jetsmith convert --force-convert")
        yield File(f"{_INCOMING}/{manifest.identity.key}/{copy.name}", digest, copy)


def _stored(connection: Connection, alias: str, watch: Watch) -> tuple[str, str]:
    """Where the engine of this stable name lies in the donor's store, and its manifest."""
    for backend in Backend:
        name = alias.removesuffix(".engine") + backend.suffix
        link = read_link(connection, Slot.CONVERTER.value, name, watch)
        if link is not None and _STORED.fullmatch(link) and link.endswith(backend.suffix):
            path = f"{MODELS_FOLDER}/{link}"
            return path, path.removesuffix(backend.suffix) + ".json"
    raise FleetError("the donor has no engine of that name any more", hint="Apply again.")
