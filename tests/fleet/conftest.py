"""What the tests of real devices share."""

from collections.abc import Iterator

import pytest

from tests.docker import ground
from tests.docker.conftest import cpu_base, daemon, images, pytest_collection_modifyitems
from tests.fleet import devices
from tests.fleet.devices import Rig

__all__ = ["cpu_base", "daemon", "images", "pytest_collection_modifyitems"]


@pytest.fixture(scope="session")
def session_rig() -> Iterator[Rig]:
    reason = devices.why_no_devices()
    if reason:
        ground.lack(reason)
    devices.remove_orphans()
    with Rig() as rig:
        yield rig


@pytest.fixture
def rig(session_rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    """The operator's home is its home, and the devices that a test makes go with the test; the seed stays."""
    monkeypatch.setenv("HOME", str(session_rig.home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    before = list(session_rig.devices)
    yield session_rig
    for device in [device for device in session_rig.devices if device not in before and device.name != "seed"]:
        device.remove()
        session_rig.devices.remove(device)
