"""What is in the images, and what is not: sizes, litter, rights, secrets, the labels."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from app import __version__
from scripts.image_sizes import MB, sizes_of
from tests.command import PROJECT_ROOT
from tests.docker.daemon import Compose, Done, docker
from tests.docker.ground import Images

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1800)]
BOTH = pytest.mark.parametrize("name", ["converter", "infer"])


def config(image: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(docker("image", "inspect", "--format", "{{json .Config}}", image).stdout)
    return found


def sh(image: str, script: str, *options: str) -> Done:
    locked = ("--read-only", "--network=none", "--cap-drop=ALL")
    return docker("run", "--rm", *locked, *options, "--entrypoint", "sh", image, "-ec", script)


def image_of(images: Images, name: str) -> str:
    return {"converter": images.converter, "infer": images.infer}[name]


def test_infer_is_small(images: Images) -> None:
    sizes = sizes_of(images.infer)
    drawing = sizes.of("/added")
    assert 0 < drawing <= 120 * MB
    assert sizes.added_bytes - drawing <= 450 * MB


def test_the_converter_is_not_too_large(images: Images) -> None:
    assert sizes_of(images.converter).added_bytes <= 2500 * MB


@BOTH
def test_nothing_is_left_of_the_build(images: Images, name: str) -> None:
    script = """
    cd /opt/venv/lib/python3*/site-packages
    find / -xdev -path '*/.cache/*' -o -xdev -path '/root/.*/*' -newer /etc/debian_version
    find . -name tests -o -name '*.h' -o -name '*.hpp' -o -name '*.a' -o -path './pip/*'
    find /run/secrets /wheels /compiled /added -type f 2>/dev/null || true
    find /tmp -mindepth 1
    """
    assert sh(image_of(images, name), script, "--user=0").stdout == ""


@BOTH
def test_nothing_can_be_installed_or_compiled(images: Images, name: str) -> None:
    script = "for tool in gcc cc g++ nvcc make pip pip3; do command -v $tool || true; done"
    assert sh(image_of(images, name), script).stdout == ""


def test_infer_holds_nothing_to_convert_with(images: Images) -> None:
    script = "ls /opt/venv/lib/python3*/site-packages | grep -iE '^(torch|ultralytics|onnx|httpx|matplotlib)$' || true"
    assert sh(images.infer, script).stdout == ""


@BOTH
def test_any_user_can_run_it_and_change_nothing(images: Images, name: str) -> None:
    assert config(image_of(images, name))["User"] == "1000:1000"
    done = sh(
        image_of(images, name), "jetsmith --version; find /opt -writable ! -type l", "--user=4321:4321", "--tmpfs=/tmp"
    )
    assert done.stdout == f"jetsmith {__version__}\n"


@BOTH
def test_no_address_or_secret_of_the_build_is_left(images: Images, name: str) -> None:
    image = image_of(images, name)
    history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", image).stdout
    told = history + json.dumps(config(image))
    assert "://" not in told
    assert "PIP_" not in told
    assert "BEGIN CERTIFICATE" not in told


@BOTH
def test_it_says_what_it_is(images: Images, name: str) -> None:
    labels = config(image_of(images, name))["Labels"]
    assert labels["org.opencontainers.image.title"] == f"jetsmith-{name}"
    assert labels["org.opencontainers.image.version"] == __version__
    assert labels["org.opencontainers.image.revision"]
    check = ["/opt/jetsmith/scripts/image_health"] if name == "infer" else ["jetsmith", "status", "--health"]
    assert config(image_of(images, name))["Healthcheck"]["Test"] == ["CMD", *check]


def test_the_code_is_compiled_already(images: Images) -> None:
    script = 'for ending in py pyc; do find /opt/jetsmith/app /opt/venv/lib -name "*.$ending" | wc -l; done'
    sources, compiled = map(int, sh(images.infer, script).stdout.split())
    assert compiled >= 0.95 * sources


def test_the_image_checks_itself(images: Images) -> None:
    """With a library gone, or a wrong one there, the build of an image would fail."""
    check = "/opt/jetsmith/image_check.py"
    mount = f"--volume={PROJECT_ROOT}/scripts/image_check.py:{check}:ro"

    def checked(image: str, what: str, *options: str) -> Done:
        locked = ("--read-only", "--network=none", "--tmpfs=/tmp", mount, "--workdir=/opt/jetsmith")
        return docker(
            "run", "--rm", *locked, *options, "--entrypoint", "python3", image, check, *what.split(), code=None
        )

    assert checked(images.infer, "infer draw,track").returncode == 0
    broken = checked(images.infer, "converter")
    assert broken.returncode == 1
    assert "cannot import torch" in broken.stderr
    crowded = checked(images.converter, "infer")
    assert "holds torch, which nothing needs in it" in crowded.stderr
    assert "built to run as root" in checked(images.infer, "infer", "--user=0").stderr


def test_the_doctor_finds_nothing_bad(compose: Compose) -> None:
    for service in ("infer", "converter"):
        role = {"infer": "infer", "converter": "convert"}[service]
        done = compose("run", "--rm", "-T", "--no-deps", "--entrypoint", "jetsmith", service, "doctor", "--for", role)
        assert "bad " not in done.stdout


def test_pictures_are_drawn_into_the_output_folder(compose: Compose) -> None:
    pictures = sorted(
        path.relative_to(compose.checkout) for path in compose.checkout.glob("models/demo/scenes/pose/*.jpg")
    )
    assert pictures
    compose.infer("--save", "/output", *pictures)
    drawn = sorted(compose.checkout.glob("runs/*.jpg"))
    assert [path.name for path in drawn] == [path.name for path in pictures]
    assert {path.stat().st_uid for path in drawn} == {int(compose.settings["JETSMITH_UID"])}


def test_two_checkouts_do_not_meet(make_compose: Callable[..., Compose], checkout: Any) -> None:
    one, other = make_compose(checkout), make_compose(checkout)
    for compose in (one, other):
        compose("up", "--no-build", "--no-start", "converter")
    assert one.containers("converter")
    assert set(one.containers("converter")).isdisjoint(other.containers("converter"))
