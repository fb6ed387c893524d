"""A Docker daemon, and `docker compose` on it: how the tests run what users run."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROJECT_PREFIX = "jetsmith-test-"
_PROJECT = re.compile(rf"{PROJECT_PREFIX}([0-9]+)-")

Done = subprocess.CompletedProcess[str]


def docker(*arguments: object, code: int | None = 0, timeout_s: float = 120, stdin: Any = None) -> Done:
    """`docker …`; any exit code but `code` is a failure that shows what was said."""
    return finished(["docker", *map(str, arguments)], code=code, timeout_s=timeout_s, stdin=stdin)


def finished(
    command: Sequence[str],
    *,
    code: int | None,
    timeout_s: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: Any = None,
) -> Done:
    done = subprocess.run(
        command,
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        stdin=stdin or subprocess.DEVNULL,
        timeout=timeout_s,
        check=False,
    )
    said = f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert code is None or done.returncode == code, said
    return done


def why_no_docker() -> str | None:
    """Why nothing here can run containers; None where a daemon answers and its two plugins are there."""
    if shutil.which("docker") is None:
        return "the command docker is not installed"
    for probe in (["docker", "version"], ["docker", "compose", "version"], ["docker", "buildx", "version"]):
        done = subprocess.run(probe, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
            return f"{' '.join(probe)} fails: {last}"
    return None


def has_image(name: str) -> bool:
    return docker("image", "inspect", name, code=None).returncode == 0


def label_of(image: str, name: str) -> str:
    labels = json.loads(docker("image", "inspect", "--format", "{{json .Config.Labels}}", image).stdout)
    return str((labels or {}).get(name, ""))


@dataclass(frozen=True)
class Compose:
    """
    `docker compose` in a copy of the checkout, as a project of its own.

    Args:
        settings: variables of docker-compose.yml, over those of the preset.
    """

    checkout: Path
    project: str
    settings: Mapping[str, str]
    preset: str = "cpu"

    def __call__(
        self, *arguments: object, code: int | None = 0, timeout_s: float = 240, env: Mapping[str, str] | None = None
    ) -> Done:
        done = finished(
            self.command(*arguments), code=code, timeout_s=timeout_s, cwd=self.checkout, env=self.environment(env)
        )
        assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
        return done

    def command(self, *arguments: object) -> list[str]:
        preset = f"config/{self.preset}.env"
        return ["docker", "compose", "--ansi=never", "--env-file", preset, *map(str, arguments)]

    def environment(self, env: Mapping[str, str] | None = None) -> dict[str, str]:
        """Nothing of this machine's own jetsmith settings; then the test's."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("JETSMITH_", "COMPOSE_"))}
        return {**kept, **self.settings, "COMPOSE_PROJECT_NAME": self.project, **(env or {})}

    def start(self, *arguments: object, env: Mapping[str, str] | None = None) -> "subprocess.Popen[str]":
        """For what is to be watched or ended while it runs; standard error goes to standard output."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.checkout,
            env=self.environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @property
    def models(self) -> Path:
        return self.checkout / "models"

    def convert(self, *, code: int = 0, timeout_s: float = 240, env: Mapping[str, str] | None = None) -> Done:
        """`up converter`, with the converter's own exit code."""
        options = ("--no-build", "--no-log-prefix", "--exit-code-from", "converter", "converter")
        return self("up", *options, code=code, timeout_s=timeout_s, env=env)

    def infer(
        self, *arguments: object, code: int = 0, timeout_s: float = 240, env: Mapping[str, str] | None = None
    ) -> Done:
        """`run --rm infer …`, without a terminal."""
        return self("run", "--rm", "-T", "infer", *arguments, code=code, timeout_s=timeout_s, env=env)

    def containers(self, service: str = "") -> list[str]:
        """Their ids, whether they run or not."""
        label = f"label=com.docker.compose.service={service}"
        return self.ids("container", *(["--filter", label] if service else []))

    def ids(self, kind: str, *filters: str) -> list[str]:
        everything = ["--all"] if kind == "container" else []
        mine = f"label=com.docker.compose.project={self.project}"
        return docker(kind, "ls", "--quiet", *everything, "--filter", mine, *filters).stdout.split()

    def state(self, service: str) -> dict[str, Any]:
        """Docker's own account of the service's newest container: Status, ExitCode, OOMKilled, Health, …"""
        newest = self.containers(service)[0]
        found: dict[str, Any] = json.loads(docker("inspect", "--format", "{{json .State}}", newest).stdout)
        return found

    def logs(self, service: str) -> str:
        done = self("logs", "--no-log-prefix", "--no-color", service)
        return done.stdout + done.stderr

    def status(self) -> dict[str, dict[str, Any]]:
        """What the status files say, by job."""
        files = sorted((self.models / ".status").glob("*.json"))
        return {path.stem: json.loads(path.read_text()) for path in files}

    def engines(self) -> list[Path]:
        return sorted(path for path in (self.models / "engines").glob("[!.]*/*") if path.suffix != ".json")

    def manifests(self) -> list[dict[str, Any]]:
        folder = self.models / "engines"
        return [json.loads(path.read_text()) for path in sorted(folder.glob("[!.]*/*.json"))]

    def remove(self) -> None:
        remove_project(self.project)


@dataclass
class Projects:
    """The names of this session's compose projects, and the end of them."""

    made: list[str] = field(default_factory=list)

    def name(self) -> str:
        self.made.append(f"{PROJECT_PREFIX}{os.getpid()}-{len(self.made)}")
        return self.made[-1]

    def remove(self) -> None:
        for project in self.made:
            remove_project(project)


def remove_project(project: str) -> None:
    """By label, not by `compose down`: whatever state a test left the files in, its containers go."""
    of_project = ("--filter", f"label=com.docker.compose.project={project}")
    for kind, everything, force in (
        ("container", ["--all"], ["--force", "--volumes"]),
        ("network", [], []),
        ("volume", [], ["--force"]),
    ):
        found = docker(kind, "ls", "--quiet", *everything, *of_project).stdout.split()
        if found:
            docker(kind, "rm", *force, *found, code=None)


def remove_orphans() -> None:
    """What a session left that was killed before it could clean up: its process is gone."""
    label = "com.docker.compose.project"
    for kind, everything in (("container", ["--all"]), ("network", []), ("volume", [])):
        listed = docker(
            kind, "ls", *everything, "--filter", f"label={label}", "--format", f'{{{{.Label "{label}"}}}}'
        ).stdout
        for project in set(listed.split()):
            found = _PROJECT.match(project)
            if found and not Path(f"/proc/{found[1]}").exists():
                remove_project(project)
