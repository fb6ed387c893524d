"""
`get_settings()`: the settings of this process, from four places.

Defaults < YAML file < environment (`JETSMITH_VISION__YOLO__INPUT_SIZE=320,320`) < flags of the command line.
Everything is checked at once, and every mistake is told with its key, value, place and what is allowed.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from app.errors import SettingsError
from app.text import masked_value
from config import _model
from config._fields import PROJECT_ROOT
from config._reference import (
    ENV_PREFIX,
    Setting,
    allowed,
    decode,
    keys_in,
    leaves,
    nearest,
    nearest_key,
    nearest_variable,
    sections,
    settings_reference,
    variable,
)
from config.schema import Settings

__all__ = ["PROJECT_ROOT", "Setting", "Settings", "get_settings", "load_settings", "settings_reference"]

CONFIG_VARIABLE = "JETSMITH_CONFIG"  # another YAML file
_OF_COMPOSE = """
    BOARD_COMPATIBLE BOARD_MODEL BOARD_RELEASE BUILD_NETWORK CAMERA CAMERA_SOCKET CA_BUNDLE CPU_BASE
    CUDA_ARCHITECTURES DRIVER_CAPABILITIES FAMILY GID GPUS GPU_BASE INFER_EXTRAS JETPACK6_BASE JETPACK7_BASE
    L4T_APT L4T_CUDA L4T_RELEASE MEDIA MODELS NETWORK OUTPUT PIP_CONF PIP_EXTRA_INDEX_URL PIP_INDEX_URL
    POWER_MODE POWER_MODES REGISTRY RENDER_GID RESTART REVISION RUNTIME TAG TMP_SIZE TORCH_INDEX_URL UID VERSION
    VIDEO_GID
"""  # variables of docker-compose.yml
NOT_SETTINGS = frozenset(
    {
        CONFIG_VARIABLE,
        "JETSMITH_TEST_DATA",  # where the tests find weights and pictures
        "JETSMITH_PYTHON",  # the interpreter of the scripts
        *(f"JETSMITH_{name}" for name in _OF_COMPOSE.split()),
    }
)
_LONGEST_VALUE = 80
_MOST_TOLD = 20


@lru_cache(maxsize=8)
def get_settings(config: Path | None = None) -> Settings:
    """
    The settings, read once; `get_settings.cache_clear()` forgets them.

    Raises:
        SettingsError: as `load_settings`.
    """
    return load_settings(config)


def load_settings(
    config: Path | None = None, overrides: Mapping[str, Any] | None = None, *, environment: bool = True
) -> Settings:
    """
    Read all places and check the result; without `environment`, as another machine would see the file.

    `config` names the YAML file (else JETSMITH_CONFIG does, else config/config.yaml if it is there), `overrides`
    are flags by dotted key: None counts as not given, a text is read as in the environment, and relative paths
    start at the project root, as everywhere.

    Raises:
        SettingsError: a file cannot be read, or a setting is unknown or wrong; all mistakes are in the message.
    """
    problems: list[str] = []
    variables = _environment_layer(problems) if environment else _Layer()
    layers = (_file_layer(config, problems), variables, _flag_layer(overrides, problems))
    merged = _model.merge(layer.values for layer in layers)
    origins = {key: place for layer in layers for key, place in layer.places.items() if key in merged}
    settings = _validate(_model.complete(merged, PROJECT_ROOT / "models"), origins, problems)
    if settings is None or problems:
        raise _error(problems)
    return settings


@dataclass
class _Layer:
    values: dict[str, Any] = field(default_factory=dict)  # dotted key -> value
    places: dict[str, str] = field(default_factory=dict)  # dotted key -> where a reader finds it

    def add(self, key: str, value: Any, place: str) -> None:
        self.values[key] = value
        self.places[key] = place


def _file_layer(config: Path | None, problems: list[str]) -> _Layer:
    layer = _Layer()
    path = _config_path(config)
    if path is not None:
        from config._yaml import read_yaml  # PyYAML takes 30 ms to import

        content = read_yaml(path)
        _flatten(content.values, "", _Places(_shown(path), content.lines), layer, problems)
    return layer


def _config_path(config: Path | None) -> Path | None:
    named = config or os.environ.get(CONFIG_VARIABLE)
    if not named:
        default = PROJECT_ROOT / "config" / "config.yaml"
        return None if _is_absent(default) else default
    try:
        path = Path(named).expanduser()
    except RuntimeError as error:  # `~name` of a user whom this machine does not know
        raise SettingsError(f"{named}: {error}", hint="Write the path out.") from error
    return path if config is not None else PROJECT_ROOT / path


def _is_absent(path: Path) -> bool:
    try:
        path.lstat()
    except FileNotFoundError:
        return True
    except OSError:  # it may well be there: reading it says what is wrong
        return False
    return False


@dataclass(frozen=True)
class _Places:
    file: str
    lines: Mapping[str, int]

    def __getitem__(self, key: str) -> str:
        return f"{self.file}, line {self.lines[key]}"


def _flatten(values: Mapping[str, Any], prefix: str, places: _Places, layer: _Layer, problems: list[str]) -> None:
    for name, value in values.items():
        key = prefix + name
        if len(problems) >= _MOST_TOLD:  # some other program's file
            return
        if "." not in name and key in leaves():
            layer.add(key, value, places[key])
        elif "." in name or key not in sections():
            problems.append(_unknown(key, value, places[key]))
        elif isinstance(value, dict):
            _flatten(value, f"{key}.", places, layer, problems)
        elif value is not None:  # a section whose keys are all commented out is null
            problems.append(_wrong(key, value, places[key], f"a section with the keys {_names(key)}"))


def _environment_layer(problems: list[str]) -> _Layer:
    layer = _Layer()
    names = [name for name in os.environ if name.upper().startswith(ENV_PREFIX)]
    names = [name for name in names if name.upper() not in NOT_SETTINGS]
    known = set(map(variable, leaves()))
    problems += [_unknown_variable(name) for name in names if name.upper() not in known]
    if not any(name.upper() in known for name in names):
        return layer
    from config._environment import read_environment

    for key, text in read_environment().items():
        layer.add(key, decode(key, text), f"environment, {variable(key)}")
    return layer


def _flag_layer(overrides: Mapping[str, Any] | None, problems: list[str]) -> _Layer:
    layer = _Layer()
    for key, value in (overrides or {}).items():
        if key not in leaves():
            problems.append(_unknown(key, value, "command line"))
        elif value is not None:
            layer.add(key, decode(key, value) if isinstance(value, str) else value, "command line")
    return layer


def _validate(flat: Mapping[str, Any], origins: Mapping[str, str], problems: list[str]) -> Settings | None:
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        *path, name = key.split(".")
        section = nested
        for part in path:
            section = section.setdefault(part, {})
        section[name] = value
    try:
        return Settings.model_validate(nested)
    except ValidationError as error:
        details = {_leaf(item["loc"]): item.get("ctx", {}).get("error", "") for item in error.errors()}
    # A value that was derived from a wrong one is wrong too: the user can only mend what was written.
    written = [key for key in details if key in origins] or list(details)
    for key in written:
        place = origins.get(key, "derived from the other settings")
        problems.append(_wrong(key, flat.get(key), place, allowed(key), str(details[key])))
    return None


def _leaf(location: tuple[int | str, ...]) -> str:
    parts = [str(part) for part in location]
    return next(key for end in range(len(parts), 0, -1) if (key := ".".join(parts[:end])) in leaves())


def _wrong(key: str, value: Any, place: str, permitted: str, detail: str = "") -> str:
    choices = [word.strip(" ,") for word in permitted.replace(" or ", ", ").split(",")]
    close = nearest(value.strip().upper(), [c.upper() for c in choices]) if isinstance(value, str) else None
    meant = next((choice for choice in choices if choice.upper() == close and " " not in choice), None)
    suggestion = f" Did you mean {meant}?" if meant else ""
    is_open = not isinstance(value, str) or masked_value(value) == value  # else the detail may quote what is masked
    reason = f" ({detail})" if detail and is_open else ""
    return f"{place}: {key} is {_repr(value)}{reason}; allowed: {permitted}.{suggestion}"


def _unknown(key: str, value: Any, place: str) -> str:
    section = key.rpartition(".")[0]
    close = nearest_key(key)
    suggestion = f" Did you mean {close}?" if close else ""
    inside = f"allowed in {section}" if section in sections() else "allowed"
    names = _names(section if section in sections() else "")
    return f"{place}: {_text(key)} (= {_repr(value)}) is no setting; {inside}: {names}.{suggestion}"


def _unknown_variable(name: str) -> str:
    close = nearest_variable(name, NOT_SETTINGS)
    suggestion = f" Did you mean {close}?" if close else ""
    return (
        f"environment: {_text(name)} (= {_repr(os.environ[name])}) is no setting; "
        f"allowed: a key with {ENV_PREFIX} before it and __ for each dot.{suggestion}"
    )


def _names(section: str) -> str:
    return ", ".join(keys_in(section))


def _repr(value: Any) -> str:
    if value is None:
        return "null"
    try:
        text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    except ValueError:  # Python prints no integer of more than 4300 digits
        return "a number of thousands of digits"
    text = masked_value(text)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def _text(key: str) -> str:
    """A key that is a word as it is, any other quoted."""
    return key if key.isprintable() and len(key) <= _LONGEST_VALUE else _repr(key)


def _shown(path: Path) -> str:
    return str(path.relative_to(PROJECT_ROOT)) if path.is_relative_to(PROJECT_ROOT) else str(path)


def _error(problems: list[str]) -> SettingsError:
    hint = "Correct it there, or leave the key out for its default."
    if len(problems) == 1:
        return SettingsError(problems[0], hint=hint)
    listed = "".join(f"\n  {problem}" for problem in problems)
    more = " or more" if len(problems) >= _MOST_TOLD else ""
    return SettingsError(f"{len(problems)}{more} settings are wrong:{listed}", hint=hint.replace("it", "them", 1))
