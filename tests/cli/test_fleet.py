"""`jetsmith fleet` on devices in memory: what it prints, writes and returns."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from app.cli import fleet as command
from app.cli import main
from app.errors import FleetError
from app.fleet.base import Device, Image, Slot, StepKind, Target
from app.fleet.donors import Donors
from app.fleet.host import Host, Watch
from config.settings import PROJECT_ROOT
from tests.doubles.fleet_host import FakeHost, World

FLEET = """
fleet: hall
defaults: {preset: cpu, config: config/demo-service.yaml, labels: {site: north}}
groups: {presses: {}}
devices:
  a: {address: ssh://a, group: presses}
  b: {address: ssh://b, group: presses}
  c: {address: ssh://user@c, labels: {site: south}}
"""


@dataclass
class Hall:
    """Three devices in memory, and the command line before them."""

    file: Path
    runs: Path
    output: Callable[[], tuple[str, str]]
    worlds: dict[str, World] = field(default_factory=dict)
    hosts: dict[str, Callable[[World], Host]] = field(default_factory=dict)
    out: str = ""
    err: str = ""

    def __call__(self, *arguments: str) -> int:
        action, *rest = arguments
        written = ["--report", str(self.runs)] if action in ("apply", "rollback") and "--dry-run" not in rest else []
        code = main(["fleet", action, *rest, "--fleet", str(self.file), *written])
        self.out, self.err = self.output()
        return code

    def opener(
        self, device: Device, fleet: str, target: Target | None, donors: Donors | None = None
    ) -> Callable[[], Host]:
        assert fleet == "hall"
        return lambda: self.hosts.get(device.name, FakeHost)(self.worlds[device.name])

    @property
    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.runs / "report.json").read_text())
        return found

    @property
    def states(self) -> list[str]:
        return [device["state"] for device in self.report["devices"]]


class _Dead(FakeHost):
    def __init__(self, world: World) -> None:
        raise FleetError("no route to host", hint="Is it on?")


@pytest.fixture
def hall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Hall:
    file = tmp_path / "fleet.yaml"
    file.write_text(FLEET)

    def output() -> tuple[str, str]:
        said = capfd.readouterr()
        return said.out, said.err

    made = Hall(file, tmp_path / "runs", output)
    made.worlds = {name: World() for name in "abc"}
    for world in made.worlds.values():
        world.seen = world.seen.__class__(runtimes=("runc",), docker="27.5")
    monkeypatch.setattr(command, "opener", made.opener)
    monkeypatch.setattr(command, "resolve_image", lambda name, is_pulled: Image(name, f"sha256:{name}"))
    return made


def test_plan_apply_status_and_a_second_apply(hall: Hall) -> None:
    assert hall("plan") == 0
    assert "convert" in hall.out
    assert hall.worlds["a"].done == []

    assert hall("apply", "--parallel", "2") == 0
    assert hall.states == ["done"] * 3
    assert "3 devices in" in hall.out.splitlines()[-2]
    assert hall.out.splitlines()[-1] == f"report: {hall.runs / 'report.html'}"
    assert "c: done (" in hall.err
    assert (hall.runs / "report.html").read_text().startswith("<!doctype html>")

    done = len(hall.worlds["a"].done)
    assert hall("apply") == 0
    assert hall.states == ["unchanged"] * 3
    assert len(hall.worlds["a"].done) == done
    assert hall("plan") == 0
    assert hall.out.count("it is as it shall be") == 3

    assert hall("status") == 0
    assert hall.out.count("healthy") == 3


def test_status_and_plan_as_json(hall: Hall) -> None:
    hall("apply", "a")
    assert hall("plan", "--json") == 0
    plans = {device["device"]: device["steps"] for device in json.loads(hall.out)["devices"]}
    assert plans["a"] == []
    assert plans["b"][0]["step"] == "image"
    assert hall("status", "--json") == 3  # b and c have no infer yet
    told = {device["name"]: device for device in json.loads(hall.out)["devices"]}
    assert told["a"]["infer"]["health"] == "healthy"
    assert told["a"]["drift"] == {"known": True, "error": None, "steps": []}
    assert told["b"]["infer"] is None
    assert "convert" in told["b"]["drift"]["steps"]


def test_apply_as_json_is_json_alone(hall: Hall) -> None:
    assert hall("apply", "--json") == 0
    assert json.loads(hall.out) == hall.report


@pytest.mark.parametrize(
    ("names", "touched"), [(["presses"], "ab"), (["site=south"], "c"), (["a", "c"], "ac"), ([], "abc")]
)
def test_only_those_that_are_named_are_touched(hall: Hall, names: list[str], touched: str) -> None:
    assert hall("apply", *names) == 0
    assert "".join(name for name, world in hall.worlds.items() if world.done) == touched


def test_one_that_fails_is_told_with_what_to_do_and_some_is_3(hall: Hall) -> None:
    hall.hosts["b"] = _Dead
    assert hall("apply") == 3
    assert hall.states == ["done", "failed", "done"]
    assert "b: failed: no route to host\n  Is it on?\n" in hall.out
    assert hall("status") == 3
    assert "unreachable" in hall.out
    assert hall("apply", "b") == 1


def test_a_canary_that_fails_leaves_the_others_alone(hall: Hall) -> None:
    hall.worlds["a"].fails[StepKind.CONVERT] = "no memory"
    assert hall("apply", "--canary", "1") == 1
    assert hall.states == ["failed", "skipped", "skipped"]
    assert hall.worlds["b"].done == []


def test_an_image_that_is_not_here_fails_its_devices_alone(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    hall.file.write_text(FLEET.replace("c: {", "c: {tag: cpu-2, "))

    def resolve(name: str, is_pulled: bool) -> Image:
        if name.endswith("cpu-2"):
            raise FleetError(f"{name} is not on this machine", hint="docker compose build")
        return Image(name, "sha256:1")

    monkeypatch.setattr(command, "resolve_image", resolve)
    assert hall("apply") == 3
    assert hall.states == ["done", "done", "failed"]
    assert "docker compose build" in hall.out
    assert hall("status") == 3
    assert "unknown: jetsmith-converter:cpu-2 is not on this machine" in hall.out
    assert hall("plan", "c") == 1


def test_rollback_goes_back_once_and_must_be_told_where(hall: Hall, tmp_path: Path) -> None:
    hall("apply")
    other = tmp_path / "other.yaml"
    other.write_text((Path("config/demo-service.yaml")).read_text() + "  fps: 5\n")
    hall.file.write_text(FLEET.replace("config/demo-service.yaml", str(other)))
    assert hall("apply", "a") == 0
    changed = hall.worlds["a"].seen.containers[Slot.CURRENT].labels
    assert hall("rollback", "--dry-run", "presses") == 3  # nothing ran on b before
    assert "no way back" in hall.out
    assert hall.worlds["a"].seen.containers[Slot.CURRENT].labels == changed
    assert hall("rollback", "a") == 0
    assert hall.report["verb"] == "rollback"
    assert hall.worlds["a"].seen.containers[Slot.PREVIOUS].labels == changed
    assert hall("rollback", "a") == 0
    assert hall.states == ["unchanged"]
    with pytest.raises(SystemExit):
        hall("rollback")


class _Talking(FakeHost):
    def logs(self, slot: Slot, lines: int) -> str:
        return f"{slot.value} {lines} rtsp://user:secret@camera\x1b[31m\nlast\n"


def test_logs_are_of_one_container_and_can_neither_steer_a_terminal_nor_tell_a_password(hall: Hall) -> None:
    hall.hosts["a"] = _Talking
    assert hall("logs", "a", "--of", "converter", "--lines", "5") == 0
    assert hall.out == "jetsmith-converter 5 rtsp://camera\\x1b[31m\nlast\n"
    assert hall("logs", "b") == 1
    assert "jetsmith-infer is not on b" in hall.err
    assert hall("logs", "presses") == 1
    assert "more than one device" in hall.err
    assert hall("logs", "d") == 1


class _Stopping(FakeHost):
    """Ctrl-C comes while it converts."""

    def convert(self, target: Target, watch: Watch) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        while True:
            threading.Event().wait(0.05)
            watch.remaining_s()


def test_ctrl_c_begins_no_more_and_writes_the_report(hall: Hall) -> None:
    hall.hosts["a"] = _Stopping
    assert hall("apply", "--parallel", "1") == 130
    assert hall.states == ["failed", "skipped", "skipped"]
    assert "stopped during convert" in hall.report["devices"][0]["error"]
    assert hall.report["exit_code"] == 130
    assert hall.report["summary"].endswith("1 failed, 2 skipped, interrupted")
    assert "begins nothing more" in hall.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["apply", "d"], "d is no device"),
        (["status", "--fleet", "/no/fleet.yaml"], "/no/fleet.yaml"),
        (["apply", "--report", "/proc/x"], "/proc/x"),
    ],
)
def test_mistakes_are_two_lines(hall: Hall, arguments: list[str], told: str) -> None:
    given = arguments if "--fleet" in arguments else [*arguments, "--fleet", str(hall.file)]
    assert main(["fleet", *given]) == 1
    said = hall.output()[1]
    assert told in said
    assert "hint:" in said


def test_the_fleet_file_is_read_whole_before_anything_is_touched(hall: Hall) -> None:
    hall.file.write_text(FLEET + "  d: {address: ssh://d, adress: x}\n  e: nowhere\n")
    assert hall("apply") == 1
    assert hall.err.count("line ") == 2
    assert all(world.done == [] for world in hall.worlds.values())


@pytest.mark.parametrize("program", [["-m", "app", "fleet"], [str(PROJECT_ROOT / "scripts" / "provision_fleet.py")]])
def test_the_real_command_tells_of_a_device_that_is_off(tmp_path: Path, program: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    file = tmp_path / "fleet.yaml"
    file.write_text(FLEET.replace("ssh://a", f"ssh://me@127.0.0.1:{port}"))
    done = subprocess.run(
        [sys.executable, *program, "rollback", "--dry-run", "a", "--json", "--fleet", str(file)],
        env={**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(PROJECT_ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1, done.stderr
    (device,) = json.loads(done.stdout)["devices"]
    assert "nothing listens" in device["error"]
    assert device["hint"]
    assert done.stderr == ""
