"""`docker compose run --rm infer PICTURE`: the same answers as outside, after a wait where an engine must be built."""

import json
import os
import pty
import re
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.command import SCENES, Jetsmith
from tests.docker.daemon import Compose

pytestmark = [pytest.mark.docker, pytest.mark.timeout(2400)]  # the first one builds the images

FOLDER = "models/demo/scenes/pose"


def _found(output: str) -> list[Any]:
    """What the answers say, but for the time that they took and the place where the pictures lie."""
    rows = [json.loads(line) for line in output.splitlines()]
    return [(Path(row["source"]).name, row["shape"], row["detections"]) for row in rows]


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What the two commands of scripts/quickstart find on this machine, outside of Docker."""
    folder = tmp_path_factory.mktemp("quickstart")
    jetsmith = Jetsmith(folder / "models", folder)
    jetsmith("convert", "--model", "demo-pose")
    return _found(jetsmith("infer", "--model", "demo-pose", str(SCENES / "pose" / "**" / "*.jpg")).stdout)


def test_it_builds_waits_and_finds_what_the_quickstart_finds(compose: Compose, quickstart: list[Any]) -> None:
    """With no network, as all of these tests."""
    first = compose.infer(f"{FOLDER}/**/*.jpg")
    for line in ("wait for the converter to begin …", "export …", "verify on 16 pictures"):
        assert line in first.stderr
    again = compose.infer(f"{FOLDER}/**/*.jpg")
    assert "wait" not in again.stderr
    _assert_alike(_found(first.stdout), quickstart)
    assert _found(again.stdout) == _found(first.stdout)


def _assert_alike(found: list[Any], expected: list[Any]) -> None:
    """Another build of ONNX Runtime may round otherwise."""
    assert [row[:2] for row in found] == [row[:2] for row in expected]
    for (name, _, ours), (_, _, theirs) in zip(found, expected, strict=True):
        assert [one["class_name"] for one in ours] == [one["class_name"] for one in theirs], name
        for one, other in zip(ours, theirs, strict=True):
            assert one["confidence"] == pytest.approx(other["confidence"], abs=0.01)
            assert one["box"] == pytest.approx(other["box"], abs=0.5)


def test_a_person_at_a_terminal_sees_the_percentage(compose: Compose) -> None:
    said = _at_a_terminal(compose.command("run", "--rm", "infer", f"{FOLDER}/scene-1.jpg"), compose)
    assert re.search(r"(export|verify on 16 pictures).*\d+%", said), said
    assert re.search(r"scene-1\.jpg .*robot 0\.\d\d", said), "a table of what was found"


def _at_a_terminal(command: list[str], compose: Compose) -> str:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command,
        cwd=compose.checkout,
        env={**compose.environment(), "TERM": "xterm", "COLUMNS": "160", "LINES": "40"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    said = b""
    with suppress(OSError):  # EIO: the other side is closed
        while part := os.read(ours, 2**16):
            said += part
    os.close(ours)
    assert process.wait(60) == 0, said.decode()
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", said.decode())


def test_a_build_that_fails_is_told_with_its_reason(compose: Compose) -> None:
    config = compose.checkout / "config" / "demo.yaml"
    config.write_text("vision: {yolo: {model_source: {base_model: null, pt_model_path: models/mine.pt}}}")
    done = compose.infer(f"{FOLDER}/scene-1.jpg", code=1)
    assert done.stdout == ""
    assert "There is no weights file at /opt/jetsmith/models/mine.pt" in done.stderr
    assert "hint:" in done.stderr
