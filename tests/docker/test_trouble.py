"""What a converter says of a volume that it cannot use, and of settings and weights that are wrong."""

import os
from pathlib import Path

import pytest

from tests.docker.conftest import Make
from tests.docker.daemon import Compose, Done
from tests.docker.ground import user

pytestmark = [pytest.mark.docker, pytest.mark.timeout(2400)]  # the first one builds the images

JOB = "demo-pose"

READ_ONLY = """
services:
  converter:
    volumes:
      - {type: bind, source: ./models, target: /opt/jetsmith/models, read_only: true}
"""

# The engines' part of the volume, too small for one.
FULL = f"""
services:
  converter:
    tmpfs:
      - /tmp:mode=1777,size=512m
      - /opt/jetsmith/models/engines:size=2m,mode=755,uid={user()},gid={user()}
"""


def _said(done: Done) -> str:
    return done.stdout + done.stderr


def _configure(compose: Compose, text: str) -> None:
    (compose.checkout / "config" / "demo.yaml").write_text(text)


def test_weights_that_are_not_there(compose: Compose) -> None:
    _configure(compose, "vision: {yolo: {model_source: {base_model: null, pt_model_path: models/mine.pt}}}")
    said = _said(compose.convert(code=1))
    assert "error: There is no weights file at /opt/jetsmith/models/mine.pt" in said
    status = compose.status()["mine"]
    assert (status["state"], status["message"] in said, status["hint"] in said) == ("failed", True, True)


def test_settings_that_are_wrong_until_they_are_mended(compose: Compose) -> None:
    good = (compose.checkout / "config" / "demo.yaml").read_text()
    _configure(compose, "vision: {yolo: {model_sauce: {base_model: demo-pose}}}")
    said = _said(compose.convert(code=1))
    assert "config/demo.yaml, line 1: vision.yolo.model_sauce" in said
    status = compose.status()["demo.yaml"]
    assert (status["state"], status["message"] in said) == ("failed", True)
    _configure(compose, good)
    compose.convert()
    assert {job: status["state"] for job, status in compose.status().items()} == {JOB: "ready"}


def test_a_volume_of_another_user(make_compose: Make, checkout: Path) -> None:
    other = str(user() + 1)
    compose = make_compose(checkout, JETSMITH_UID=other, JETSMITH_GID=other)
    said = _said(compose.convert(code=1))
    assert f"belongs to user {user()}, and this process runs as user {other}" in said
    assert f"JETSMITH_UID={user()} JETSMITH_GID={user()}" in said
    assert "the status cannot be written" in said
    assert compose.status() == {}


def test_a_volume_that_is_read_only(make_compose: Make, checkout: Path) -> None:
    (checkout / "read_only.yml").write_text(READ_ONLY)
    compose = make_compose(checkout, COMPOSE_FILE="docker-compose.yml:read_only.yml")
    said = _said(compose.convert(code=1))
    assert "Read-only file system" in said
    assert "no `:ro`" in said
    assert "the status cannot be written" in said
    assert compose.status() == {}


def test_an_engine_on_a_volume_that_is_read_only_is_good_enough(make_compose: Make, checkout: Path) -> None:
    make_compose(checkout).convert()
    (checkout / "read_only.yml").write_text(READ_ONLY)
    said = _said(make_compose(checkout, COMPOSE_FILE="docker-compose.yml:read_only.yml").convert())
    assert "ready:    the engine was there already" in said
    assert "warning" not in said


def test_a_disk_that_is_full(make_compose: Make, checkout: Path) -> None:
    (checkout / "full.yml").write_text(FULL)
    engines = checkout / "models" / "engines"
    engines.mkdir()
    os.chown(engines, user(), user())
    compose = make_compose(checkout, COMPOSE_FILE="docker-compose.yml:full.yml")
    said = _said(compose.convert(code=1))
    status = compose.status()[JOB]
    assert (status["state"], status["message"] in said) == ("failed", True)
    assert "MB are free" in status["message"]
    assert "this conversion takes about" in status["message"]
