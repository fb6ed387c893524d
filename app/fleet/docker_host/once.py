"""Containers that live for seconds: to look, to give a file its name, to give a folder its owner."""

import json
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from docker.errors import NotFound

from app.errors import FleetError
from app.fleet.base import LABEL, Slot
from app.fleet.docker_host.connection import Connection
from app.fleet.docker_host.containers import read
from app.fleet.docker_host.told import tables_in
from app.fleet.docker_host.waiting import Within
from app.fleet.host import Watch

LABEL_ONCE = f"{LABEL}.once"
LEFT_AFTER_S = 900.0  # longer than any of them may take: then a killed run left it
_SOURCE = Path(__file__).with_name("on_device.py")
_MOST_SAID = 4 << 20
_CLEAN_S = 15.0
_FIRST_POLL_S, _LAST_POLL_S = 0.1, 1.0
_HARDENED: Mapping[str, Any] = {  # as docker-compose.yml has its services, and no network
    "network_mode": "none",
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "init": True,
    "log_config": {"type": "json-file", "config": {"max-size": "10m"}},
    "healthcheck": {"test": ["NONE"]},
    "use_config_proxy": False,
}


@dataclass(frozen=True)
class Ended:
    exit_code: int
    said: bytes
    complained: str


def program(verb: str, asked: Mapping[str, Any]) -> list[str]:
    """`on_device.py` for the Python of an image, whatever else the image has."""
    return ["python3", "-I", "-c", _SOURCE.read_text(encoding="utf-8"), verb, json.dumps(asked)]


@contextmanager
def created(
    connection: Connection, image: str, command: list[str], watch: Watch, *, fleet: str, **arguments: Any
) -> Iterator[str]:
    """The id of a container that is not started yet; it goes at the end, come what may."""
    own = {
        "name": f"{Slot.PROBE.value}-{secrets.token_hex(4)}",
        "labels": {LABEL: fleet, LABEL_ONCE: "yes"},
        "entrypoint": command[:1],
        "command": command[1:],
    }
    with connection.request(watch) as client:
        made = client.containers.create(image, **{**_HARDENED, **arguments, **own})
    try:
        yield str(made.id)
    finally:
        with suppress(FleetError):  # what is left goes with the next look
            _remove(connection, str(made.id), Within(_CLEAN_S))


def run(connection: Connection, container: str, watch: Watch) -> Ended:
    """Start it, and wait for its end."""
    with connection.request(watch) as client:
        client.api.start(container)
    pause = _FIRST_POLL_S
    while True:
        found = read(connection.ask(watch, lambda client: client.api.inspect_container(container))).container
        if found.state in ("exited", "dead"):
            return Ended(found.exit_code, _log(connection, container, watch), _complaint(connection, container, watch))
        time.sleep(min(pause, watch.remaining_s()))
        pause = min(pause * 1.5, _LAST_POLL_S)


def remove_leftovers(connection: Connection, now: datetime, watch: Watch) -> None:
    """
    Args:
        now: by the device's clock.
    """
    asked = {"label": LABEL_ONCE}
    listed: Any = connection.ask(watch, lambda client: client.api.containers(all=True, filters=asked))
    for one in tables_in(listed):
        made, name = one.get("Created"), one.get("Id")
        if isinstance(made, int) and isinstance(name, str) and now.timestamp() - made > LEFT_AFTER_S:
            _remove(connection, name, watch)


def _remove(connection: Connection, container: str, watch: Watch) -> None:
    with connection.request(watch) as client, suppress(NotFound):
        client.api.remove_container(container, force=True, v=False)


def _log(connection: Connection, container: str, watch: Watch) -> bytes:
    said: Any = connection.ask(watch, lambda client: client.api.logs(container, stdout=True, stderr=False))
    return said[: _MOST_SAID + 1] if isinstance(said, bytes) else b""


def _complaint(connection: Connection, container: str, watch: Watch) -> str:
    said: Any = connection.ask(watch, lambda client: client.api.logs(container, stdout=False, stderr=True, tail=5))
    return said[-1000:].decode(errors="replace").strip() if isinstance(said, bytes) else ""
