"""A service as a process of its own, its settings, and what it left behind."""

import json
import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from app.infer.service.health import Health, State, health_path, read_health
from tests.command import Jetsmith

NAME = "wall"
MODEL = "demo-detect"
_PATIENCE_S = 120.0


@dataclass
class Wall:
    """A service that is called "wall"."""

    jetsmith: Jetsmith
    folder: Path
    settings: dict[str, Any]
    process: "subprocess.Popen[str] | None" = None
    seen: list[Health] = field(default_factory=list)
    unreadable: int = 0

    @property
    def config(self) -> Path:
        return self.folder / "wall.yaml"

    @property
    def lines(self) -> Path:
        return self.folder / "out" / "results.jsonl"

    @property
    def log(self) -> str:
        return (self.folder / "log.txt").read_text()

    @property
    def health(self) -> Health:
        health = read_health(health_path(self.jetsmith.models, NAME))
        assert health is not None
        return health

    def configure(self, **infer: Any) -> None:
        """Write the settings; JSON is YAML."""
        self.settings["infer"].update(infer)
        self.write(json.dumps(self.settings))

    def write(self, text: str) -> None:
        part = self.config.with_suffix(".part")
        part.write_text(text)
        part.replace(self.config)

    def start(self) -> None:
        with (self.folder / "log.txt").open("a") as log:
            self.process = subprocess.Popen(
                self.jetsmith.command("infer", "--config", self.config),
                env=self.jetsmith.env,
                cwd=self.jetsmith.home,
                stdout=log,
                stderr=log,
                text=True,
            )
        threading.Thread(target=self._sample, args=(self.process,), daemon=True).start()

    def send(self, number: int) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.send(number)
        return self.process.wait(_PATIENCE_S)

    def until(self, what: str, holds: Callable[[Health], bool]) -> Health:
        """Wait for a word of the status file."""
        path = health_path(self.jetsmith.models, NAME)
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            health = read_health(path)
            if health is not None and self._is_of_this_run(health) and holds(health):
                return health
            assert self.process is None or self.process.poll() is None, f"it ended: {self.log}"
            time.sleep(0.02)
        raise AssertionError(f"never {what}: {read_health(path)}\n{self.log}")

    def until_ready(self) -> Health:
        return self.until("ready", lambda health: health.state is State.READY and self._all_run(health))

    def until_written(self, more: int) -> None:
        """Wait for so many more results in the file."""
        before = self._written()
        deadline = time.monotonic() + _PATIENCE_S
        while self._written() < before + more:
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)

    def _written(self) -> int:
        return self.lines.read_bytes().count(b"\n") if self.lines.exists() else 0

    def reload(self) -> Health:
        """Send the signal, and wait until it was heeded."""
        before = self.health.facts["reload"]
        tried = before["done"] + before["refused"]
        self.send(signal.SIGHUP)
        return self.until(
            "reloaded", lambda health: health.facts["reload"]["done"] + health.facts["reload"]["refused"] > tried
        )

    def engine(self, side: int) -> Path:
        """The one whose input has this side."""
        for engine in self.jetsmith.engines():
            manifest = json.loads(engine.with_name(engine.name.split(".", 1)[0] + ".json").read_text())
            if manifest["identity"]["recipe"]["imgsz"] == f"{side}x{side}":
                return engine
        raise AssertionError(side)

    def point_at(self, engine: Path) -> None:
        """As a converter does it."""
        link = self.jetsmith.models / ".link"
        link.symlink_to(engine.relative_to(self.jetsmith.models))
        link.replace(self.jetsmith.models / f"{MODEL}.ort.onnx")

    def frames_of(self, source: str) -> list[int]:
        parts = [*sorted(self.lines.parent.glob("results-*.jsonl")), self.lines]
        records = [json.loads(line) for part in parts for line in part.read_text().splitlines()]
        return [record["frame"] for record in records if record["source"] == source]

    def counts(self, source: str) -> Counter[int]:
        return Counter(self.frames_of(source))

    def _is_of_this_run(self, health: Health) -> bool:
        return self.process is None or health.pid == self.process.pid

    def _all_run(self, health: Health) -> bool:
        states = [source["state"] for source in health.facts.get("sources", ())]
        return bool(states) and all(state in ("running", "ended") for state in states)

    def _sample(self, process: "subprocess.Popen[str]") -> None:
        """Read the status all the time: it is there, whole, and of this moment."""
        path = health_path(self.jetsmith.models, NAME)
        while process.poll() is None:
            if path.exists():
                health = read_health(path)
                if health is None:
                    self.unreadable += 1
                elif health.pid == process.pid:
                    self.seen.append(health)
                    assert not health.is_hung(datetime.now(timezone.utc))
            time.sleep(0.02)
