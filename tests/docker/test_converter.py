"""`docker compose up converter`: builds at the first start, does nothing at later ones, stops when it is told to."""

import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import Jetsmith
from tests.docker.conftest import Make
from tests.docker.daemon import Compose, Done, docker

pytestmark = [pytest.mark.docker, pytest.mark.timeout(2400)]  # the first one builds the images

JOB = "demo-pose"
SCENES = "models/demo/scenes/pose"


def _until(condition: Callable[[], object], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, f"it ended too early: {process.communicate()}"
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _says(compose: Compose, **wanted: str) -> Callable[[], bool]:
    """Whether the job's status says so now."""
    return lambda: wanted.items() <= compose.status().get(JOB, {}).items()


def _said(done: Done) -> str:
    return done.stdout + done.stderr


def _stamps(compose: Compose) -> list[tuple[str, int, int]]:
    return [(path.name, path.stat().st_ino, path.stat().st_mtime_ns) for path in compose.engines()]


def _litter(compose: Compose) -> list[Path]:
    hidden = [path for path in (compose.models / ".status").iterdir() if path.name.startswith(".")]
    return hidden + Jetsmith(compose.models, compose.models).litter()


def test_it_builds_once_and_again_only_after_a_change(compose: Compose) -> None:
    first = _said(compose.convert())
    for line in ("export …", "verify on 16 pictures: done", "ready:    the engine was built"):
        assert line in first
    assert compose.status()[JOB]["state"] == "ready"
    built = _stamps(compose)
    assert len(built) == 1

    second = _said(compose.convert())
    assert "ready:    the engine was there already" in second
    assert "export" not in second
    assert _stamps(compose) == built

    config = compose.checkout / "config" / "demo.yaml"
    config.write_text(config.read_text() + "    tensorrt_engine_settings: {precision: FP32}\n")
    third = _said(compose.convert())
    assert "Changed since the last build: precision FP16 → FP32." in third
    assert {manifest["requested"] for manifest in compose.manifests()} == {"FP16", "FP32"}
    assert _litter(compose) == []


def test_two_at_once_build_once(compose: Compose) -> None:
    converters = [compose.start("run", "--rm", "-T", "converter") for _ in range(2)]
    said = [converter.communicate(timeout=240)[0] for converter in converters]
    assert [converter.returncode for converter in converters] == [0, 0], said
    assert sum("export …" in text for text in said) == 1
    assert len(compose.engines()) == 1
    assert compose.status()[JOB]["state"] == "ready"
    assert _litter(compose) == []


@pytest.mark.parametrize("phase", ["export", pytest.param("verify on 16 pictures", marks=pytest.mark.slow)])
def test_a_stop_is_obeyed_and_the_next_start_goes_on(phase: str, compose: Compose) -> None:
    up = compose.start("up", "--no-build", "converter")
    _until(_says(compose, phase=phase), up)
    compose("stop", "--timeout", "10", "converter")
    up.communicate(timeout=60)
    assert compose.state("converter")["ExitCode"] == 143, "137 would be a kill after ten seconds"
    assert compose.status()[JOB]["message"] == "it was stopped before it was done"
    assert compose.engines() == []
    assert _litter(compose) == []
    compose.convert()
    assert len(compose.engines()) == 1


def test_one_that_waits_for_another_obeys_too(compose: Compose) -> None:
    first = compose.start("run", "--rm", "-T", "converter")
    _until(_says(compose, phase="export"), first)
    second = compose.start("up", "--no-build", "--no-log-prefix", "converter")
    _until(lambda: "waiting for process" in _logs(compose), second)
    compose("stop", "--timeout", "10", "converter")
    second.communicate(timeout=60)
    assert first.poll() is None, "the first one was done before the second was stopped"
    output, _ = first.communicate(timeout=120)
    assert first.returncode == 0, output
    assert compose.status()[JOB]["state"] == "ready"


def _logs(compose: Compose) -> str:
    return compose.logs("converter") if compose.containers("converter") else ""


@pytest.mark.parametrize(
    "kills", [pytest.param(3, id="three"), pytest.param(20, id="twenty", marks=[pytest.mark.slow])]
)
@pytest.mark.timeout(1500)
def test_kills_at_any_moment_leave_nothing_that_the_next_start_does_not_mend(kills: int, compose: Compose) -> None:
    moments = random.Random(20261122)
    killed = 0
    for _ in range(kills):
        running = compose.start("run", "--rm", "-T", "converter", "--force-convert")
        _until(lambda: _is_running(compose), running)
        time.sleep(moments.uniform(0, 8))
        killed += all(docker("kill", name, code=None).returncode == 0 for name in compose.containers("converter"))
        running.communicate(timeout=60)
    assert killed > kills / 2
    compose.convert()
    assert len(compose.engines()) == 1
    assert _litter(compose) == []
    assert compose.infer(f"{SCENES}/scene-1.jpg").stdout.count('"robot"')


def _is_running(compose: Compose) -> bool:
    return bool(compose.containers("converter")) and compose.state("converter")["Status"] == "running"


HEALTH = """
services:
  converter:
    healthcheck: {interval: 1s, timeout: 10s, retries: 1, start_period: 0s}
"""


@pytest.mark.slow
def test_health_tells_building_from_hung(make_compose: Make, checkout: Path) -> None:
    (checkout / "health.yml").write_text(HEALTH)
    compose = make_compose(checkout, COMPOSE_FILE="docker-compose.yml:health.yml")
    up = compose.start("up", "--no-build", "converter")
    _until(_says(compose, phase="export"), up)
    _until(lambda: compose.state("converter")["Health"]["Status"] == "healthy", up)
    stop = f"import os; os.kill({compose.status()[JOB]['pid']}, 19)"
    compose("exec", "-T", "converter", "python3", "-c", stop)
    _until(lambda: compose.state("converter")["Health"]["Status"] == "unhealthy", up)
    assert "hung" in compose.state("converter")["Health"]["Log"][-1]["Output"]
    docker("kill", compose.containers("converter")[0])
    up.communicate(timeout=60)
