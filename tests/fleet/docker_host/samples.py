"""A target of one small image that every role has: what the room under test needs of it, and no more."""

import hashlib
from pathlib import Path

from app.fleet.base import Device, File, Image, Role, Spec, Target
from app.fleet.target import file_for_device

USER = "1001:1002"


def target(image: Image, *sources: Path, address: str = "unix:///x", user: str = USER, registry: str = "") -> Target:
    device = Device("d", address, "cpu", "cpu", Path("c.yaml"), registry=registry)
    arguments = {"image": image.name, "user": user, "mounts": [], "environment": {}}
    return Target(
        device,
        images=dict.fromkeys(Role, image),
        files=tuple(file_for_device(source) for source in sources),
        specs={role: Spec(role, arguments) for role in Role},
    )


def file_in(folder: Path, text: str = "weights", name: str = "w.pt") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def placed(source: Path) -> File:
    made: File = file_for_device(source)
    assert made.digest == hashlib.sha256(source.read_bytes()).hexdigest()
    return made
