"""The ground that the tests of real devices stand on."""

import pytest

from tests.fleet.devices import Rig

docker = pytest.importorskip("docker")
pytestmark = pytest.mark.docker


def test_the_sdk_lists_images_over_ssh_and_a_cut_is_told(rig: Rig) -> None:
    device = rig.device("one")
    client = docker.DockerClient(base_url=device.address, timeout=10)
    assert client.images.list() == []
    client.volumes.create("mine")
    device.cut_ssh()
    with pytest.raises(OSError, match="aborted|closed"):  # requests' ConnectionError is one
        client.volumes.list()
    client.close()
    device.stop()
    device.start()
    client = docker.DockerClient(base_url=device.address, timeout=10)
    assert [volume.name for volume in client.volumes.list()] == ["mine"]
    client.close()
