"""What the tests share whose devices are real; each of their files has its own fixture `one`."""

from collections.abc import Iterator

import pytest

from app.fleet.docker_host.connection import Connection
from tests.fleet.devices import RealDevice, Rig


@pytest.fixture
def device(one: RealDevice, operator: Rig) -> Iterator[RealDevice]:
    yield one
    one.clear()


@pytest.fixture
def connection(device: RealDevice) -> Iterator[Connection]:
    opened = Connection(device.address)
    yield opened
    opened.close()
