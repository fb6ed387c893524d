"""The ground that the tests of real devices stand on."""

from contextlib import closing

import docker
import pytest

from tests.fleet.devices import Rig

pytestmark = pytest.mark.docker


def test_the_sdk_speaks_to_a_device_over_ssh_and_what_is_there_stays(rig: Rig) -> None:
    device = rig.device("one")
    with closing(docker.DockerClient(base_url=device.address, timeout=20)) as client:
        assert client.images.list() == []
        client.volumes.create("mine")
    device.cut_ssh()
    with pytest.raises(OSError, match="Unable to connect"):
        docker.DockerClient(base_url=device.address, timeout=20)
    device.stop()
    device.start()
    with closing(docker.DockerClient(base_url=device.address, timeout=20)) as client:
        assert [volume.name for volume in client.volumes.list()] == ["mine"]
