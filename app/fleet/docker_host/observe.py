"""One look at a device: what its Docker tells, and what a container that sees the device tells."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

from app.errors import DeviceLost, FleetError
from app.fleet.base import MODELS_VOLUME, Image, Observed, Role, Slot, Target
from app.fleet.docker_host import once
from app.fleet.docker_host.connection import Connection
from app.fleet.docker_host.containers import Containers, Found
from app.fleet.docker_host.errors import not_docker
from app.fleet.docker_host.images import OURS
from app.fleet.docker_host.lease import PREFIX, holder_in
from app.fleet.docker_host.probe import BOARD_FILES, Answer, Asked, probe
from app.fleet.docker_host.told import tables_in, text_in, texts_in, value_in
from app.fleet.docker_host.volumes import has_volume, mount
from app.fleet.host import Watch
from app.fleet.service import ENGINE_VARIABLE, MODELS_FOLDER

_SLOTS = (Slot.CONVERTER, Slot.VERIFIER, Slot.CURRENT, Slot.NEXT, Slot.PREVIOUS)
_RUNTIME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_USER = "1000:1000"  # of the images
_MOST_VERSION = 64
_LAST_YEAR = 2200  # of a clock: beyond it, reckoning with it may overflow
_MOST_TRIED = 4  # images, until one runs


class Look:
    """
    Args:
        target: None where only what is there is wanted.
    """

    def __init__(self, connection: Connection, fleet: str, target: Target | None) -> None:
        self._connection, self._fleet, self._target = connection, fleet, target
        self._containers = Containers(connection)

    def observe(self, watch: Watch) -> Observed:
        """
        Raises:
            FleetError: it cannot be looked at.
        """
        info = self._info(watch)
        tags = self._tags(watch)
        found = self._found(watch)
        seen = Observed(
            docker=str(info.get("ServerVersion", ""))[:_MOST_VERSION],
            runtimes=_runtimes(info.get("Runtimes")),
            clock_off_s=_clock_off(info.get("SystemTime")),
            images=frozenset(f"sha256:{match['hex']}" for match in tags.values()),
            containers={slot: one.container for slot, one in found.items()},
            holder=holder_in(self._volumes(watch)),
        )
        now = datetime.now(timezone.utc) + timedelta(seconds=seen.clock_off_s)
        once.remove_leftovers(self._connection, now, watch)
        answer = self._probed(tags, found, watch)
        if answer is None:
            return seen
        return replace(seen, board=answer.board, files=answer.files, engine=answer.engine)

    def probe(self, target: Target, watch: Watch) -> Answer:
        """With an image of the target's, which is there."""
        alias = str(target.specs[Role.CONVERTER].arguments["environment"].get(ENGINE_VARIABLE, ""))
        asked = Asked(target.images[Role.INFER].on_device, self._arguments({}, watch), alias=alias)
        return probe(self._connection, asked, self._fleet, watch)

    # --- what Docker tells ---

    def _info(self, watch: Watch) -> Mapping[str, Any]:
        told: Any = self._connection.ask(watch, lambda client: client.api.info())
        if not isinstance(told, dict):
            raise not_docker("it tells nothing of itself")
        return told

    def _tags(self, watch: Watch) -> Mapping[str, "re.Match[str]"]:
        """The images that came by this way, by the names that containers are made with."""
        listed: Any = self._connection.ask(watch, lambda client: client.api.images())
        return {tag: match for tag in texts_in(listed, "RepoTags") if (match := OURS.fullmatch(tag))}

    def _found(self, watch: Watch) -> Mapping[Slot, Found]:
        listed: Any = self._connection.ask(watch, lambda client: client.api.containers(all=True))
        names = texts_in(listed, "Names")
        there = [slot for slot in _SLOTS if f"/{slot.value}" in names]
        found = ((slot, self._containers.find(slot, watch)) for slot in there)
        return {slot: one for slot, one in found if one is not None}

    def _volumes(self, watch: Watch) -> Any:
        return self._connection.ask(watch, lambda client: client.api.volumes(filters={"name": PREFIX}))

    # --- what a container tells ---

    def _probed(self, tags: Mapping[str, "re.Match[str]"], found: Mapping[Slot, Found], watch: Watch) -> Answer | None:
        """
        By the first image that can.

        None: there is none but older ones, and none of these can.

        Raises:
            FleetError: not even the target's own can.
        """
        own = [image.on_device for image in self._wanted() if image.on_device in tags]
        candidates = [*own, *(tag for tag in sorted(tags) if tag not in own)]
        if not candidates:
            return None
        arguments = self._arguments(found, watch)
        problems: list[FleetError] = []
        for image in candidates[:_MOST_TRIED]:
            asked = Asked(image, arguments, self._files(), _alias(found))
            try:
                return probe(self._connection, asked, self._fleet, watch)
            except DeviceLost:
                raise
            except FleetError as error:
                problems.append(error)
            watch.remaining_s()
        if len(own) == len(Role):
            raise problems[0]
        return None

    def _wanted(self) -> Iterator[Image]:
        if self._target is not None:
            yield from (self._target.images[role] for role in (Role.INFER, Role.CONVERTER))

    def _files(self) -> list[str]:
        return [file.path for file in self._target.files] if self._target else []

    def _arguments(self, found: Mapping[Slot, Found], watch: Watch) -> dict[str, Any]:
        """The user and the board's files of the services, by the target, else by a service that is there."""
        made_of = self._target.specs[Role.INFER].arguments if self._target else self._as_made(found, watch)
        mounts = [one for one in made_of.get("mounts", ()) if one.get("Target") in BOARD_FILES]
        if has_volume(self._connection, MODELS_VOLUME, watch):
            mounts.append(mount(MODELS_VOLUME, MODELS_FOLDER, read_only=True))
        return {"user": str(made_of.get("user", _USER)), "mounts": mounts}

    def _as_made(self, found: Mapping[Slot, Found], watch: Watch) -> dict[str, Any]:
        one = found.get(Slot.CURRENT) or found.get(Slot.CONVERTER)
        if one is None:
            return {}
        told: Any = self._connection.ask(watch, lambda client: client.api.inspect_container(one.id))
        mounts = tables_in(value_in(told, "HostConfig", "Mounts"))
        return {"user": text_in(told, "Config", "User") or _USER, "mounts": mounts}


def _alias(found: Mapping[Slot, Found]) -> str:
    """Each version of a device has its own, and the last conversion tells which."""
    converter = found.get(Slot.CONVERTER)
    return converter.environment.get(ENGINE_VARIABLE, "") if converter else ""


def _runtimes(told: Any) -> tuple[str, ...]:
    return tuple(sorted(name for name in told if _RUNTIME.fullmatch(name))) if isinstance(told, dict) else ()


def _clock_off(told: Any) -> float:
    """
    Seconds that its clock is ahead of ours.

    Raises:
        FleetError: it tells no time.
    """
    try:
        there = datetime.fromisoformat(_microseconds(str(told)))
    except ValueError as error:
        raise not_docker("it tells no time") from error
    if there.tzinfo is None or there.year > _LAST_YEAR:
        raise not_docker("it tells no time")
    return (there - datetime.now(timezone.utc)).total_seconds()


def _microseconds(text: str) -> str:
    """Python 3.10 reads neither nanoseconds nor a Z."""
    found = re.fullmatch(r"([0-9T:-]{19})(?:\.([0-9]+))?(Z|[+-][0-9]{2}:[0-9]{2})", text)
    if found is None:
        return text
    fraction = (found[2] or "")[:6].ljust(6, "0")
    return f"{found[1]}.{fraction}{found[3].replace('Z', '+00:00')}"
