"""
What converter and infer are made from on a device: docker-compose.yml, in the words of the Docker SDK.

Compose and a fleet differ in three points alone. The models and the output lie in volumes instead of folders of the
checkout; the settings and weights of a device lie in the models volume, too; and every object carries the labels.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.errors import FleetError
from app.fleet.base import LABEL, MODELS_VOLUME, OUTPUT_VOLUME, Role, Spec
from app.fleet.compose import read_services

MODELS_FOLDER = "/opt/jetsmith/models"
_VOLUMES = {MODELS_FOLDER: MODELS_VOLUME, "/output": OUTPUT_VOLUME}
_LEFT_OUT = re.compile(
    r"(/opt/jetsmith)?/config(/.*)?|/media"
)  # folders of the checkout; the settings come another way, pictures do not come at all
_AS_IT_IS = (
    *("image", "entrypoint", "command", "user", "runtime", "network_mode", "read_only", "cap_drop", "security_opt"),
    *("init", "working_dir", "stop_signal"),
)
_NOT_OF_A_CONTAINER = ("build", "depends_on", "stop_grace_period")  # the last is said with each stop
SETTINGS_VARIABLE = "JETSMITH_CONFIG"
BASE_MODEL_VARIABLE = "JETSMITH_VISION__YOLO__MODEL_SOURCE__BASE_MODEL"
ENGINE_VARIABLE = "JETSMITH_VISION__YOLO__MODEL_PATH"
SIZE_VARIABLE = "JETSMITH_VISION__YOLO__INPUT_SIZE"
NAME_VARIABLE = "JETSMITH_INFER__NAME"
WEIGHTS_VARIABLE = "JETSMITH_VISION__YOLO__MODEL_SOURCE__PT_MODEL_PATH"


@dataclass(frozen=True)
class Placed:
    """
    Where the device's own files are, as paths in the models volume, and what is this version's alone.

    Variables that name other weights than the settings file take the place of its whole model, so all of it is named.
    """

    settings: str
    weights: str = ""  # empty: the converter fetches them
    base_model: str = ""  # as the settings name it
    engine: str = ""
    input_size: tuple[int, int] | None = None
    name: str = ""  # of the service


def service_specs(compose: str, variables: Mapping[str, str], placed: Placed, *, fleet: str) -> Mapping[Role, Spec]:
    """
    Args:
        compose: the text of docker-compose.yml.
        variables: of the preset, and the device's over them.

    Raises:
        FleetError: docker-compose.yml says something that no container of a fleet can be given.
    """
    services = read_services(compose, variables)
    missing = [role.value for role in Role if role.value not in services]
    if missing:
        raise _foreign(f"it has no service {missing[0]}")
    return {role: Spec(role, _arguments(services[role.value], placed, fleet)) for role in Role}


def _arguments(service: Mapping[str, Any], placed: Placed, fleet: str) -> dict[str, Any]:
    unknown = sorted(set(service) - set(_AS_IT_IS) - set(_NOT_OF_A_CONTAINER) - set(_TRANSLATED))
    if unknown:
        raise _foreign(f"the key {unknown[0]} of a service is not known to fleets")
    arguments = {key: service[key] for key in _AS_IT_IS if key in service}
    for key, (name, translate) in _TRANSLATED.items():
        if key in service:
            arguments[name] = translate(service[key])
    arguments["environment"] = {**arguments.get("environment", {}), **_own_environment(placed)}
    arguments["labels"] = {LABEL: fleet}
    return arguments


def _own_environment(placed: Placed) -> dict[str, str]:
    size = placed.input_size
    own = {
        SETTINGS_VARIABLE: f"{MODELS_FOLDER}/{placed.settings}",
        ENGINE_VARIABLE: f"{MODELS_FOLDER}/{placed.engine}" if placed.engine else "",
        NAME_VARIABLE: placed.name,
        WEIGHTS_VARIABLE: f"{MODELS_FOLDER}/{placed.weights}" if placed.weights else "",
        BASE_MODEL_VARIABLE: placed.base_model,
        SIZE_VARIABLE: f"{size[0]},{size[1]}" if size else "",
    }
    return {name: value for name, value in own.items() if value}


def _mounts(volumes: list[Any]) -> list[dict[str, Any]]:
    """In the words of Docker's API, which the SDK hands on."""
    mounts = (_mount(volume) for volume in volumes)
    return [mount for mount in mounts if mount is not None]


def _mount(volume: Any) -> dict[str, Any] | None:
    if not isinstance(volume, dict) or volume.get("type") != "bind":
        raise _foreign(f"the volume {volume} is not written out as a bind mount")
    source, target = str(volume["source"]), str(volume["target"])
    mount: dict[str, Any] = {"Target": target, "ReadOnly": bool(volume.get("read_only", False))}
    if source.startswith("/"):
        creates = bool(volume.get("bind", {}).get("create_host_path", True))
        return {**mount, "Type": "bind", "Source": source, "BindOptions": {"CreateMountpoint": creates}}
    if _LEFT_OUT.fullmatch(target):
        return None
    if target not in _VOLUMES:
        raise _foreign(f"{source} on {target} is a folder of the checkout, which a device does not have")
    return {**mount, "Type": "volume", "Source": _VOLUMES[target]}


def _tmpfs(entries: list[str]) -> dict[str, str]:
    return {path: options for path, _, options in (entry.partition(":") for entry in entries)}


def _devices(entries: list[str]) -> list[str]:
    """Always with path inside and permissions, as Compose completes them."""
    completed = ((entry, entry) if ":" not in entry else entry.split(":", 1) for entry in entries)
    return [f"{source}:{target if ':' in target else f'{target}:rwm'}" for source, target in completed]


def _log_config(logging: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": logging["driver"], "config": {key: str(value) for key, value in logging.get("options", {}).items()}}


def _restart(policy: str) -> dict[str, Any]:
    name, _, count = str(policy).partition(":")
    return {"Name": name, "MaximumRetryCount": int(count or 0)}


def _environment(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}


def _texts(values: list[Any]) -> list[str]:
    return [str(value) for value in values]


_TRANSLATED: Mapping[str, tuple[str, Any]] = {  # Compose's key -> the SDK's, and how its value is put
    "environment": ("environment", _environment),
    "volumes": ("mounts", _mounts),
    "tmpfs": ("tmpfs", _tmpfs),
    "devices": ("devices", _devices),
    "logging": ("log_config", _log_config),
    "restart": ("restart_policy", _restart),
    "group_add": ("group_add", _texts),
}


def _foreign(what: str) -> FleetError:
    return FleetError(f"docker-compose.yml: {what}", hint="Bring the file back as it came with jetsmith.")
