"""A device behind its Docker, as `app.fleet.host.Host` says."""

from datetime import datetime, timedelta, timezone

from app.errors import FleetError
from app.fleet.base import BoardFacts, File, Holder, Image, Observed, Role, Slot, Target
from app.fleet.docker_host.connection import Connection
from app.fleet.docker_host.containers import Containers
from app.fleet.docker_host.conversion import Conversion
from app.fleet.docker_host.files import Files
from app.fleet.docker_host.images import Images
from app.fleet.docker_host.lease import Lease
from app.fleet.docker_host.observe import Look
from app.fleet.docker_host.services import Services
from app.fleet.docker_host.sharing import Sharing
from app.fleet.docker_host.waiting import Within
from app.fleet.donors import Donors
from app.fleet.host import Watch

_LOGS_S = 60.0


class DockerHost:
    """
    Args:
        fleet: the name that everything on the device carries.
        target: None where the device is only looked at, or goes back.
        donors: of the run, where engines are shared.
    """

    def __init__(self, address: str, fleet: str, target: Target | None = None, donors: Donors | None = None) -> None:
        self._fleet, self._target, self._donors = fleet, target, donors
        self._connection = Connection(address)
        self._containers = Containers(self._connection)
        self._lease = Lease(self._connection)
        self._look = Look(self._connection, fleet, target)
        self._conversion = Conversion(self._connection, lambda target, watch: self._look.probe(target, watch).engine)
        self._services = Services(self._connection)
        self._clock_off_s = 0.0

    def observe(self, watch: Watch) -> Observed:
        try:
            seen = self._look.observe(watch)
        except FleetError as error:
            return Observed(error=error.message, hint=error.hint)
        self._clock_off_s = seen.clock_off_s
        if self._donors is not None and self._target is not None:
            self._donors.tell(self._target, seen)
        return seen

    def lock(self, holder: Holder, watch: Watch) -> None:
        now = datetime.now(timezone.utc) + timedelta(seconds=self._clock_off_s)
        self._lease.take(holder, now, self._fleet, watch)

    def unlock(self, holder: Holder) -> None:
        self._lease.release(holder)

    def load_image(self, image: Image, watch: Watch) -> None:
        registry = self._target.device.registry if self._target else ""
        wanted = [one.on_device for one in self._target.images.values()] if self._target else []
        Images(self._connection, registry, wanted).load(image, watch)

    def probe(self, target: Target, watch: Watch) -> BoardFacts:
        return self._look.probe(target, watch).board

    def put_file(self, file: File, watch: Watch) -> None:
        if self._target is None:
            raise ValueError("a file without a target")
        self._files(self._target).put(file, watch)

    def _files(self, target: Target) -> Files:
        user = str(target.specs[Role.INFER].arguments["user"])
        return Files(self._connection, self._fleet, target.images[Role.INFER].on_device, user)

    def convert(self, target: Target, watch: Watch) -> None:
        if self._donors is not None and self._conversion.under_way(target, watch) is None:
            Sharing(self._donors, self._files(target)).offer(target, self.probe(target, watch), watch)
        self._conversion.convert(target, watch)

    def verify(self, target: Target, watch: Watch) -> None:
        self._conversion.verify(target, watch)

    def stop_infer(self, watch: Watch) -> None:
        self._services.stop_infer(watch)

    def start_next(self, target: Target, watch: Watch) -> None:
        self._services.start_next(target, watch)

    def start_previous(self, watch: Watch) -> None:
        self._services.start_previous(watch)

    def switch(self, watch: Watch) -> None:
        self._services.switch(watch)

    def restore(self, watch: Watch) -> None:
        self._services.restore(watch)

    def logs(self, slot: Slot, lines: int) -> str:
        watch = Within(_LOGS_S)
        found = self._containers.find(slot, watch)
        return self._containers.logs(found, lines, watch) if found else ""

    def close(self) -> None:
        self._connection.close()
