"""`jetsmith doctor` on this machine, whole and with its libraries taken away."""

import importlib.util
import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.cli import doctor as command
from app.cli import main
from app.cli.doctor import doctor_command
from app.cli.parser import make_parser
from app.device import read_device
from app.doctor.facts import Library
from tests.command import PROJECT_ROOT, Jetsmith
from tests.doctor.machines import BOARDS, GPU_SIDE
from tests.doctor.machines import CORE as CORE_LIBRARIES

Told = Callable[..., tuple[int, str]]
CORE = (  # what the project's own requirements bring, and no more
    *("numpy", "numpy.libs", "onnxruntime", "flatbuffers", "google", "packaging", "cv2", "opencv_python_headless.libs"),
    *(
        "PIL",
        "pillow.libs",
        "pydantic",
        "pydantic_core",
        "pydantic_settings",
        "annotated_types",
        "typing_extensions.py",
    ),
    *("typing_inspection", "dotenv", "yaml", "_yaml", "rich", "pygments", "markdown_it", "mdurl"),
)


def checks(text: str) -> dict[str, dict[str, str]]:
    return {row["check"]: row for row in json.loads(text)["checks"]}


def doctor(
    jetsmith: Jetsmith, *arguments: str, packages: Path | None, **env: str
) -> "subprocess.CompletedProcess[str]":
    """Run it without this environment's packages, but with those that lie in `packages`."""
    path = [str(PROJECT_ROOT), *([] if packages is None else [str(packages)])]
    command = [sys.executable, "-S", "-m", "app", "doctor", *arguments]
    variables = {**jetsmith.env, "PYTHONPATH": os.pathsep.join(path), **env}
    return subprocess.run(command, env=variables, cwd=jetsmith.home, capture_output=True, text=True, check=False)


@pytest.fixture
def told(jetsmith: Jetsmith, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Told:
    """Exit code and answer of `doctor` in this process; the libraries are taken for good, as to load them is slow."""
    for name in ("JETSMITH_MODELS_DIR", "JETSMITH_CONFIG"):
        monkeypatch.setenv(name, jetsmith.env[name])
    monkeypatch.setattr(command, "read_libraries", lambda: {**CORE_LIBRARIES, **GPU_SIDE})

    def run(*arguments: object) -> tuple[int, str]:
        code = main(["doctor", *map(str, arguments)])
        answer = capsys.readouterr()
        assert answer.err == ""
        return code, answer.out

    return run


def test_this_machine_is_looked_at_and_nothing_is_written(jetsmith: Jetsmith) -> None:
    done = jetsmith("doctor", code=None)
    lines = done.stdout.splitlines()
    states = [line.split()[0] for line in lines if not line.startswith(" ")]
    assert set(states) <= {"good", "warning", "bad"}
    assert len(states) == 19
    assert done.returncode == int("bad" in states)
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        assert line.startswith(("bad", "warning")) == following.startswith("           fix: ")
    assert done.stderr == ""
    assert list(jetsmith.home.rglob("*")) == []
    assert not jetsmith.models.exists()


def test_json_is_one_object_of_a_fixed_form(told: Told) -> None:
    code, answer = told("--json")
    record: dict[str, Any] = json.loads(answer)
    assert set(record) == {"jetsmith", "well", "counts", "device", "checks"}
    assert record["well"] is (code == 0)
    assert {"kind", "slug", "l4t"} <= set(record["device"])
    assert sum(record["counts"].values()) == len(record["checks"])
    for row in record["checks"]:
        assert set(row) == {"check", "state", "message", "fix"}
        assert row["state"] in record["counts"]
        assert all(isinstance(value, str) for value in row.values())
        assert row["message"]
    by_name = checks(answer)
    assert by_name["settings"]["state"] == by_name["store"]["state"] == by_name["weights"]["state"] == "good"


def test_wrong_settings_are_one_bad_line_and_the_rest_is_still_told(told: Told, tmp_path: Path) -> None:
    config = tmp_path / "wrong.yaml"
    config.write_text("vision:\n  yolo:\n    confidence: 7\n    iou: x\n")
    code, answer = told("--json", "--config", config)
    found = checks(answer)
    assert (code, found["settings"]["state"]) == (1, "bad")
    assert "line 3: vision.yolo.confidence" in found["settings"]["message"]
    assert "\n" not in found["settings"]["message"]
    assert found["weights"]["state"] == found["store"]["state"] == "warning"
    assert found["numpy"]["state"] == "good"


def test_nothing_that_steers_a_terminal_is_printed(told: Told, tmp_path: Path) -> None:
    config = tmp_path / "steering.yaml"
    config.write_text('"\\e[31mred": 1\n')
    code, answer = told("--config", config)
    assert code == 1
    assert "red" in answer
    assert "\x1b" not in answer


def test_a_store_that_cannot_be_written_is_bad(told: Told, jetsmith: Jetsmith) -> None:
    jetsmith.models.write_text("a file where the folder should be")
    code, answer = told("--json")
    assert (code, checks(answer)["store"]["state"]) == (1, "bad")


def test_an_offline_machine_is_warned_and_told_where_to_put_the_file(
    told: Told, jetsmith: Jetsmith, tmp_path: Path
) -> None:
    config = tmp_path / "offline.yaml"
    config.write_text(
        "vision:\n  yolo:\n    model_source:\n      base_model: yolo11n\n      weights_url: http://me:s3cret@127.0.0.1:9/w\n"
    )
    _, answer = told("--json", "--config", config)
    weights = checks(answer)["weights"]
    assert weights["state"] == "warning"
    assert "http://127.0.0.1:9/w/yolo11n.pt" in weights["message"]
    assert f"put it at {jetsmith.models / 'yolo11n.pt'}" in weights["fix"]
    assert "s3cret" not in answer


def test_weights_of_ones_own_that_are_not_there_are_bad(told: Told, tmp_path: Path) -> None:
    config = tmp_path / "own.yaml"
    config.write_text(f"vision:\n  yolo:\n    model_source:\n      pt_model_path: {tmp_path}/own.pt\n")
    code, answer = told("--json", "--config", config)
    assert (code, checks(answer)["weights"]["state"]) == (1, "bad")


def test_with_nothing_installed_at_all_it_says_what_to_install(jetsmith: Jetsmith) -> None:
    done = doctor(jetsmith, "--json", packages=None)
    assert (done.returncode, done.stderr) == (1, "")
    told = checks(done.stdout)
    for name in ("numpy", "onnxruntime", "opencv", "settings"):
        assert told[name]["state"] == "bad"
        assert "pip install" in told[name]["fix"]
    assert told["clock"]["state"] == told["board"]["state"] == "good"


@pytest.fixture
def core(tmp_path: Path) -> Path:
    """Only the core packages: no PyTorch, no Ultralytics, no httpx."""
    folder = tmp_path / "packages"
    folder.mkdir()
    site = Path(sysconfig.get_paths()["purelib"])
    for name in CORE:
        if (site / name).exists():
            (folder / name).symlink_to(site / name)
    for path in (*site.glob("_cffi*"), *site.glob("protobuf*"), *site.glob("onnxruntime-*"), *site.glob("numpy-*")):
        (folder / path.name).symlink_to(path)
    return folder


def test_with_the_core_alone_infer_is_well_and_convert_is_not(jetsmith: Jetsmith, core: Path) -> None:
    assert importlib.util.find_spec("torch") is not None  # so that its absence below means something
    done = doctor(jetsmith, "--json", packages=core)
    assert done.stderr == ""
    told = checks(done.stdout)
    assert {
        name: told[name]["state"] for name in ("numpy", "onnxruntime", "opencv", "settings", "weights")
    } == dict.fromkeys(("numpy", "onnxruntime", "opencv", "settings", "weights"), "good")
    assert told["converter"]["state"] == "warning"
    assert "PyTorch, Ultralytics, ONNX not installed" in told["converter"]["message"]


@pytest.mark.parametrize(("role", "state"), [("convert", "bad"), ("infer", "good")])
def test_what_the_core_alone_is_good_for_depends_on_the_role(
    jetsmith: Jetsmith, core: Path, role: str, state: str
) -> None:
    done = doctor(jetsmith, "--json", "--for", role, packages=core)
    assert checks(done.stdout)["converter"]["state"] == state
    assert done.returncode == 1 if state == "bad" else True


@pytest.mark.parametrize(
    ("board", "bad"),
    [
        pytest.param("orin-nano-jp62", {"gpu"}, id="Orin Nano 8 GB"),
        pytest.param("orin-nano-4gb-jp62", {"gpu"}, id="Orin Nano 4 GB"),
        pytest.param("agx-orin-jp72", {"gpu"}, id="AGX Orin"),
        pytest.param("agx-thor-jp70", {"gpu"}, id="Thor"),
        pytest.param("agx-thor-container", {"gpu"}, id="Thor, everything hidden"),
        pytest.param("xavier-nx-jp5", {"gpu", "board"}, id="Xavier NX"),
        pytest.param("nano-jp4", {"gpu", "board"}, id="Nano"),
        pytest.param("raspberry-pi-5", set(), id="no Jetson"),
    ],
)
def test_every_board_that_is_recorded_is_judged(
    board: str, bad: set[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As on the board, but for its GPU, which this machine has not, and its libraries."""
    healthy = {**CORE_LIBRARIES, **GPU_SIDE, "tensorrt": Library(True, "10.3.0")}
    monkeypatch.setenv("JETSMITH_CONFIG", str(PROJECT_ROOT / "config" / "demo.yaml"))
    monkeypatch.setattr(command, "_ROOT", BOARDS / board)
    monkeypatch.setattr(command, "read_device", lambda root: read_device(root, gpu_probe=lambda: None))
    monkeypatch.setattr(command, "read_libraries", lambda: healthy)
    code = doctor_command(make_parser().parse_args(["doctor", "--json"]))
    told = checks(capsys.readouterr().out)
    assert {name for name, row in told.items() if row["state"] == "bad"} == bad
    assert code == int(bool(bad))
