"""`jetsmith fleet` as an operator types it, in a process of its own, on the devices of a rig."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.command import PROJECT_ROOT
from tests.fleet.devices import RealDevice, Rig

# What a killed run holds is free again after its lease: a short one, so that a test need not wait for two minutes.
_SHORT_LEASE = """
import sys
from app.fleet import device_run
device_run.LEASE_S, device_run.RENEW_S = {lease}, {lease} / 3
from app.cli import main
sys.exit(main(["fleet", *sys.argv[1:]]))
"""
SERVICE = """
vision: {{yolo: {{model_source: {{base_model: demo-pose}}, tensorrt_engine_settings: {{precision: {precision}}}}}}}
infer:
  sources: [models/demo/scenes/pose]
  fps: {fps}
  sinks: {{jsonl: "-"}}
"""


@dataclass
class FleetCommand:
    """
    The fleet file and its settings lie in `folder`.

    Args:
        lease_s: of the lock.
    """

    rig: Rig
    folder: Path
    devices: Sequence[RealDevice]
    tag: str
    lease_s: float = 120.0

    def write(self, *, fps: float = 10, precision: str = "FP32") -> None:
        """What the devices shall be; another rate is another service, another precision another engine, too."""
        settings = self.folder / "service.yaml"
        settings.write_text(SERVICE.format(fps=fps, precision=precision))
        common = f"{{preset: cpu, tag: {self.tag}, config: {settings}, env: {{JETSMITH_NETWORK: none}}}}"
        lines = ["fleet: hall", f"defaults: {common}", "devices:"]
        lines += [f"  {device.name}: {device.address}" for device in self.devices]
        (self.folder / "fleet.yaml").write_text("\n".join(lines) + "\n")

    @property
    def report(self) -> dict[str, Any]:
        """Of the last apply or rollback."""
        found: dict[str, Any] = json.loads((self.folder / "report" / "report.json").read_text())
        return found

    def command(self, action: str, *arguments: object) -> list[str]:
        report = ["--report", str(self.folder / "report")] if action in ("apply", "rollback") else []
        files = ["--fleet", str(self.folder / "fleet.yaml"), *report]
        return [sys.executable, "-c", _SHORT_LEASE.format(lease=self.lease_s), action, *map(str, arguments), *files]

    @property
    def env(self) -> dict[str, str]:
        foreign = ("JETSMITH_", "XDG_", "DOCKER_", "SSH_AUTH_SOCK")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        return {**kept, "HOME": str(self.rig.home), "PYTHONPATH": str(PROJECT_ROOT), "PYTHONDONTWRITEBYTECODE": "1"}

    def __call__(
        self, *arguments: object, code: int | None = 0, timeout_s: float = 600
    ) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            self.command(*map(str, arguments)),
            env=self.env,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
        assert code is None or done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def start(self, *arguments: object, log: Path) -> "subprocess.Popen[bytes]":
        with log.open("wb") as output:
            return subprocess.Popen(
                self.command(*map(str, arguments)), env=self.env, cwd=self.folder, stdout=output, stderr=output
            )
