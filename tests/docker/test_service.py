"""`docker compose up -d infer`: the service of `infer.sources`, which reads its settings anew and starts again."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docker.daemon import Compose, docker

pytestmark = [pytest.mark.docker, pytest.mark.timeout(2400)]  # the first one builds the images

SERVICE = """
infer:
  name: door
  sources: [/media/{folder}]
  sinks: {{jsonl: /output/found.jsonl}}
"""
SCENES = "models/demo/scenes/pose"
END_IT = """
for process in /proc/[0-9]*; do
  case $(tr '\\0' ' ' <"$process/cmdline") in *"bin/jetsmith infer"*) found=${process#/proc/} ;; esac
done
[ "$found" != 1 ] && kill -9 "$found"
"""


def _configure(checkout: Path, folder: str) -> None:
    """As an editor saves: a new file in the old one's place."""
    config = checkout / "config" / "demo.yaml"
    new = config.with_suffix(".new")
    good = config.read_text().partition("\ninfer:")[0]
    new.write_text(good + SERVICE.format(folder=folder))
    new.replace(config)


def _until(what: Callable[[], bool], compose: Compose, limit_s: float = 240) -> None:
    deadline = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < deadline, compose.logs("infer") + json.dumps(compose.state("infer"))
        time.sleep(0.5)


def _found(checkout: Path) -> set[str]:
    file = checkout / "runs" / "found.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    return {Path(json.loads(line)["source"]).name for line in lines}


def test_the_service_reads_settings_anew_and_starts_again(compose: Compose) -> None:
    checkout, pictures = compose.checkout, sorted((compose.checkout / SCENES).glob("*.jpg"))
    (checkout / "one").mkdir(mode=0o755)
    (checkout / "one" / "new.jpg").write_bytes(pictures[0].read_bytes())
    _configure(checkout, SCENES)
    compose("up", "--detach", "--no-build", "infer")
    names = {path.name for path in pictures}
    _until(lambda: _found(checkout) >= names, compose)
    _until(lambda: compose.state("infer")["Health"]["Status"] == "healthy", compose)
    checked = compose("exec", "-T", "infer", "jetsmith", "status", "--health").stdout
    assert checked.startswith("door (service): "), checked

    _configure(checkout, "one")
    compose("kill", "--signal", "HUP", "infer")
    _until(lambda: "new.jpg" in _found(checkout), compose)

    before = compose.containers("infer")
    compose("exec", "-T", "infer", "sh", "-c", END_IT)
    _until(lambda: int(docker("inspect", "--format", "{{.RestartCount}}", before[0]).stdout) == 1, compose)
    _until(lambda: compose.logs("infer").count("watching 1 sources") == 2, compose)

    compose("stop", "infer")
    assert compose.state("infer")["ExitCode"] == 0
    assert compose.containers("infer") == before
