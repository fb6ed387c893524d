"""
What the stages of the families do that cannot be built here: NVIDIA's bases and packages are not to be had.

JetPack 7's system is made from a repository of empty packages, under the names that NVIDIA's have.
"""

import re
from pathlib import Path

import pytest

from tests.command import PROJECT_ROOT
from tests.docker.apt_repository import make_repository
from tests.docker.daemon import Done, docker
from tests.docker.test_agreement import DOCKERFILE
from tests.docker.web import served

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]


def packages(stage: str) -> list[str]:
    """What a stage asks of NVIDIA's repository."""
    (text,) = (part for part in re.split(r"^FROM \S+ AS ", DOCKERFILE, flags=re.M) if part.startswith(f"{stage}\n"))
    words = re.findall(
        r"(?:^|\s)\"?((?:nvidia-l4t|cuda|lib(?:cublas|cudla)|tensorrt|python3-libnvinfer)[\w-]*(?:\$\{L4T_CUDA\})?)",
        text,
    )
    return sorted({word.replace("${L4T_CUDA}", "13-2") for word in words})


def test_the_packages_of_jetpack_7_are_these() -> None:
    assert packages("system-jetpack7") == [
        "cuda-cudart-13-2",
        "cuda-nvrtc-13-2",
        "libcublas-13-2",
        "libcudla-13-2",
        "python3-libnvinfer",
        "tensorrt-libs",
    ]


@pytest.fixture
def repository(tmp_path: Path, daemon: object) -> Path:
    components = {"common": packages("system-jetpack7"), "som": packages("media-jetpack7")}
    make_repository(tmp_path / "jetson", "r39.2", components)
    return tmp_path / "jetson"


def built(base: str, url: str, script: str) -> Done:
    """As root in a container with image_apt, as a build has it."""
    mount = f"--volume={PROJECT_ROOT}/scripts/image_apt:/usr/local/bin/image_apt:ro"
    command = ("run", "--rm", "--network=host", mount, f"--env=L4T_APT={url}", base, "sh", "-euc", script)
    return docker(*command, code=None, timeout_s=600)


# Without Debian's own list: it takes a minute, and is not what is tried.
ADD = """rm -f /etc/apt/sources.list
image_apt --source jetson "$L4T_APT/jetson-ota-public.asc" "$L4T_APT/common r39.2 main" "$L4T_APT/som r39.2 main" >&2
"""


def test_packages_come_from_a_signed_repository(cpu_base: str, repository: Path) -> None:
    names = " ".join(packages("system-jetpack7"))
    with served(repository) as url:
        done = built(cpu_base, url, f"{ADD} image_apt {names} >&2; ls /opt")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == packages("system-jetpack7")


def test_packages_are_unpacked_without_being_installed(cpu_base: str, repository: Path) -> None:
    names = packages("media-jetpack7")
    script = f"{ADD} image_apt --unpack {' '.join(names)} >&2; ls /opt; dpkg-query --show {names[0]} || echo unknown"
    with served(repository) as url:
        done = built(cpu_base, url, script)
    assert names
    assert done.stdout.split() == [*names, "unknown"], done.stderr


def test_a_repository_signed_by_another_is_refused(cpu_base: str, repository: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    make_repository(other / "jetson", "r39.2", {"common": ["tensorrt-libs"]})
    (repository / "jetson-ota-public.asc").write_bytes((other / "jetson/jetson-ota-public.asc").read_bytes())
    with served(repository) as url:
        done = built(cpu_base, url, f"{ADD} image_apt tensorrt-libs")
    assert done.returncode != 0
    assert "NO_PUBKEY" in done.stderr + done.stdout or "not signed" in done.stderr + done.stdout
