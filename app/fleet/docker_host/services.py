"""
The infer of one device: the next one beside the current one, then in its place; or back.

Each call to Docker does one arrow of the picture in ../README.md, so whatever ends this leaves a state of its table.
"""

import time

from app.errors import FleetError
from app.fleet.base import LABEL_SPEC, Role, Slot, Target
from app.fleet.docker_host.connection import Connection
from app.fleet.docker_host.containers import Containers, Found
from app.fleet.docker_host.service_health import ServiceHealth, read_service_health
from app.fleet.host import Watch
from app.fleet.service import NAME_VARIABLE

_POLL_S = 1.0
_PATIENCE_S = 120.0
_MOST_CRASHES = 3
_SOURCES_S = 20.0  # that the new infer gets to take the sources over; it goes on trying after


class Services:
    def __init__(
        self, connection: Connection, *, sources_s: float = _SOURCES_S, patience_s: float = _PATIENCE_S
    ) -> None:
        self._connection, self._sources_s, self._patience_s = connection, sources_s, patience_s
        self._containers = Containers(connection)

    def stop_infer(self, watch: Watch) -> None:
        for slot in (Slot.CURRENT, Slot.NEXT):
            found = self._containers.find(slot, watch)
            if found is not None and found.container.is_running:
                self._containers.stop(found, watch)

    def start_next(self, target: Target, watch: Watch) -> None:
        after = self._containers.find(Slot.NEXT, watch)
        if after is not None and after.container.label(LABEL_SPEC) != target.infer:
            self._containers.remove(Slot.NEXT, watch)
            after = None
        if after is None:
            image = target.images[Role.INFER].on_device
            labels = {LABEL_SPEC: target.infer}
            after = self._containers.create(Slot.NEXT, target.specs[Role.INFER].arguments, image, labels, watch)
        self._containers.start(after, watch)

    def start_previous(self, watch: Watch) -> None:
        after = self._containers.find(Slot.NEXT, watch)
        if after is None:
            after = self._containers.find(Slot.PREVIOUS, watch)
            if after is None:
                raise FleetError(
                    "the infer that ran before is gone",
                    hint="Put the older settings into the fleet file, and apply that.",
                )
            self._containers.rename(after, Slot.NEXT, watch)
        self._containers.start(after, watch)

    def switch(self, watch: Watch) -> None:
        """The current one is only stopped for one that is healthy, even if without the camera that both want."""
        after, current = (self._containers.find(slot, watch) for slot in (Slot.NEXT, Slot.CURRENT))
        if after is None:
            self._wait(Slot.CURRENT, watch)
            return
        is_in_the_way = current is not None and _name(current) == _name(after)  # of one name only one can run
        if not is_in_the_way:
            self._wait(Slot.NEXT, watch)
        if current is not None:
            self._containers.stop(current, watch)
            if is_in_the_way and current.container.is_running:
                self._containers.restart(after, watch)  # what it was refused until now is forgotten
        self._wait(Slot.NEXT, watch, sources_s=self._sources_s)
        if current is not None:
            self._containers.remove(Slot.PREVIOUS, watch)
            self._containers.rest(current, watch)
            self._containers.rename(current, Slot.PREVIOUS, watch)
        self._containers.rename(after, Slot.CURRENT, watch)

    def restore(self, watch: Watch) -> None:
        current, after = (self._containers.find(slot, watch) for slot in (Slot.CURRENT, Slot.NEXT))
        if current is None and after is not None:
            self._containers.rename(after, Slot.CURRENT, watch)
            current, after = after, None
        if current is not None:
            self._containers.start(current, watch)
        if after is not None and current is not None:
            self._put_away(after, current, watch)

    def _put_away(self, after: Found, current: Found, watch: Watch) -> None:
        """One that is older came from `start_previous`: it stays the way back."""
        is_older = after.container.created < current.container.created
        if is_older and self._containers.find(Slot.PREVIOUS, watch) is None:
            self._containers.stop(after, watch)
            self._containers.rest(after, watch)
            self._containers.rename(after, Slot.PREVIOUS, watch)
        else:
            if after.container.is_running:
                self._containers.stop(after, watch)  # it says so in its status, and nobody takes it for hung
            self._containers.remove(Slot.NEXT, watch)

    # --- how it fares ---

    def _wait(self, slot: Slot, watch: Watch, *, sources_s: float = 0.0) -> None:
        """
        Until it is healthy by its own word and by Docker's. A source that is away is no reason to go back.

        Args:
            sources_s: for all sources to be there.
        """
        crashes, began = _Crashes(), time.monotonic()
        while True:
            waited_s = time.monotonic() - began
            found, health = self._look(slot, crashes, watch, patient=waited_s < self._patience_s)
            is_complete = health.state == "ready" or waited_s >= sources_s
            if health.works and found.container.is_healthy and is_complete:
                return
            time.sleep(min(_POLL_S, watch.remaining_s()))

    def _look(self, slot: Slot, crashes: "_Crashes", watch: Watch, *, patient: bool) -> tuple[Found, ServiceHealth]:
        """
        Args:
            patient: with Docker's check where the service itself says that it works; a busy board answers late.

        Raises:
            FleetError: it has ended, crashes again and again, or is unhealthy.
        """
        found = self._containers.find(slot, watch)
        if found is None:
            raise FleetError(f"{slot.value} is gone", hint="Does somebody else work on the device?")
        health = read_service_health(self._connection, found, watch) or ServiceHealth("starting")
        is_unhealthy = found.container.health == "unhealthy"
        doubt = f", its health check: {found.check or 'fails'}" if is_unhealthy else ""
        watch.update(f"infer is {health.state}{f': {health.why}' if health.why else ''}{doubt}")
        crashed = crashes.since(found)
        if not found.container.is_running:
            raise self._failed(f"has ended with {found.container.exit_code}", found, health, watch)
        if crashed >= _MOST_CRASHES:
            raise self._failed("does not stay up", found, health, watch)
        if is_unhealthy and not crashed and not (patient and health.works):
            raise self._failed("is unhealthy", found, health, watch)
        return found, health

    def _failed(self, what: str, found: Found, health: ServiceHealth, watch: Watch) -> FleetError:
        check = found.check if found.container.health == "unhealthy" and found.container.is_running else ""
        said = check or health.why or self._containers.last_words(found, watch) or "it said nothing"
        return FleetError(
            f"the infer {what}: {said}",
            hint="Mend what it names, and apply again. What ran before was left or brought back.",
        )


def _name(found: Found) -> str:
    return found.environment.get(NAME_VARIABLE, "")


class _Crashes:
    """How often a container was started anew while it was watched."""

    def __init__(self) -> None:
        self._at_first: int | None = None

    def since(self, found: Found) -> int:
        if self._at_first is None:
            self._at_first = found.restarts
        return found.restarts - self._at_first
