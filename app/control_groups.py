"""The kernel's control groups that this process is in: how containers are limited. Files under an injectable root."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from app.device import read_text


def groups(controller: str, root: Path = Path("/")) -> Iterator[tuple[Path, int]]:
    """
    Folder and version (1 or 2) of this process's groups for `memory` or `cpu`, and of all that hold them.

    Sources: the kernel's admin-guide/cgroup-v2.rst and admin-guide/cgroup-v1.
    """
    for line in read_text(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            mount, version = root / "sys/fs/cgroup", 2
        elif controller in controllers.split(","):
            mount, version = root / "sys/fs/cgroup" / controller, 1
        else:
            continue
        own = PurePosixPath("/") / path
        # In a container the path may be that of the host, of which only the mount itself is seen.
        for group in (own, *own.parents):
            if ".." not in group.parts:
                yield mount / group.relative_to("/"), version
