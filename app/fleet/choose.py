"""Some of a fleet's devices, by words of the command line: pure."""

import difflib
from collections.abc import Sequence

from app.errors import FleetError
from app.fleet.base import Device


def choose(devices: Sequence[Device], words: Sequence[str]) -> tuple[Device, ...]:
    """
    Those that any word means, in the order of the fleet file; all where there is no word.

    Args:
        words: names of devices or groups, or `label=value`.

    Raises:
        FleetError: a word means none.
    """
    if not words:
        return tuple(devices)
    for word in words:
        if not any(_means(word, device) for device in devices):
            raise FleetError(f"{word} is no device, group or label of this fleet{_close(word, devices)}", hint=_HINT)
    return tuple(device for device in devices if any(_means(word, device) for word in words))


_HINT = "jetsmith fleet status shows them; a label is written label=value."


def _means(word: str, device: Device) -> bool:
    name, equals, value = word.partition("=")
    if equals:
        return device.labels.get(name) == value
    return bool(word) and word in (device.name, device.group)


def _close(word: str, devices: Sequence[Device]) -> str:
    known = {name for device in devices for name in (device.name, device.group) if name}
    known |= {f"{name}={value}" for device in devices for name, value in device.labels.items()}
    close = difflib.get_close_matches(word, sorted(known), n=1)
    return f". Did you mean {close[0]}?" if close else ""
