"""The way from the command line to the room that speaks Docker; loaded only when it is needed."""

import getpass
import importlib.util
import os
import socket
from collections.abc import Callable

from app.errors import BackendUnavailable
from app.fleet.base import Device, Image, Target
from app.fleet.donors import Donors
from app.fleet.host import Host


def require_docker() -> None:
    """
    Raises:
        BackendUnavailable: a library is missing.
    """
    for package in ("docker", "paramiko"):
        if importlib.util.find_spec(package) is None:
            raise BackendUnavailable(
                f"The Python package {package} is missing, which speaks to the devices",
                hint="pip install -e '.[fleet]' in the project's folder",
            )


def opener(device: Device, fleet: str, target: Target | None, donors: Donors | None = None) -> Callable[[], Host]:
    """
    What opens the device in its own thread.

    Args:
        target: None where only what is there is wanted.
        donors: where engines are shared.
    """

    def open_it() -> Host:
        from app.fleet.docker_host.host import DockerHost

        return DockerHost(device.address, fleet, target, donors)

    return open_it


def resolve_image(name: str, is_pulled: bool) -> Image:
    from app.fleet.docker_host.images import resolve

    return resolve(name, is_pulled=is_pulled)


def operator() -> str:
    """Who is told to hold a device: user@machine."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a numeric user that no file names, as in a container
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
