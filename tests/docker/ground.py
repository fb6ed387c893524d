"""What the containers stand on: a base image, the two images of this very source, copies of the checkout."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.engines.files import sha256_of
from tests.command import PROJECT_ROOT
from tests.docker.daemon import Compose, docker, has_image
from tests.docker.web import served
from tests.docker.wheels import PYTORCH_INDEX, Index, answers, gather, local_torch, pip_settings

BASE = "jetsmith-test/base:bookworm"  # what is made here where no base is given and no registry answers
PACKAGES = "python3,python3-venv,ca-certificates"
_IN_IMAGES = (
    *("Dockerfile.l4t", "docker-compose.yml", ".dockerignore", "pyproject.toml", "README.md", "LICENSE"),
    *("app", "config", "models", "scripts/build_kernels", "scripts/image_*"),
)
_BUILD_LIMIT_S = 1800


# --- the checkout ---


def source_files(*under: str) -> list[Path]:
    """The files of the working tree that git does not ignore, relative to its root."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *under]
    listed = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True).stdout
    return sorted(Path(name) for name in set(listed.split("\0")) if name and (PROJECT_ROOT / name).is_file())


def revision(base: str) -> str:
    """Of all that an image is made of; the same where nothing was changed, committed or not."""
    digest = hashlib.sha256(docker("image", "inspect", "--format", "{{.Id}}", base).stdout.encode())
    for path in source_files(*_IN_IMAGES):
        digest.update(f"{path}\0".encode() + hashlib.sha256((PROJECT_ROOT / path).read_bytes()).digest())
    return digest.hexdigest()[:12]


def copy_checkout(folder: Path) -> Path:
    """The working tree as a user has it after `git clone`, with that user's number on every file."""
    for path in source_files():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(PROJECT_ROOT / path, target)
    (folder / "models").mkdir(exist_ok=True)
    give(folder)
    return folder


def user() -> int:
    """Whose files they are: root gives them to user 1000, anybody else keeps them."""
    return os.getuid() or 1000


def give(folder: Path) -> Path:
    if os.getuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user(), user(), follow_symlinks=False)
    return folder


# --- the base ---


def cpu_base() -> str:
    """The image that the CPU images are built on; the test is skipped where none can be had."""
    given = os.environ.get("JETSMITH_CPU_BASE")
    if given or has_image(BASE):
        return given or BASE
    usual = _usual_base()
    if has_image(usual) or _pulled(usual):
        return usual
    make_base(BASE)
    return BASE


def _usual_base() -> str:
    found = re.search(r"^ARG CPU_BASE=(\S+)$", (PROJECT_ROOT / "Dockerfile.l4t").read_text(), re.MULTILINE)
    assert found, "Dockerfile.l4t has no default for CPU_BASE"
    return found[1]


def _pulled(image: str) -> bool:
    try:
        return docker("pull", "--quiet", image, code=None, timeout_s=300).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def make_base(name: str, arch: str = "amd64") -> None:
    """A Debian 12 from Debian's packages alone. A foreign `arch` needs its emulator registered with the kernel."""
    if os.getuid() or shutil.which("debootstrap") is None:
        lack("no base image: set JETSMITH_CPU_BASE to one with Python 3.10 or newer (debootstrap, as root, makes one)")
    with tempfile.TemporaryDirectory() as temporary:
        root, log = Path(temporary) / "root", Path(temporary) / "log"
        command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", f"--arch={arch}", "bookworm", str(root)]
        with log.open("wb") as output:
            made = subprocess.run(command, stdout=output, stderr=output, timeout=1500, check=False)
        assert made.returncode == 0, log.read_text(errors="replace")[-3000:]
        shutil.rmtree(root / "var/cache/apt/archives", ignore_errors=True)
        load_image(name, root, arch)


def load_image(name: str, root: Path, arch: str) -> None:
    """`docker import` would have every image be of this machine's own architecture."""
    folder = root.with_name("image")
    folder.mkdir()
    layer = folder / "layer.tar"
    subprocess.run(["tar", "-C", str(root), "-cf", str(layer), "."], check=True)
    config = {
        "architecture": arch,
        "os": "linux",
        "config": {"Cmd": ["/bin/sh"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha256_of(layer)}"]},
    }
    (folder / "config.json").write_text(json.dumps(config))
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with subprocess.Popen(["tar", "-C", str(folder), "-c", "."], stdout=subprocess.PIPE) as tar:
        docker("load", stdin=tar.stdout, timeout_s=600)


def lack(reason: str) -> None:
    """Skip; on CI, where these tests must run, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


# --- the images ---


@dataclass(frozen=True)
class Images:
    """Both images of this source on the CPU preset."""

    tag: str
    base: str

    @property
    def converter(self) -> str:
        return f"jetsmith-converter:{self.tag}"

    @property
    def infer(self) -> str:
        return f"jetsmith-infer:{self.tag}"


def build_images(base: str, checkout: Path) -> Images:
    """
    Build what is not there yet. `docker image rm` of one builds it anew.

    JETSMITH_TEST_TAG: images that are there, for who changes nothing that goes into them.
    """
    images = Images(os.environ.get("JETSMITH_TEST_TAG") or f"test-{revision(base)}", base)
    if not (has_image(images.converter) and has_image(images.infer)):
        with ExitStack() as stack:
            torch = _torch_index(base, stack)
            build(checkout, "converter", {**build_settings(base), "JETSMITH_TORCH_INDEX_URL": torch}, images.tag)
            build(checkout, "infer", build_settings(base), images.tag)
    return images


def build(checkout: Path, service: str, settings: Mapping[str, str], tag: str, **env: str) -> None:
    """As a user does: `docker compose build`."""
    compose = Compose(checkout, "jetsmith-test-build", {**settings, "JETSMITH_TAG": tag})
    compose("build", service, timeout_s=_BUILD_LIMIT_S, env=env)


def build_settings(base: str) -> dict[str, str]:
    """Where a build takes packages from: as pip on this machine."""
    pip = pip_settings()
    settings = {"JETSMITH_CPU_BASE": base, "JETSMITH_BUILD_NETWORK": "host"}
    if "://" in pip.get("index-url", ""):
        settings["JETSMITH_PIP_INDEX_URL"] = pip["index-url"]
    extra = [url for url in pip.get("extra-index-url", "").split() if url.startswith("http")]
    if extra:
        settings["JETSMITH_PIP_EXTRA_INDEX_URL"] = " ".join(extra)
    if pip.get("cert"):
        settings["JETSMITH_CA_BUNDLE"] = pip["cert"]
    return settings


def _torch_index(base: str, stack: ExitStack) -> str:
    """PyTorch's own index, else one of the wheels that pip's settings name, served while `stack` is open."""
    given = os.environ.get("JETSMITH_TORCH_INDEX_URL", "")
    if given or answers(PYTORCH_INDEX):
        return given or PYTORCH_INDEX
    version = "import sys; print('%d%d' % sys.version_info[:2])"
    wheel = local_torch(docker("run", "--rm", base, "python3", "-c", version).stdout.strip())
    if wheel is None:
        lack("no CPU build of PyTorch can be had: set JETSMITH_TORCH_INDEX_URL, or pip's find-links to a folder of it")
        raise AssertionError
    return stack.enter_context(served(gather(wheel, PROJECT_ROOT / ".cache" / wheel.stem), Index))
