"""The command line as a user types it: a process of its own, with a models folder of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROJECT_ROOT = Path(__file__).resolve().parents[1]
READY_EXPORTS = PROJECT_ROOT / "tests" / "doubles" / "ready_exports"
SCENES = PROJECT_ROOT / "models" / "demo" / "scenes"


@dataclass(frozen=True)
class Jetsmith:
    """`jetsmith …` on a models folder."""

    models: Path
    home: Path
    exports: Path | None = field(default=None, kw_only=True)  # graphs that are ready: `convert` exports none then

    @property
    def env(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("JETSMITH_", "XDG_"))}
        return {
            **kept,
            "HOME": str(self.home),
            "TMPDIR": str(self.home),
            "JETSMITH_MODELS_DIR": str(self.models),
            "JETSMITH_CONFIG": str(PROJECT_ROOT / "config" / "demo.yaml"),
            "PYTHONPATH": str(PROJECT_ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
            **({} if self.exports is None else self._ready()),
        }

    def _ready(self) -> dict[str, str]:
        path = os.pathsep.join([str(READY_EXPORTS), str(PROJECT_ROOT)])
        return {"PYTHONPATH": path, "READY_EXPORTS": str(self.exports)}

    def command(self, *arguments: object) -> list[str]:
        return [sys.executable, "-m", "app", *map(str, arguments)]

    def __call__(self, *arguments: object, code: int | None = 0) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            self.command(*arguments), env=self.env, cwd=self.home, capture_output=True, text=True, check=False
        )
        assert code is None or done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def start(self, *arguments: object, variables: Mapping[str, str] | None = None) -> "subprocess.Popen[str]":
        # As CI may run, under nohup or in the background, these are ignored, and jetsmith respects that.
        return subprocess.Popen(
            ["env", "--default-signal=HUP,INT", *self.command(*arguments)],
            env={**self.env, **(variables or {})},
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def engines(self) -> list[Path]:
        return sorted(path for path in (self.models / "engines").glob("[!.]*/*") if path.suffix != ".json")

    def litter(self) -> list[Path]:
        """Whatever lies in the store beside engines and manifests."""
        store = self.models / "engines"
        whole = {path for engine in self.engines() for path in (engine, engine.with_name(_base(engine) + ".json"))}
        return [path for path in store.rglob("*") if path.is_file() and path not in whole]

    def manifest(self) -> dict[str, Any]:
        (engine,) = self.engines()
        values: dict[str, Any] = json.loads(engine.with_name(_base(engine) + ".json").read_text())
        return values


def _base(engine: Path) -> str:
    return engine.name.split(".", 1)[0]
