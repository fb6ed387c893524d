"""The lock of one device: volumes whose labels say who holds it until when. How and why: ../README.md."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from docker.errors import NotFound

from app.errors import FleetError
from app.fleet.base import LABEL, Holder
from app.fleet.docker_host.connection import Connection
from app.fleet.docker_host.told import table_in, tables_in, value_in
from app.fleet.docker_host.waiting import Within
from app.fleet.host import Watch

PREFIX = "jetsmith-lock-"
_NAME = re.compile(rf"{PREFIX}([0-9]{{1,12}})")
_OPERATOR, _TOKEN, _UNTIL = f"{LABEL}.operator", f"{LABEL}.token", f"{LABEL}.until"
_RACES = 5
_UNLOCK_S = 15.0


@dataclass(frozen=True)
class _Lock:
    number: int
    holder: Holder

    @property
    def name(self) -> str:
        return f"{PREFIX}{self.number}"


class Lease:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def take(self, holder: Holder, now: datetime, fleet: str, watch: Watch) -> None:
        """
        Take the lock, or prolong one's own.

        Args:
            now: by the device's clock.

        Raises:
            FleetError: somebody else holds it.
        """
        for _ in range(_RACES):
            number = self._refuse_others(holder, now, watch) + 1
            if self._create(number, holder, fleet, watch):
                if self._is_alone(number, holder, now, watch):
                    self._remove_own(holder.token, watch, below=number)
                    return
                self._remove(f"{PREFIX}{number}", watch)
        raise FleetError("others take and leave this device all the time", hint="Wait, then run it again.")

    def release(self, holder: Holder) -> None:
        self._remove_own(holder.token, Within(_UNLOCK_S))

    def holder(self, watch: Watch) -> Holder | None:
        return holder_in(self._connection.ask(watch, lambda client: client.api.volumes(filters={"name": PREFIX})))

    def _refuse_others(self, holder: Holder, now: datetime, watch: Watch) -> int:
        """The number of the lock that is in force, or was; what is over is removed by who takes it next."""
        locks = self._locks(watch)
        if not locks:
            return 0
        last = locks[-1]
        if last.holder.token != holder.token and not last.holder.is_over(now):
            raise FleetError(
                f"{last.holder.operator} works on it, at least until {last.holder.until:%H:%M:%S} UTC by its clock",
                hint="Wait until that run is over, or ask. What a killed run held is free two minutes later.",
            )
        for lock in locks[:-1]:
            self._remove(lock.name, watch)
        return last.number

    def _create(self, number: int, holder: Holder, fleet: str, watch: Watch) -> bool:
        """Whether it is ours: Docker returns the volume of that name if there is one."""
        labels = {LABEL: fleet, _OPERATOR: holder.operator, _TOKEN: holder.token, _UNTIL: holder.until.isoformat()}
        with self._connection.request(watch) as client:
            made: Any = client.api.create_volume(f"{PREFIX}{number}", labels=labels)
        return bool(table_in(made, "Labels").get(_TOKEN) == holder.token)

    def _is_alone(self, number: int, holder: Holder, now: datetime, watch: Watch) -> bool:
        """The newest, and no older one is somebody's: who found none, when a last one was given back, began at 1."""
        locks = self._locks(watch)
        others = [lock.holder for lock in locks if lock.holder.token != holder.token]
        return bool(locks) and locks[-1].number == number and all(other.is_over(now) for other in others)

    def _remove_own(self, token: str, watch: Watch, *, below: int | None = None) -> None:
        for lock in self._locks(watch):
            if lock.holder.token == token and (below is None or lock.number < below):
                self._remove(lock.name, watch)

    def _remove(self, name: str, watch: Watch) -> None:
        with self._connection.request(watch) as client:
            try:
                client.api.remove_volume(name)
            except NotFound:
                return

    def _locks(self, watch: Watch) -> list[_Lock]:
        return locks_in(self._connection.ask(watch, lambda client: client.api.volumes(filters={"name": PREFIX})))


def holder_in(told: Any) -> Holder | None:
    """Who holds a device, or did last, by its list of volumes."""
    locks = locks_in(told)
    return locks[-1].holder if locks else None


def locks_in(told: Any) -> list[_Lock]:
    """In the order of their numbers."""
    found = (_lock(volume) for volume in tables_in(value_in(told, "Volumes")))
    return sorted((lock for lock in found if lock is not None), key=lambda lock: lock.number)


def _lock(volume: Mapping[str, Any]) -> _Lock | None:
    name = _NAME.fullmatch(str(volume.get("Name")))
    if name is None:
        return None
    labels = table_in(volume, "Labels")
    if LABEL not in labels:
        raise FleetError(
            f"a volume {name.group()} is there that jetsmith did not make",
            hint=f"Remove it on the device: docker volume rm {name.group()}",
        )
    return _Lock(int(name[1]), Holder(str(labels.get(_OPERATOR, "somebody")), str(labels.get(_TOKEN)), _until(labels)))


def _until(labels: Mapping[str, Any]) -> datetime:
    """One that cannot be read was not written by jetsmith, and holds nobody up."""
    try:
        until = datetime.fromisoformat(str(labels.get(_UNTIL)))
    except ValueError:
        return datetime.min.replace(tzinfo=timezone.utc)
    return until if until.tzinfo else until.replace(tzinfo=timezone.utc)
