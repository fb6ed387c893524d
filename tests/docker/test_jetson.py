"""
The images on an imaginary Jetson: a board's files where compose brings them in, and NVIDIA's libraries as doubles in a
layer above the images. What no double can show: a GPU's speed, and that NVIDIA's own libraries load.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.command import PROJECT_ROOT
from tests.docker.conftest import Make
from tests.docker.daemon import Compose, docker, has_image
from tests.docker.ground import Images
from tests.doubles import jetson

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

BOARDS = PROJECT_ROOT / "tests" / "data" / "boards"
PICTURES = ("models/demo/scenes/pose",)
DOCKERFILE = """\
ARG IMAGE
FROM ${IMAGE}
COPY . /opt/jetson
ENV PYTHONPATH=/opt/jetson/site:/opt/jetson LD_LIBRARY_PATH=/opt/jetson/driver
"""


@pytest.fixture(scope="module")
def tag(images: Images, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of both images with NVIDIA's libraries in them."""
    if jetson.compiler() is None:
        pytest.skip("no C compiler, to make the double of the CUDA driver with")
    folder = tmp_path_factory.mktemp("jetson")
    jetson.write_site(folder / "site")
    jetson.compile_driver(folder / "driver")
    doubles = Path(jetson.__file__).parent
    shutil.copytree(doubles, folder / "tests" / "doubles", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "tests" / "__init__.py").touch()
    (folder / "Dockerfile").write_text(DOCKERFILE)
    made = f"{images.tag}-jetson"
    for image in (images.converter, images.infer):
        name = f"{image.partition(':')[0]}:{made}"
        docker("buildx", "build", "--build-arg", f"IMAGE={image}", "--tag", name, folder, timeout_s=300)
        assert has_image(name)
    return made


@pytest.fixture
def on_board(make_compose: Make, checkout: Path, tag: str) -> Callable[[str], Compose]:
    """`on_board("orin-nano-jp62")`: compose as on that board, on one models folder."""
    _small(checkout)

    def make(board: str) -> Compose:
        root = BOARDS / board
        files = {
            "JETSMITH_BOARD_RELEASE": "etc/nv_tegra_release",
            "JETSMITH_BOARD_MODEL": "proc/device-tree/model",
            "JETSMITH_BOARD_COMPATIBLE": "proc/device-tree/compatible",
            "JETSMITH_POWER_MODES": "etc/nvpmodel.conf",
            "JETSMITH_POWER_MODE": "var/lib/nvpmodel",
        }
        there = {name: str(root / path) for name, path in files.items() if (root / path).exists()}
        return make_compose(checkout, JETSMITH_TAG=tag, **there)

    return make


def _small(checkout: Path) -> None:
    """The same model at 160 pixels: the processor computes what a GPU would."""
    config = checkout / "config" / "demo.yaml"
    # The double of the driver runs no kernels.
    config.write_text(config.read_text() + "    input_size: [160, 160]\n    frame_path: cpu\n")


def _log(compose: Compose, *, code: int = 0, **settings: str) -> str:
    done = compose.convert(code=code, env=settings)
    return done.stdout + done.stderr


def _platforms(compose: Compose) -> list[dict[str, Any]]:
    return [manifest["identity"]["platform"] for manifest in compose.manifests()]


def _detections(compose: Compose, *options: str) -> list[dict[str, Any]]:
    answer = compose.infer(*options, "--format", "jsonl", *PICTURES)
    return [found for line in answer.stdout.splitlines() for found in json.loads(line)["detections"]]


def test_the_engine_is_tensorrts_and_belongs_to_the_board(on_board: Callable[[str], Compose], tmp_path: Path) -> None:
    orin = on_board("orin-nano-jp62")
    assert "backend: tensorrt (the best there is)" in _log(orin)
    (platform,) = _platforms(orin)
    assert platform["module"] == "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super"
    assert (platform["l4t"], platform["tensorrt"], platform["compute_capability"]) == ("36.4.3", "10.3.0", "8.7")
    (manifest,) = orin.manifests()
    assert manifest["board"]["jetpack"] == "6.2"
    (engine,) = orin.engines()
    assert engine.parent.name.startswith("orin-nano")
    on_gpu = _detections(orin)
    orin("run", "--rm", "-T", "--no-deps", "converter", "--backend", "onnxruntime")
    on_cpu = _detections(orin, "--backend", "onnxruntime")
    assert on_gpu
    assert [found["class_name"] for found in on_gpu] == [found["class_name"] for found in on_cpu]
    for ours, theirs in zip(on_gpu, on_cpu, strict=True):
        assert ours["box"] == pytest.approx(theirs["box"], abs=1.0)
        assert ours["confidence"] == pytest.approx(theirs["confidence"], abs=0.02)


def test_another_release_or_module_means_another_engine(on_board: Callable[[str], Compose], tmp_path: Path) -> None:
    orin = on_board("orin-nano-jp62")
    _log(orin)
    before = set(orin.engines())
    release = BOARDS / "orin-nano-jp62" / "etc" / "nv_tegra_release"
    flashed = tmp_path / "nv_tegra_release"
    flashed.write_text(release.read_text().replace("REVISION: 4.3", "REVISION: 4.7"))
    said = _log(orin, JETSMITH_BOARD_RELEASE=str(flashed))
    assert "L4T 36.4.3 → 36.4.7" in said
    assert len(set(orin.engines()) - before) == 1
    assert _detections(orin)  # flashed back: the engine of that release is still there, and taken again
    assert len(orin.engines()) == len(before) + 1
    agx = on_board("agx-orin-jp72")
    said = _log(agx)
    assert "module" in said
    assert {platform["l4t"] for platform in _platforms(agx)} >= {"36.4.7", "39.2.0"}
    assert any(engine.parent.name.startswith("agx-orin") for engine in agx.engines())


def test_a_xavier_nx_is_refused_with_the_reason(on_board: Callable[[str], Compose]) -> None:
    xavier = on_board("xavier-nx-jp5")
    said = _log(xavier, code=1)
    assert "Xavier NX" in said
    assert "JetPack 6 or newer" in said
    assert xavier.engines() == []
