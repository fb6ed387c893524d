"""
This project's containers on one device, by their slots.

What Docker tells of them comes from the device, so nothing of it is taken for what it ought to be.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from docker.errors import APIError, NotFound

from app.errors import FleetError
from app.fleet.base import LABEL, Container, Slot
from app.fleet.docker_host.connection import Connection
from app.fleet.docker_host.told import table_in, text_in, value_in
from app.fleet.host import Watch
from app.text import masked, printable

LABEL_RESTART = f"{LABEL}.restart"  # the policy while it serves; the previous one has none, or a reboot would start it
STOP_S = 30  # as stop_grace_period of docker-compose.yml
_CONFLICT = 409
_NEVER = "0001-01-01"  # Docker's word for a moment that was not yet
_LAST_LINES = 15
_MOST_SHOWN = 1500


@dataclass(frozen=True)
class Found:
    """One container, as Docker tells of it."""

    id: str
    container: Container
    hostname: str = ""
    started: str = ""  # UTC, ISO 8601, by the device's clock; empty: never
    restarts: int = 0
    is_out_of_memory: bool = False
    check: str = ""  # what the last health check said
    environment: Mapping[str, str] = field(default_factory=dict)


class Containers:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(self, slot: Slot, watch: Watch) -> Found | None:
        """
        Raises:
            FleetError: there is one of that name, and it is not this project's.
        """

        def inspected(client: Any) -> Any:
            try:
                return client.api.inspect_container(slot.value)
            except NotFound:
                return None

        told = self._connection.ask(watch, inspected)
        if told is None:
            return None
        found = read(told)
        if LABEL not in found.container.labels:
            raise FleetError(
                f"a container {slot.value} is there that jetsmith did not make",
                hint=f"Rename or remove it on the device: docker rename {slot.value} …",
            )
        return found

    def create(
        self, slot: Slot, arguments: Mapping[str, Any], image: str, labels: Mapping[str, str], watch: Watch
    ) -> Found:
        """
        Args:
            arguments: of `Spec`; mounts and the log's are as Docker's API has them, which the SDK hands on.
            image: in the place of the one that `arguments` name.
        """
        restart = arguments.get("restart_policy", {}).get("Name", "no")
        own = {
            "image": image,
            "name": slot.value,
            "labels": {**arguments.get("labels", {}), **labels, LABEL_RESTART: restart},
            "use_config_proxy": False,  # the operator's own proxies, maybe with a password, are not the device's
        }
        with self._connection.request(watch) as client:
            client.containers.create(**{**arguments, **own})
        made = self.find(slot, watch)
        if made is None:
            raise FleetError(f"{slot.value} is gone again", hint="Does somebody else work on the device?")
        return made

    def start(self, found: Found, watch: Watch) -> None:
        """It is started again after a crash or a reboot, if what it was made from says so."""
        self._restart(found, found.container.label(LABEL_RESTART) or "no", watch)
        with self._connection.request(watch) as client:
            (client.api.unpause if found.container.state == "paused" else client.api.start)(found.id)

    def stop(self, found: Found, watch: Watch) -> None:
        with self._connection.request(watch) as client:
            client.api.stop(found.id, timeout=STOP_S)

    def restart(self, found: Found, watch: Watch) -> None:
        """Its health check begins anew, too."""
        with self._connection.request(watch) as client:
            client.api.restart(found.id, timeout=STOP_S)

    def rest(self, found: Found, watch: Watch) -> None:
        """A reboot must not start it."""
        self._restart(found, "no", watch)

    def _restart(self, found: Found, policy: str, watch: Watch) -> None:
        setting: Any = {"Name": policy, "MaximumRetryCount": 0}
        with self._connection.request(watch) as client:
            client.api.update_container(found.id, restart_policy=setting)

    def rename(self, found: Found, slot: Slot, watch: Watch) -> None:
        with self._connection.request(watch) as client:
            client.api.rename(found.id, slot.value)

    def remove(self, slot: Slot, watch: Watch) -> None:
        """Whether it runs or not; does nothing where there is none."""
        while (found := self.find(slot, watch)) is not None:
            with self._connection.request(watch) as client:
                try:
                    client.api.remove_container(found.id, force=True)
                except NotFound:
                    return
                except APIError as error:  # somebody's removal is under way
                    if error.status_code != _CONFLICT:
                        raise
            time.sleep(0.2)

    def last_words(self, found: Found, watch: Watch) -> str:
        """Its remarks, not its results, and short enough for a message."""
        return self.logs(found, _LAST_LINES, watch, results=False)[-_MOST_SHOWN:].strip()

    def logs(self, found: Found, lines: int, watch: Watch, *, results: bool = True) -> str:
        with self._connection.request(watch) as client:
            said = client.api.logs(found.id, tail=lines, stdout=results)
        text = said.decode(errors="replace") if isinstance(said, bytes) else ""
        return masked(printable(text, keep="\n"))


def read(told: Any) -> Found:
    """What `inspect` tells; whatever is missing or of another kind counts as not told."""
    state, config = table_in(told, "State"), table_in(told, "Config")
    exit_code, restarts = state.get("ExitCode"), value_in(told, "RestartCount")
    container = Container(
        state=text_in(state, "Status"),
        image=text_in(told, "Image"),
        health=_health(state),
        exit_code=exit_code if isinstance(exit_code, int) else -1,
        created=text_in(told, "Created"),
        labels={str(name): str(value) for name, value in table_in(config, "Labels").items()},
    )
    return Found(
        id=text_in(told, "Id"),
        container=container,
        hostname=text_in(config, "Hostname"),
        started="" if text_in(state, "StartedAt").startswith(_NEVER) else text_in(state, "StartedAt"),
        restarts=restarts if isinstance(restarts, int) else 0,
        is_out_of_memory=state.get("OOMKilled") is True,
        check=_last_check(state),
        environment=_environment(config.get("Env")),
    )


def is_of_this_run(told: str, found: Found) -> bool:
    """Whether something was begun at or after the container's last start; both by the device's clock."""
    try:
        return _moment(told) >= _moment(found.started)
    except (ValueError, TypeError):  # no moment, or one without a zone
        return False


def _moment(text: str) -> datetime:
    """Docker tells nanoseconds and Z, which Python 3.10 does not read."""
    whole, _, fraction = text.removesuffix("Z").removesuffix("+00:00").partition(".")
    return datetime.fromisoformat(f"{whole}.{fraction[:6]:0<6}+00:00")


def _health(state: Mapping[str, Any]) -> str:
    health = text_in(table_in(state, "Health"), "Status")
    return "" if health == "none" else health


def _last_check(state: Mapping[str, Any]) -> str:
    log = table_in(state, "Health").get("Log")
    said = text_in(log[-1], "Output") if isinstance(log, list) and log else ""
    return masked(printable(said[:_MOST_SHOWN].strip()))


def _environment(entries: Any) -> dict[str, str]:
    pairs = (str(entry).partition("=") for entry in entries or ()) if isinstance(entries, list | None) else ()
    return {name: value for name, _, value in pairs}
