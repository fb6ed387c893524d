"""`--share-engines`: the second of two real devices verifies what the first has built."""

import json

import pytest

from tests.docker.ground import Images
from tests.fleet.devices import RealDevice, Rig
from tests.fleet.operator import Operator

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(5400)]  # the first one builds the images

ALTER = "for f in /m/engines/*/*.onnx; do chmod u+w $f; printf x >>$f; done"


def _said(operator: Operator, name: str) -> str:
    return operator("logs", name, "--of", "converter").stdout


def _digest(operator: Operator, name: str) -> str:
    told = json.loads(operator("status", name, "--json").stdout)
    return str(told["devices"][0]["engine"]["sha256"])


def _alter_engine(device: RealDevice, image: str) -> None:
    volume = ("--volume", "jetsmith-models:/m")
    device.docker("run", "--rm", "--network", "none", *volume, "--entrypoint", "sh", "--user", "0", image, "-c", ALTER)


def test_one_builds_the_other_verifies_and_a_bad_copy_is_not_taken(rig: Rig, images: Images) -> None:
    operator = Operator(rig.home, images.tag)
    seed = rig.seed(images.converter, images.infer)
    devices = {name: rig.device(name, seed=seed) for name in ("one", "two", "three")}
    addresses = {name: device.address for name, device in devices.items()}

    operator.write({name: addresses[name] for name in ("one", "two")})
    operator("apply", "--canary", 1, "--share-engines")
    assert "build onnxruntime engine: done" in _said(operator, "one")
    assert "it is verified, not built" in _said(operator, "two")
    assert "build onnxruntime engine" not in _said(operator, "two")
    assert _digest(operator, "one") == _digest(operator, "two")

    for name in ("one", "two"):
        _alter_engine(devices[name], images.infer)
    operator.write(addresses)
    operator("apply", "--canary", 2, "--share-engines")
    assert "verified, not built" not in _said(operator, "three")
    assert "build onnxruntime engine: done" in _said(operator, "three")
