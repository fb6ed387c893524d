"""The source that devices run, run as they do: given as text to a Python that has nothing else."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.fleet.docker_host.on_device import NOT_WHOLE, NOT_WRITABLE
from app.fleet.docker_host.once import program

DIGEST = hashlib.sha256(b"weights").hexdigest()


def run(verb: str, asked: dict[str, Any]) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-S", *program(verb, asked)[1:]]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in (
        ("etc/nv_tegra_release", "# R36 (release), REVISION: 4.3, GCID: 1, BOARD: generic\n"),
        ("etc/jetsmith/model", "NVIDIA Jetson Orin Nano\0"),
        ("proc/meminfo", "MemTotal: 8000 kB\nMemAvailable: 4000 kB\n"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "models").mkdir()
    return tmp_path


def look(root: Path, files: list[str] | None = None, aliases: list[str] | None = None) -> dict[str, Any]:
    asked = {"root": str(root), "models": str(root / "models"), "files": files or [], "aliases": aliases or []}
    done = run("look", asked)
    assert (done.returncode, done.stderr) == (0, "")
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_it_tells_what_the_board_says(root: Path) -> None:
    told = look(root)
    assert told["release"].startswith("# R36")
    assert told["model"] == "NVIDIA Jetson Orin Nano\0"
    assert told["compatible"] == ""
    assert told["disk"] > 0
    assert told["manifest"] == ""


def test_digests_are_of_regular_files_alone(root: Path) -> None:
    models = root / "models"
    (models / "whole").write_bytes(b"weights")
    (models / "link").symlink_to("whole")
    (models / "folder").mkdir()
    os.mkfifo(models / "pipe")  # would be waited for
    told = look(root, ["whole", "link", "folder", "pipe", "none"])["files"]
    assert told == {"whole": DIGEST, "link": "", "folder": "", "pipe": "", "none": ""}


def test_the_manifest_is_that_of_the_engine_that_an_alias_leads_to(root: Path) -> None:
    shelf = root / "models" / "engines" / "cpu"
    shelf.mkdir(parents=True)
    (shelf / "demo-0123456789ab.ort.onnx").touch()
    (shelf / "demo-0123456789ab.json").write_text('{"a": 1}')
    (root / "models" / "demo.ort.onnx").symlink_to("engines/cpu/demo-0123456789ab.ort.onnx")
    assert look(root, aliases=["demo.engine", "demo.ort.onnx"])["manifest"] == '{"a": 1}'


def test_an_alias_out_of_the_models_leads_nowhere(root: Path) -> None:
    (root / "secret.engine").touch()
    (root / "secret.json").write_text("secret")
    (root / "models" / "demo.engine").symlink_to("../secret.engine")
    assert look(root, aliases=["demo.engine"])["manifest"] == ""


def test_a_manifest_that_is_none_of_ours_in_size_is_not_read(root: Path) -> None:
    (root / "models" / "e.engine").touch()
    (root / "models" / "e.json").write_text("x" * ((1 << 20) + 1))
    (root / "models" / "a.engine").symlink_to("e.engine")
    assert look(root, aliases=["a.engine"])["manifest"] == ""


def settle(root: Path, digest: str = DIGEST) -> int:
    asked = {"models": str(root / "models"), "arrived": ".fleet/arriving/x", "place": f".fleet/{DIGEST}/w.pt"}
    return run("settle", {**asked, "digest": digest}).returncode


@pytest.fixture
def arrived(root: Path) -> Path:
    path = root / "models" / ".fleet" / "arriving" / "x"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")
    return path


def test_a_whole_file_gets_its_name(root: Path, arrived: Path) -> None:
    assert settle(root) == 0
    assert (root / "models" / ".fleet" / DIGEST / "w.pt").read_bytes() == b"weights"
    assert not arrived.exists()


def test_half_a_file_goes(root: Path, arrived: Path) -> None:
    arrived.write_bytes(b"wei")
    assert settle(root) == NOT_WHOLE
    assert not arrived.exists()
    assert not (root / "models" / ".fleet" / DIGEST).exists()


def test_a_file_that_never_came_is_not_whole(root: Path, arrived: Path) -> None:
    arrived.unlink()
    assert settle(root) == NOT_WHOLE


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_of_another_user_is_told(root: Path, arrived: Path) -> None:
    (root / "models").chmod(0o555)
    assert settle(root) == NOT_WRITABLE
