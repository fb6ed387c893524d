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
def operator(session_rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """This process is the operator's, who knows the devices."""
    monkeypatch.setenv("HOME", str(session_rig.home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return session_rig


@pytest.fixture
def rig(operator: Rig) -> Iterator[Rig]:
    """The devices that a test makes go with the test; the seeds stay."""
    yield operator
    operator.clear()
