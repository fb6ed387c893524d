"""The two volumes of a device: made with the label, and given to the user that the services run as."""

from typing import Any

from docker.errors import NotFound

from app.errors import FleetError
from app.fleet.base import LABEL, MODELS_VOLUME, OUTPUT_VOLUME
from app.fleet.docker_host import once
from app.fleet.docker_host.connection import Connection
from app.fleet.docker_host.told import table_in
from app.fleet.host import Watch
from app.fleet.service import MODELS_FOLDER

_OUTPUT_FOLDER = "/output"


def mount(volume: str, folder: str, *, read_only: bool = False) -> dict[str, Any]:
    return {"Type": "volume", "Source": volume, "Target": folder, "ReadOnly": read_only}


def has_volume(connection: Connection, name: str, watch: Watch) -> bool:
    """
    Raises:
        FleetError: there is one of that name, and it is not this project's.
    """
    with connection.request(watch) as client:
        try:
            told: Any = client.api.inspect_volume(name)
        except NotFound:
            return False
    if LABEL not in table_in(told, "Labels"):
        raise FleetError(
            f"a volume {name} is there that jetsmith did not make",
            hint=f"If nothing needs it, remove it on the device: docker volume rm {name}",
        )
    return True


def ensure_volumes(connection: Connection, fleet: str, watch: Watch) -> None:
    """Docker makes a volume that is missing when it is mounted, but without the label."""
    for name in (MODELS_VOLUME, OUTPUT_VOLUME):
        if not has_volume(connection, name, watch):
            with connection.request(watch) as client:
                client.api.create_volume(name, labels={LABEL: fleet})


def give_volumes(connection: Connection, image: str, user: str, fleet: str, watch: Watch) -> None:
    """
    The one thing that runs as root on a device, with no right but this: a fresh volume belongs to root.

    The models go last, for they tell whether it was done.
    """
    folders = {OUTPUT_VOLUME: _OUTPUT_FOLDER, MODELS_VOLUME: MODELS_FOLDER}
    arguments = {
        "user": "0:0",
        "cap_add": ["CHOWN"],
        "mounts": [mount(volume, folder) for volume, folder in folders.items()],
    }
    command = ["chown", "--no-dereference", user, *folders.values()]
    with once.created(connection, image, command, watch, fleet=fleet, **arguments) as container:
        ended = once.run(connection, container, watch)
    if ended.exit_code:
        raise FleetError(
            f"the volumes cannot be given to user {user}: {ended.complained or f'exit {ended.exit_code}'}",
            hint="Does the device's Docker map users (userns-remap, rootless)? Then set JETSMITH_UID to one it knows.",
        )
