"""The lock over HTTP, against volumes that behave as Docker's do: made once, and never changed."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler
from threading import Barrier, Lock, Thread
from typing import Any
from urllib.parse import unquote

import pytest

from app.errors import FleetError
from app.fleet.base import LABEL, Holder
from app.fleet.docker_host.connection import Connection
from app.fleet.docker_host.lease import Lease, holder_in
from tests.doubles.docker_api import VERSION, answer, docker_api
from tests.fleet.docker_host.watch import StepWatch

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=timezone.utc)


class Volumes:
    """`volume create` returns the volume of that name if there is one, with its labels as they were."""

    def __init__(self) -> None:
        self.labels: dict[str, dict[str, str] | None] = {}
        self._lock = Lock()

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        path = unquote(handler.path.partition("?")[0]).partition("/volumes")[2]
        size = int(handler.headers.get("Content-Length") or 0)
        asked = json.loads(handler.rfile.read(size) or b"{}")
        with self._lock:
            if handler.command == "POST":
                self.labels.setdefault(asked["Name"], asked["Labels"])
                answer(json.dumps(self._volume(asked["Name"])), 201)(handler)
            elif handler.command == "DELETE":
                gone = self.labels.pop(path.strip("/"), None) is None
                answer('{"message": "no such volume"}' if gone else "", 404 if gone else 204)(handler)
            else:
                answer(json.dumps({"Volumes": [self._volume(name) for name in self.labels], "Warnings": None}))(handler)

    def _volume(self, name: str) -> dict[str, object]:
        return {"Name": name, "Labels": self.labels[name]}


@pytest.fixture
def volumes() -> Volumes:
    return Volumes()


@pytest.fixture
def address(volumes: Volumes) -> Iterator[str]:
    with docker_api({"/version": VERSION, "": volumes}) as api:
        yield api.address


@pytest.fixture
def lease(address: str) -> Iterator[Lease]:
    connection = Connection(address)
    yield Lease(connection)
    connection.close()


def held_by(token: str, seconds: float = 120) -> Holder:
    return Holder(f"{token}@desk", token, NOW + timedelta(seconds=seconds))


def take(lease: Lease, token: str, seconds: float = 120) -> None:
    lease.take(held_by(token, seconds), NOW, "f", StepWatch())


def test_the_second_operator_is_told_who_holds_it(lease: Lease) -> None:
    take(lease, "ann")
    with pytest.raises(FleetError) as raised:
        take(lease, "bob")
    assert "ann@desk works on it" in raised.value.message
    assert "12:02:00" in raised.value.message
    lease.release(held_by("ann"))
    take(lease, "bob")
    assert lease.holder(StepWatch()) == held_by("bob")


def test_prolonging_leaves_one_lock_that_ends_later(lease: Lease, volumes: Volumes) -> None:
    for seconds in (120, 160, 200):
        take(lease, "ann", seconds)
    assert list(volumes.labels) == ["jetsmith-lock-3"]
    assert lease.holder(StepWatch()) == held_by("ann", 200)


def test_what_a_killed_run_held_is_taken_over_once_it_is_over(lease: Lease, volumes: Volumes) -> None:
    take(lease, "ann", -1)
    take(lease, "bob")
    assert lease.holder(StepWatch()) == held_by("bob")
    with pytest.raises(FleetError, match="bob@desk works on it"):  # ann was slow, not dead
        take(lease, "ann", 120)
    lease.release(held_by("ann"))
    assert lease.holder(StepWatch()) == held_by("bob")
    lease.release(held_by("bob"))
    assert volumes.labels == {}


def test_who_took_a_lock_that_was_given_back_meanwhile_does_not_hold_it_too(lease: Lease, volumes: Volumes) -> None:
    """Ann has seen that carol's sixth is over; before she asks for the seventh, carol lets go and bob begins at one."""
    take(lease, "carol", -1)
    volumes.labels["jetsmith-lock-6"] = volumes.labels.pop("jetsmith-lock-1")
    create = lease._create

    def late(*arguments: Any) -> bool:
        lease._create = create  # type: ignore[method-assign]
        lease.release(held_by("carol"))
        take(lease, "bob")
        return create(*arguments)

    lease._create = late  # type: ignore[assignment, method-assign]
    with pytest.raises(FleetError, match="bob@desk works on it"):
        take(lease, "ann")
    assert list(volumes.labels) == ["jetsmith-lock-1"]


def test_a_list_that_is_none_is_nobodys() -> None:
    assert holder_in({"Volumes": 5}) is None


def test_a_lock_from_a_wrong_clock_holds_nobody_up_for_days(lease: Lease) -> None:
    take(lease, "ann", 86_400)
    take(lease, "bob")
    assert lease.holder(StepWatch()) == held_by("bob")


@pytest.mark.parametrize("until", ["", "soon", "2026-11-23T11:00:00", "-1"])
def test_a_lock_that_cannot_be_read_holds_nobody_up(lease: Lease, volumes: Volumes, until: str) -> None:
    volumes.labels["jetsmith-lock-7"] = {LABEL: "f", f"{LABEL}.until": until}
    take(lease, "ann")
    assert lease.holder(StepWatch()) == held_by("ann")
    assert "jetsmith-lock-8" in volumes.labels


@pytest.mark.parametrize("labels", [None, {}, {"other": "x"}])
def test_somebody_elses_volume_is_left_alone(lease: Lease, volumes: Volumes, labels: dict[str, str] | None) -> None:
    volumes.labels["jetsmith-lock-1"] = labels
    with pytest.raises(FleetError, match="jetsmith did not make"):
        take(lease, "ann")
    assert volumes.labels == {"jetsmith-lock-1": labels}


def test_names_that_only_look_alike_are_no_locks(lease: Lease, volumes: Volumes) -> None:
    volumes.labels["my-jetsmith-lock-9"] = volumes.labels["jetsmith-lock-x"] = None
    take(lease, "ann")
    assert "jetsmith-lock-1" in volumes.labels


@pytest.mark.parametrize("told", [None, [], {}, {"Volumes": None}, {"Volumes": [1, None, {"Name": 3}]}])
def test_what_is_no_list_of_volumes_holds_no_lock(told: object) -> None:
    assert holder_in(told) is None


@pytest.mark.parametrize("before", ["none", "over"])
def test_of_many_at_once_one_gets_it(address: str, volumes: Volumes, before: str) -> None:
    """And the others are told whom to ask."""
    if before == "over":
        volumes.labels["jetsmith-lock-4"] = {LABEL: "f", f"{LABEL}.until": (NOW - timedelta(1)).isoformat()}
    got: list[str] = []
    refused: list[str] = []
    barrier = Barrier(8)

    def try_it(token: str) -> None:
        connection = Connection(address)
        barrier.wait()
        try:
            take(Lease(connection), token)
            got.append(token)
        except FleetError as error:
            refused.append(error.message)
        connection.close()

    threads = [Thread(target=try_it, args=(f"t{index}",)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1
    assert refused == [message for message in refused if f"{got[0]}@desk works on it" in message]
    assert len(refused) == 7
