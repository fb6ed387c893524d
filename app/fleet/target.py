"""What a device shall be, resolved to digests: docker-compose.yml, a preset, a settings file, weights, images."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from app.errors import FleetError
from app.fleet.base import FILES_FOLDER, Device, File, Image, Role, Target, digest_of
from app.fleet.compose import read_services
from app.fleet.service import Placed, service_specs

_FAMILY = re.compile(r"jetpack(\d+)")
_CHUNK = 1 << 20
_VERSION_CHARS = 12
_NAME_CHARS = 64 - 1 - _VERSION_CHARS  # of a service's name: `infer.name` takes 64


@dataclass(frozen=True)
class Wanted:
    """What the settings file and the preset of a device say, as plain values."""

    variables: Mapping[str, str]  # of docker-compose.yml: the preset's, the device's over them
    family: str  # what the images are made for
    settings: File
    weights: File | None  # None: the converter fetches them
    base_model: str
    engine: str  # the stem of its stable name
    input_size: tuple[int, int]
    service: str  # its name in `jetsmith status`


def file_for_device(source: Path) -> File:
    """
    Raises:
        FleetError: it cannot be read.
    """
    sha256 = hashlib.sha256()
    try:
        with source.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                sha256.update(chunk)
    except OSError as error:
        raise FleetError(
            f"{source} cannot be read: {error.strerror}", hint="Check that path, and who may read it."
        ) from error
    digest = sha256.hexdigest()
    return File(f"{FILES_FOLDER}/{digest}/{_plain(source.name)}", digest, source)


def image_names(compose: str, variables: Mapping[str, str]) -> Mapping[Role, str]:
    services = read_services(compose, variables)
    return {role: str(services[role.value]["image"]) for role in Role}


def target_of(device: Device, wanted: Wanted, images: Mapping[Role, Image], compose: str, *, fleet: str) -> Target:
    """
    Args:
        compose: the text of docker-compose.yml.

    Raises:
        FleetError: docker-compose.yml says something that no container of a fleet can be given.
    """
    files = (wanted.settings, *([wanted.weights] if wanted.weights else []))
    placed = Placed(
        wanted.settings.path,
        wanted.weights.path if wanted.weights else "",
        wanted.base_model,
        input_size=wanted.input_size,
    )
    bare = service_specs(compose, wanted.variables, placed, fleet=fleet)
    made_from = [bare[Role.CONVERTER].digest, images[Role.CONVERTER].digest, *(file.digest for file in files)]
    version = digest_of(made_from)[:_VERSION_CHARS]
    serving = digest_of([version, bare[Role.INFER].digest, images[Role.INFER].digest])[:_VERSION_CHARS]
    placed = replace(placed, engine=f"{_plain(wanted.engine)}-{version}.engine")
    serves = replace(placed, name=f"{_plain(wanted.service)[:_NAME_CHARS]}-{serving}")  # two of one name cannot run
    specs = {
        Role.CONVERTER: service_specs(compose, wanted.variables, placed, fleet=fleet)[Role.CONVERTER],
        Role.INFER: service_specs(compose, wanted.variables, serves, fleet=fleet)[Role.INFER],
    }
    family = _FAMILY.fullmatch(wanted.family)
    return Target(
        device,
        images,
        files,
        specs,
        runtime=str(specs[Role.INFER].arguments.get("runtime", "")),
        jetpack=int(family[1]) if family else None,
    )


def _plain(name: str) -> str:
    """Fit for a path, a variable and a shell, and never a hidden file."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip("._-") or "model"
