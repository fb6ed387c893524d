"""
`load_fleet()`: the inventory, checked whole before any device is touched.

Every mistake is told at once, each with its line. Nothing is looked up on the network.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from app.errors import SettingsError
from app.fleet.base import Device, Fleet
from app.text import masked_value
from config._addresses import canonical_address
from config._fields import PROJECT_ROOT
from config._presets import CHOSEN_PER_DEVICE, FAMILY, presets, read_preset, variables
from config._reference import nearest
from config._services import wrong_for_a_device
from config._yaml import YamlFile, parse_yaml, read_text

MAX_BYTES = 1 << 20  # thousands of devices
_MOST_TOLD = 20
_TOP = "fleet", "defaults", "groups", "devices"
_COMMON = "preset", "tag", "registry", "config", "labels", "env"
_OWN = "address", "group"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_REGISTRY = re.compile(r"[a-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5})?(/[a-z0-9._-]+)*/")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_FAMILIES = "jetpack6", "jetpack7", "gpu", "cpu"


def load_fleet(path: Path) -> Fleet:
    """
    Raises:
        SettingsError: the file cannot be read, or something in it is wrong; all mistakes are in the message.
    """
    return parse_fleet(read_text(path, MAX_BYTES), str(path))


def parse_fleet(text: str, source: str) -> Fleet:
    """As `load_fleet`; `source` stands for the file in messages."""
    return _Reader(parse_yaml(text, source), source).read()


class _Reader:
    def __init__(self, file: YamlFile, source: str) -> None:
        self._values, self._lines, self._texts, self._source = file.values, file.lines, file.texts, source
        self._problems: list[tuple[int, str]] = []
        self._configs: dict[str, str] = {}  # settings file -> what is wrong with it

    def read(self) -> Fleet:
        self._refuse_unknown(self._values, "", _TOP)
        name = self._name()
        defaults = self._part(self._values.get("defaults"), "defaults", _COMMON)
        groups = {
            key: self._part(value, f"groups.{key}", _COMMON) for key, value in self._names("groups", required=False)
        }
        devices = tuple(self._device(key, value, defaults, groups) for key, value in self._names("devices"))
        found = [device for device in devices if device is not None]
        self._refuse_shared_addresses(found)
        if self._problems:
            raise self._error()
        return Fleet(name, tuple(found))

    def _name(self) -> str:
        name = self._values.get("fleet")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            missing = "fleet" not in self._values
            what = "the key fleet is missing" if missing else f"fleet is {_shown(name)}"
            self._say("fleet", f"{what}; needed: a name of small letters, digits and -")
            return ""
        return name

    def _names(self, section: str, *, required: bool = True) -> Iterator[tuple[str, Any]]:
        values = self._values.get(section)
        if not isinstance(values, dict) or (required and not values):
            if required or values is not None:
                what = "is missing" if section not in self._values else f"is {_shown(values)}"
                self._say(section, f"{section} {what}; needed: names with what belongs to each under them")
            return
        for name, value in values.items():
            if not _NAME.fullmatch(name):
                self._say(f"{section}.{name}", f"{_shown(name)} is no name: small letters, digits and -, at most 63")
            else:
                yield name, value

    def _part(self, values: Any, place: str, allowed: tuple[str, ...]) -> dict[str, tuple[Any, str]]:
        """What a section says: key -> its value and where that stands."""
        if values is None:
            return {}
        if not isinstance(values, dict):
            self._say(place, f"{place} is {_shown(values)}; allowed: the keys {', '.join(allowed)}")
            return {}
        self._refuse_unknown(values, f"{place}.", allowed)
        said = {key: (value, f"{place}.{key}") for key, value in values.items() if key in allowed}
        return {key: pair for key, pair in said.items() if self._is_right(key, *pair)}

    def _refuse_unknown(self, values: Mapping[str, Any], prefix: str, allowed: tuple[str, ...]) -> None:
        for key in values:
            if key not in allowed:
                close = nearest(key, list(allowed))
                meant = f" Did you mean {close}?" if close else ""
                where = f" in {prefix[:-1]}" if prefix else ""
                self._say(f"{prefix}{key}", f"{_shown(key)} is no key{where}; allowed: {', '.join(allowed)}.{meant}")

    def _is_right(self, key: str, value: Any, place: str) -> bool:
        before = len(self._problems)
        wrong = _WRONG[key](value)
        if wrong:
            self._say(place, f"{place} is {_shown(value)}; allowed: {wrong}")
        elif key in ("labels", "env"):
            self._check_table(key, value, place)
        return len(self._problems) == before

    def _check_table(self, key: str, values: Mapping[str, Any], place: str) -> None:
        for name, value in values.items():
            inner = f"{place}.{name}"
            if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).isprintable():
                self._say(inner, f"{inner} is {_shown(value)}; allowed: a text in one line")
            elif key == "labels" and not _PLAIN.fullmatch(name):
                self._say(inner, f"{_shown(name)} is no label: letters, digits, dot, _ and -")
            elif key == "env" and name in CHOSEN_PER_DEVICE:
                self._say(inner, f"{name} does not belong into env: {CHOSEN_PER_DEVICE[name]}")
            elif key == "env" and name not in variables():
                close = nearest(name, sorted(variables()))
                meant = f" Did you mean {close}?" if close else ""
                self._say(inner, f"{_shown(name)} is no variable of docker-compose.yml.{meant}")

    def _device(
        self,
        name: str,
        value: Any,
        defaults: Mapping[str, tuple[Any, str]],
        groups: Mapping[str, Mapping[str, tuple[Any, str]]],
    ) -> Device | None:
        place = f"devices.{name}"
        before = len(self._problems)
        own = self._part({"address": value} if isinstance(value, str) else value, place, _OWN + _COMMON)
        group = own.get("group", ("", ""))[0]
        if group and group not in groups:
            close = nearest(group, list(groups))
            self._say(
                f"{place}.group", f"there is no group {_shown(group)}.{f' Did you mean {close}?' if close else ''}"
            )
        if "address" not in own and len(self._problems) == before:
            self._say(place, f"{place} has no address: ssh://user@host, unix:///path or tcp://host:port")
        if len(self._problems) > before:
            return None
        layers = (defaults, groups.get(group, {}), own)
        said = {key: pair for layer in layers for key, pair in layer.items()}
        for table in ("labels", "env"):
            said[table] = ({k: v for layer in layers for k, v in self._as_written(layer.get(table)).items()}, place)
        return self._completed(name, place, said)

    def _as_written(self, table: tuple[Any, str] | None) -> dict[str, str]:
        """YAML would make 8 of the rack `010`."""
        values, place = table or ({}, "")
        return {key: self._texts.get(f"{place}.{key}", str(value)) for key, value in values.items()}

    def _completed(self, name: str, place: str, said: Mapping[str, tuple[Any, str]]) -> Device | None:
        if "preset" not in said:
            self._say(place, f"{place} has no preset, nor have its group and the defaults: {', '.join(presets())}")
            return None
        preset, preset_place = said["preset"]
        usual = read_preset(preset)
        tag, tag_place = said.get("tag", (usual["JETSMITH_TAG"], preset_place))
        config, config_place = said.get("config", (usual.get("JETSMITH_CONFIG", "config/config.yaml"), preset_place))
        self._check_image(name, preset, tag, tag_place)
        self._check_config(config, config_place)
        return Device(
            name=name,
            address=canonical_address(said["address"][0])[0],
            preset=preset,
            tag=tag,
            config=PROJECT_ROOT / config,
            group=said.get("group", ("", ""))[0],
            registry=said.get("registry", ("", ""))[0] or "",
            labels=said["labels"][0],
            env=said["env"][0],
            line=self._lines[place],
        )

    def _check_image(self, name: str, preset: str, tag: str, place: str) -> None:
        """A tag is anyone's choice, but one that begins with another preset's name is a mistake."""
        family = read_preset(preset)[FAMILY]
        named = next((other for other in _FAMILIES if re.match(rf"{other}(?![a-z0-9])", tag)), family)
        if named != family:
            self._say(place, f"{name} has the preset {preset}, but the image {tag} is made for {named}")

    def _check_config(self, config: str, place: str) -> None:
        if config not in self._configs:
            self._configs[config] = _wrong_settings(config)
            if self._configs[config]:  # once, however many devices share it
                self._say(place, self._configs[config])

    def _refuse_shared_addresses(self, devices: list[Device]) -> None:
        first: dict[str, Device] = {}
        for device in devices:
            key = canonical_address(device.address)[1]
            other = first.setdefault(key, device)
            if other is not device:
                where = f"devices.{device.name}"
                self._say(where, f"{device.name} has the address of {other.name} (line {other.line}): {device.address}")

    def _say(self, key: str, problem: str) -> None:
        """At the line of `key`, or of the nearest section around it."""
        while key and key not in self._lines:
            key = key.rpartition(".")[0]
        line = self._lines.get(key, 1)
        if (line, problem) not in self._problems:
            self._problems.append((line, problem))

    def _error(self) -> SettingsError:
        told = [f"{self._source}, line {line}: {text}" for line, text in sorted(self._problems)]
        hint = "Correct it there; nothing was touched."
        if len(told) == 1:
            return SettingsError(told[0], hint=hint)
        rest = len(told) - _MOST_TOLD
        more = f"\n  and {rest} more" if rest > 0 else ""
        listed = "".join(f"\n  {line}" for line in told[:_MOST_TOLD])
        return SettingsError(f"{len(told)} mistakes in the fleet:{listed}{more}", hint=hint.replace("it", "them", 1))


def _text_like(pattern: re.Pattern[str], words: str, *, empty: bool = False) -> Any:
    def wrong(value: Any) -> str:
        is_right = isinstance(value, str) and (pattern.fullmatch(value) or (empty and not value))
        return "" if is_right else words

    return wrong


def _wrong_preset(value: Any) -> str:
    if isinstance(value, str) and value in presets():
        return ""
    close = nearest(value, presets()) if isinstance(value, str) else None
    return ", ".join(presets()) + (f". Did you mean {close}?" if close else "")


def _wrong_config(value: Any) -> str:
    is_path = isinstance(value, str) and value.strip() and value.isprintable() and value.endswith((".yaml", ".yml"))
    return "" if is_path else "the path of a settings file (.yaml), from the project's folder"


def _wrong_settings(config: str) -> str:
    if not (PROJECT_ROOT / config).is_file():
        return f"there is no settings file {config}"
    return wrong_for_a_device(config)


def _wrong_address(value: Any) -> str:
    try:
        canonical_address(value)
    except ValueError as error:
        return str(error)
    return ""


def _wrong_table(value: Any) -> str:
    return "" if isinstance(value, dict) else "names with a text each"


_WRONG = {
    "preset": _wrong_preset,
    "tag": _text_like(_TAG, "the tag of an image: letters, digits, _ . -, at most 128"),
    "registry": _text_like(_REGISTRY, "host[:port]/path/ with a slash at the end, or nothing", empty=True),
    "config": _wrong_config,
    "labels": _wrong_table,
    "env": _wrong_table,
    "address": _wrong_address,
    "group": _text_like(_NAME, "the name of a group"),
}


def _shown(value: Any) -> str:
    if value is None:
        return "empty"
    try:
        text = masked_value(ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value))
    except ValueError:  # Python prints no integer of more than 4300 digits
        return "a number of thousands of digits"
    return text if len(text) <= 80 else text[:79] + "…"
