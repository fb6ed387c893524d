"""`jetsmith status`: what it says, and the exit code that a health check goes by."""

import json
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from app.cli import main
from app.infer.service.health import Health, health_path, this_host
from app.infer.service.health import State as HealthState
from app.status import State, Status, status_path
from tests.test_architecture import HEAVY


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JETSMITH_MODELS_DIR", str(tmp_path))
    return tmp_path


def _leave(models: Path, job: str, **changes: object) -> None:
    now = datetime.now(timezone.utc)
    moment = now.isoformat()
    silent_s = changes.pop("silent_s", 0)
    assert isinstance(silent_s, int)
    beat = (now - timedelta(seconds=silent_s)).isoformat()
    status = Status(job, State.RUNNING, "build tensorrt engine", 42.4, "", "", moment, moment, beat, 7)
    path = status_path(models, job)
    path.parent.mkdir(exist_ok=True)
    path.write_text(replace(status, **changes).to_json())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        pytest.param({}, 0, "a: building, 42 % build tensorrt engine, for", id="building"),
        pytest.param({"percent": None}, 0, "a: building, build tensorrt engine", id="building-without-end"),
        pytest.param({"state": State.READY}, 0, "a: ready since", id="ready"),
        pytest.param({"state": State.FAILED, "message": "no room", "hint": "make some"}, 1, "make some", id="failed"),
        pytest.param({"silent_s": 60}, 1, "no sign of life", id="hung"),
        pytest.param({"state": State.WAITING, "message": "waiting for b"}, 0, "a: waiting for b", id="waiting"),
        pytest.param({"state": State.WAITING, "silent_s": 60}, 1, "no sign of life", id="hung-while-waiting"),
    ],
)
def test_one_line_a_job_and_an_exit_code(
    changes: dict[str, object], code: int, says: str, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _leave(models, "a", **changes)
    assert main(["status"]) == code
    assert says in capsys.readouterr().out


def test_one_bad_job_decides_unless_another_is_asked_for(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _leave(models, "good", state=State.READY)
    _leave(models, "bad", state=State.FAILED, message="no room")
    assert main(["status"]) == 1
    assert main(["status", "good"]) == 0
    assert main(["status", "models/good.engine"]) == 0
    capsys.readouterr()
    _leave(models, "hung", silent_s=60)
    assert main(["status", "--json"]) == 1
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["job"], row["state"], row["hung"]) for row in rows] == [
        ("bad", "failed", False),
        ("good", "ready", False),
        ("hung", "running", True),
    ]


def test_nothing_yet_is_no_failure_but_a_job_that_was_never_begun_is(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status"]) == 0
    assert "No conversion has run yet" in capsys.readouterr().out
    assert main(["status", "--json"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["status", "yolo11n"]) == 1
    assert "no status" in capsys.readouterr().err


def test_a_health_check_looks_at_the_configured_job_alone(
    models: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JETSMITH_VISION__YOLO__MODEL_SOURCE__BASE_MODEL", "demo-seg")
    _leave(models, "other", state=State.FAILED, message="no room")
    assert main(["status", "--health"]) == 1, "not a word yet: Docker counts that only after the start period"
    _leave(models, "demo-seg")
    assert main(["status", "--health"]) == 0
    assert capsys.readouterr().out.startswith("demo-seg: building, 42 %")
    _leave(models, "demo-seg", silent_s=60)
    assert main(["status", "--health"]) == 1


def test_a_health_check_loads_no_heavy_library(models: Path) -> None:
    code = (
        "import sys; from app.cli import main; main(['status', '--health']); "
        f"loaded = set({HEAVY!r}) & set(sys.modules); sys.exit(', '.join(loaded) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_health_check_looks_at_the_service_of_its_own_container_alone(
    models: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a host's own network all containers have its name, and one that was killed leaves an old word behind."""
    for name, silent_s in (("wall-1", 9_999), ("wall-2", 0)):
        beat = (datetime.now(timezone.utc) - timedelta(seconds=silent_s)).isoformat()
        path = health_path(models, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(Health(name, HealthState.READY, (), beat, beat, 1, this_host(), {}).to_json())

    assert main(["status", "--health"]) == 1
    capsys.readouterr()
    monkeypatch.setenv("JETSMITH_INFER__NAME", "wall-2")
    assert main(["status", "--health"]) == 0
    assert "wall-1" not in capsys.readouterr().out
