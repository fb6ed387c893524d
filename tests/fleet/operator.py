"""Who operates a fleet: `jetsmith fleet …` as a process of its own, on a fleet file in the operator's home."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.command import PROJECT_ROOT

Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Operator:
    """
    Args:
        home: of the rig.
        tag: of both images, which this machine's own Docker has.
    """

    home: Path
    tag: str

    @property
    def report(self) -> dict[str, Any]:
        """Of the last run."""
        told: dict[str, Any] = json.loads((self.home / "report" / "report.json").read_text())
        return told

    def write(self, devices: Mapping[str, str], **differ: Mapping[str, object]) -> None:
        """
        Args:
            devices: name -> address.
            differ: name -> what is said of that device alone.
        """
        defaults = {"preset": "cpu", "tag": self.tag, "config": "config/demo-service.yaml"}
        fleet = {
            "fleet": "test",
            "defaults": {**defaults, "env": {"JETSMITH_NETWORK": "none"}},
            "devices": {name: {"address": address, **differ.get(name, {})} for name, address in devices.items()},
        }
        (self.home / "fleet.yaml").write_text(json.dumps(fleet))  # which is YAML, too

    def __call__(self, verb: str, *arguments: object, code: int | None = 0, timeout_s: float = 900) -> Done:
        options = ["--report", self.home / "report"] if verb in ("apply", "rollback") else []
        done = subprocess.run(
            [*self.command(verb, *options, *arguments)],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert code is None or done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def command(self, verb: str, *arguments: object) -> list[str]:
        fleet = ["--fleet", self.home / "fleet.yaml"]
        return [sys.executable, "-m", "app", "fleet", verb, *map(str, [*fleet, *arguments])]

    @property
    def env(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("JETSMITH_", "SSH_"))}
        return {**kept, "HOME": str(self.home), "PYTHONPATH": str(PROJECT_ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
