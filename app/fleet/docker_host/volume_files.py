"""Small files that a container on the device wrote, read through Docker's archives."""

import io
import tarfile

from docker.errors import NotFound

from app.errors import FleetError
from app.fleet.docker_host.connection import Connection
from app.fleet.host import Watch

_TAR_OVERHEAD = 64 << 10  # headers, and what pads them


def read_small_file(connection: Connection, container: str, path: str, at_most: int, watch: Watch) -> bytes | None:
    """
    None: there is none, or it is no regular file of at most so many bytes.

    Args:
        container: its id; it need not run.
    """
    with connection.request(watch) as client:
        try:
            chunks, _ = client.api.get_archive(container, path)
        except NotFound:
            return None
        whole = bytearray()
        for chunk in chunks:
            whole += chunk
            if len(whole) > at_most + _TAR_OVERHEAD:
                raise FleetError(f"{path} there is larger than it can be", hint="Remove it on the device.")
    return _only_file(bytes(whole), at_most)


def _only_file(archive: bytes, at_most: int) -> bytes | None:
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
            member = tar.next()
            if member is None or not member.isreg() or member.size > at_most:
                return None
            file = tar.extractfile(member)
            return file.read(at_most) if file else None
    except (tarfile.TarError, ValueError):
        return None
