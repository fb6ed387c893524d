"""A bundle of the real images, laid on a machine that has a Docker of its own and no network, and used there."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.docker import ground
from tests.docker.daemon import Compose, finished
from tests.docker.ground import Images

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(1800)]

SCENE = "models/demo/scenes/pose/scene-1.jpg"


def _answers(socket: Path) -> bool:
    probe = ["docker", "-H", f"unix://{socket}", "version"]
    return subprocess.run(probe, capture_output=True, timeout=60, check=False).returncode == 0


@pytest.fixture
def other_daemon(tmp_path: Path) -> Iterator[Path]:
    """The socket of a second daemon, with no images and, having no network interface, no way out."""
    if os.getuid() or not (shutil.which("dockerd") and shutil.which("unshare")):
        ground.lack("a second daemon needs root, dockerd and unshare")
    with tempfile.TemporaryDirectory(prefix="dockerd-") as temporary:  # short: a socket's path may not be long
        own, log = Path(temporary), tmp_path / "dockerd.log"
        folders = ("--data-root", str(tmp_path / "docker"), "--exec-root", f"{own}/exec", "--pidfile", f"{own}/pid")
        command = ["unshare", "--net", "dockerd", "-H", f"unix://{own}/sock", *folders]
        with log.open("wb") as output:
            daemon = subprocess.Popen([*command, "--bridge=none", "--iptables=false"], stdout=output, stderr=output)
        try:
            deadline = time.monotonic() + 120
            while not _answers(own / "sock"):
                assert daemon.poll() is None, log.read_text(errors="replace")[-3000:]
                assert time.monotonic() < deadline, log.read_text(errors="replace")[-3000:]
                time.sleep(0.5)
            yield own / "sock"
        finally:
            daemon.terminate()
            daemon.wait(120)
    shutil.rmtree(tmp_path / "docker")


def _cut_off_while_it_loads(command: list[str], env: Mapping[str, str]) -> None:
    started = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert started.stdout
    assert any(line.startswith("Loading the images") for line in started.stdout)
    time.sleep(2)
    assert started.poll() is None
    os.killpg(started.pid, signal.SIGKILL)
    started.communicate()


def test_a_bundle_works_where_there_is_no_network(
    images: Images, checkout: Path, tmp_path: Path, other_daemon: Path
) -> None:
    env = Compose(
        checkout, "jetsmith-test-bundle", {"JETSMITH_TAG": images.tag, "JETSMITH_NETWORK": "none"}
    ).environment()
    bundle, target = tmp_path / "bundle", tmp_path / "site"
    script = ["bash", str(checkout / "scripts/bundle"), "--preset", "cpu", str(bundle)]
    finished(script, code=0, timeout_s=1200, cwd=tmp_path, env=env)
    assert (bundle / "images.tar.gz").stat().st_size < 1_200_000_000

    there = {name: value for name, value in env.items() if name != "JETSMITH_TAG"}  # the bundle tells it
    there["DOCKER_HOST"] = f"unix://{other_daemon}"
    unbundle = ["bash", str(bundle / "unbundle"), str(target)]
    _cut_off_while_it_loads(unbundle, there)
    assert not target.exists()
    said = finished(unbundle, code=0, timeout_s=1200, cwd=tmp_path, env=there).stdout
    assert "docker compose up converter" in said

    def compose(*arguments: str) -> str:
        return finished(["docker", "compose", *arguments], code=0, timeout_s=600, cwd=target, env=there).stdout

    compose("up", "--exit-code-from", "converter", "converter")
    answer = json.loads(compose("run", "--rm", "-T", "infer", "--format", "jsonl", SCENE))
    assert {found["class_name"] for found in answer["detections"]} == {"robot"}
    assert "loaded already" in finished(unbundle, code=0, timeout_s=600, cwd=tmp_path, env=there).stdout
    compose("down")
