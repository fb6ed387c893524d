"""
What a running infer says of itself: `.status/infer/<name>.json` in the models volume.

Docker's own health check says "healthy" as well where no service has begun yet, so both are asked.
"""

import json
from dataclasses import dataclass

from app.fleet.docker_host.connection import Connection
from app.fleet.docker_host.containers import Found, is_of_this_run
from app.fleet.docker_host.volume_files import read_small_file
from app.fleet.host import Watch
from app.fleet.service import MODELS_FOLDER, NAME_VARIABLE
from app.status import FOLDER
from app.text import masked, printable

_MAX_BYTES = 1 << 20
_WORKS = ("ready", "degraded")  # the latter: a camera is away, say, and is asked for until it is back
_MOST_SHOWN = 500


@dataclass(frozen=True)
class ServiceHealth:
    state: str
    why: str = ""

    @property
    def works(self) -> bool:
        return self.state in _WORKS


def read_service_health(connection: Connection, found: Found, watch: Watch) -> ServiceHealth | None:
    """None: it has said nothing since the container was last started."""
    name = found.environment.get(NAME_VARIABLE, "")
    if not name or "/" in name:
        return None
    path = f"{MODELS_FOLDER}/{FOLDER}/infer/{name}.json"
    data = read_small_file(connection, found.id, path, _MAX_BYTES, watch)
    return parse_service_health(data, found) if data is not None else None


def parse_service_health(data: bytes, found: Found) -> ServiceHealth | None:
    """None also for what another container, or this one before it was started again, has said."""
    try:
        values = json.loads(data)
        is_own = values["host"] == found.hostname and is_of_this_run(str(values["started"]), found)
        state, why = str(values["state"]), [str(reason) for reason in values["why"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return ServiceHealth(state, masked(printable("; ".join(why)[:_MOST_SHOWN]))) if is_own else None
