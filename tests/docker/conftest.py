"""What the tests marked `docker` share: a daemon, both images of this source, and a fresh checkout for each test."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.docker import ground
from tests.docker.daemon import Compose, Projects, remove_orphans, why_no_docker
from tests.docker.ground import Images


@pytest.hookimpl(trylast=True)  # after those that -m leaves out are gone
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test that needs the images builds them, within its own time."""
    needing = (item for item in items if isinstance(item, pytest.Function) and "images" in item.fixturenames)
    for item in list(needing)[:1]:
        item.add_marker(pytest.mark.timeout(3600), append=False)


@pytest.fixture(scope="session")
def daemon() -> Iterator[Projects]:
    """A daemon that answers. What this session, or one that was killed, left on it goes at the end."""
    reason = why_no_docker()
    if reason:
        ground.lack(reason)
    remove_orphans()
    projects = Projects()
    yield projects
    projects.remove()


@pytest.fixture(scope="session")
def cpu_base(daemon: Projects) -> str:
    return ground.cpu_base()


@pytest.fixture(scope="session")
def images(cpu_base: str, tmp_path_factory: pytest.TempPathFactory) -> Images:
    """Both images on the CPU preset, built once for this very source."""
    return ground.build_images(cpu_base, ground.copy_checkout(tmp_path_factory.mktemp("build")))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A fresh clone of a user's, with an empty models folder beside the demo models."""
    return ground.copy_checkout(tmp_path / "jetsmith")


Make = Callable[..., Compose]


@pytest.fixture
def make_compose(daemon: Projects, images: Images) -> Iterator[Make]:
    """`make_compose(checkout, JETSMITH_PRECISION="FP16")`: a compose project; all of them go after the test."""
    made: list[Compose] = []

    def make(checkout: Path, **settings: str) -> Compose:
        made.append(Compose(checkout, daemon.name(), {**_settings(images), **settings}))
        return made[-1]

    yield make
    for compose in made:
        compose.remove()


@pytest.fixture
def compose(make_compose: Make, checkout: Path) -> Compose:
    return make_compose(checkout)


def _settings(images: Images) -> Mapping[str, str]:
    """Once built, nothing needs a network."""
    return {
        "JETSMITH_TAG": images.tag,
        "JETSMITH_NETWORK": "none",
        "JETSMITH_UID": str(ground.user()),
        "JETSMITH_GID": str(ground.user()),
    }
