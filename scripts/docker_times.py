#!/usr/bin/env python3
"""
How long the two services take, start of the containers included: `python -m scripts.docker_times [PRESET]`.

Builds the configured model into a models folder of its own, looks again, and runs a picture. The images must be there:
docker compose --env-file config/PRESET.env build
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURE = "models/demo/scenes/pose/scene-1.jpg"
UP = ("up", "--no-build", "--exit-code-from", "converter", "converter")
STEPS = (
    ("`up converter`, nothing there yet", UP, 1),
    ("`up converter`, the engine is there", UP, 5),
    ("`run --rm infer PICTURE`", ("run", "--rm", "-T", "infer", PICTURE), 5),
)


def main(preset: str = "cpu") -> int:
    with tempfile.TemporaryDirectory() as models:
        owner = {"JETSMITH_UID": str(os.getuid() or 1000), "JETSMITH_GID": str(os.getgid() or 1000)}
        shutil.copytree(ROOT / "models" / "demo", Path(models) / "demo")
        os.chown(models, int(owner["JETSMITH_UID"]), int(owner["JETSMITH_GID"]))
        env = {**os.environ, **owner, "JETSMITH_MODELS": models, "JETSMITH_NETWORK": "none"}
        command = ["docker", "compose", "--env-file", f"config/{preset}.env", "--project-name", "jetsmith-times"]
        try:
            for what, arguments, times in STEPS:
                taken = sorted(_seconds([*command, *arguments], env) for _ in range(times))
                print(f"{what:40} {taken[len(taken) // 2]:6.1f} s (median of {times})")
        finally:
            subprocess.run([*command, "rm", "--force", "--stop"], cwd=ROOT, env=env, capture_output=True, check=False)
    return 0


def _seconds(command: list[str], env: dict[str, str]) -> float:
    started = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return time.monotonic() - started


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
