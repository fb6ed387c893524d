"""Compose and a fleet make the same containers: compared with what `docker compose config` says."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from app.errors import FleetError
from app.fleet.base import LABEL, Role
from app.fleet.compose import interpolated, read_services
from app.fleet.service import MODELS_FOLDER, SETTINGS_VARIABLE, WEIGHTS_VARIABLE, Placed, service_specs
from config._fields import PROJECT_ROOT
from config._presets import presets, read_preset
from config.settings import load_settings

COMPOSE = PROJECT_ROOT / "docker-compose.yml"
OVER = {
    "as-it-is": {},
    "a-device": {
        "JETSMITH_REGISTRY": "registry.example:5000/ai/",
        "JETSMITH_TAG": "1.2",
        "JETSMITH_UID": "1001",
        "JETSMITH_RENDER_GID": "993",
        "JETSMITH_CAMERA": "/dev/video1",
        "JETSMITH_NETWORK": "host",
        "JETSMITH_MEDIA": "/srv/pictures",
        "JETSMITH_OUTPUT": "/srv/output",
        "JETSMITH_CA_BUNDLE": "/etc/ssl/ca.crt",
        "HTTPS_PROXY": "http://proxy:3128",
        "JETSMITH_TMP_SIZE": "",
    },
}


def of_compose(folder: Path, *options: str, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What Compose makes of the file in `folder`."""
    machine = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    command = ["docker", "compose", "--project-directory", str(folder), *options, "config", "--format", "json"]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**machine, **(env or {})},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    except FileNotFoundError:
        pytest.skip("the command docker is not installed")
    if done.returncode and "is not a docker command" in done.stderr + done.stdout:
        pytest.skip("docker has no plugin compose")
    assert done.returncode == 0, done.stderr
    services: dict[str, Any] = json.loads(done.stdout)["services"]
    return services


def as_compose_says(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The SDK's arguments in the words of `docker compose config`."""
    said = {key: value for key, value in arguments.items() if key not in _OTHERWISE and key != "labels"}
    said["volumes"] = {(m["Source"], m["Target"], m["ReadOnly"]) for m in arguments["mounts"] if m["Type"] == "bind"}
    said["tmpfs"] = [f"{path}:{options}" for path, options in arguments["tmpfs"].items()]
    said["logging"] = {"driver": arguments["log_config"]["type"], "options": arguments["log_config"]["config"]}
    devices = (entry.split(":") for entry in arguments.get("devices", []))
    said["devices"] = [{"source": source, "target": to, "permissions": mode} for source, to, mode in devices]
    said["restart"] = arguments.get("restart_policy", {}).get("Name")
    said["environment"] = {k: v for k, v in arguments["environment"].items() if k not in _OWN}
    return said


_OTHERWISE = ("mounts", "tmpfs", "log_config", "devices", "restart_policy", "environment")
_OWN = (SETTINGS_VARIABLE, WEIGHTS_VARIABLE)


def as_said(service: Mapping[str, Any]) -> dict[str, Any]:
    said = {key: value for key, value in service.items() if key not in ("build", "depends_on", "stop_grace_period")}
    inside = str(PROJECT_ROOT)
    said["volumes"] = {
        (v["source"], v["target"], v.get("read_only", False))
        for v in service["volumes"]
        if not v["source"].startswith(inside)
    }
    said["environment"] = {k: v for k, v in service["environment"].items() if k not in _OWN}
    said.setdefault("devices", [])
    said.setdefault("restart", None)
    return {key: value for key, value in said.items() if key != "command" or value is not None}


@pytest.mark.parametrize("over", OVER.values(), ids=OVER.keys())
@pytest.mark.parametrize("preset", presets())
def test_every_preset_makes_the_same_containers(preset: str, over: dict[str, str]) -> None:
    told = of_compose(PROJECT_ROOT, "--env-file", f"config/{preset}.env", env=over)
    specs = service_specs(COMPOSE.read_text(), {**read_preset(preset), **over}, Placed(".fleet/x/c.yaml"), fleet="f")
    for role in Role:
        assert as_compose_says(specs[role].arguments) == as_said(told[role.value])


def test_what_compose_takes_from_the_checkout_lies_in_volumes() -> None:
    specs = service_specs(
        COMPOSE.read_text(), read_preset("cpu"), Placed(".fleet/x/c.yaml", ".fleet/y/w.pt"), fleet="f"
    )
    for role, spec in specs.items():
        volumes = {m["Target"]: m["Source"] for m in spec.arguments["mounts"] if m["Type"] == "volume"}
        assert volumes[MODELS_FOLDER] == "jetsmith-models"
        assert ("/output" in volumes) == (role is Role.INFER)
        assert all(m["Source"].startswith("/") or m["Type"] == "volume" for m in spec.arguments["mounts"])
        assert spec.arguments["environment"][SETTINGS_VARIABLE] == f"{MODELS_FOLDER}/.fleet/x/c.yaml"
        assert spec.arguments["environment"][WEIGHTS_VARIABLE] == f"{MODELS_FOLDER}/.fleet/y/w.pt"
        assert spec.arguments["labels"] == {LABEL: "f"}
        json.dumps(spec.arguments)


def test_weights_that_were_put_there_stay_the_model_that_the_settings_name(monkeypatch: pytest.MonkeyPatch) -> None:
    placed = Placed("c", ".fleet/y/yolo11n-pose.pt", "yolo11n-pose")
    spec = service_specs(COMPOSE.read_text(), read_preset("cpu"), placed, fleet="f")[Role.CONVERTER]
    own = {name: value for name, value in spec.arguments["environment"].items() if "__" in name}
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    yolo = load_settings(PROJECT_ROOT / "config" / "config.yaml").vision.yolo
    assert yolo.model_source.base_model == "yolo11n-pose"
    assert str(yolo.model_source.pt_model_path) == f"{MODELS_FOLDER}/.fleet/y/yolo11n-pose.pt"


def test_a_missing_file_of_the_board_is_not_made_a_folder_of_root() -> None:
    spec = service_specs(COMPOSE.read_text(), read_preset("jetpack6"), Placed("c"), fleet="f")[Role.INFER]
    made = {m["Target"]: m["BindOptions"]["CreateMountpoint"] for m in spec.arguments["mounts"] if m["Type"] == "bind"}
    assert made["/etc/nv_tegra_release"] is False


def test_a_digest_changes_with_what_is_said_and_only_then() -> None:
    def digest(**over: str) -> str:
        text = COMPOSE.read_text()
        return service_specs(text, {**read_preset("cpu"), **over}, Placed("c"), fleet="f")[Role.INFER].digest

    assert digest() == digest() == digest(JETSMITH_VERSION="9")  # which is of the build alone
    assert digest() != digest(JETSMITH_UID="1001")


EXPRESSIONS = [
    *("$A", "${A}", "$${A}", "$$A", "x${A}y$A.z", "${B}", "${E}"),
    *("${A:-d}", "${B:-d}", "${E:-d}", "${A-d}", "${B-d}", "${E-d}", "${B:-}", "${B-}"),
    *("${A:+d}", "${B:+d}", "${E:+d}", "${A+d}", "${B+d}", "${E+d}", "${A:?no}", "${E?no}"),
    *("${B:-${A}}", "${B:-${E:-${A:+deep}}}/x", "${B:-a:b-c}", "${B:-/a/$A}"),
]
VALUES = {"A": "one", "E": ""}


def test_variables_mean_what_they_mean_to_compose(tmp_path: Path) -> None:
    lines = "".join(f"      - 'V{number}={text}'\n" for number, text in enumerate(EXPRESSIONS))
    (tmp_path / "docker-compose.yml").write_text(f"services:\n  x:\n    image: x\n    environment:\n{lines}")
    told = of_compose(tmp_path, env=VALUES)["x"]["environment"]
    assert {text: interpolated(text, VALUES) for text in EXPRESSIONS} == {
        text: told[f"V{number}"].replace("$$", "$") for number, text in enumerate(EXPRESSIONS)
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("${B:?say why}", "say why"),
        ("${E:?}", "not set"),
        ("${B?x}", "B"),
        ("${", "no end"),
        ("${1}", "names no"),
        ("$-", "names no"),
        ("${A/x/y}", "operator"),
    ],
)
def test_what_cannot_be_filled_in_is_an_error(text: str, told: str) -> None:
    with pytest.raises(FleetError, match=told):
        interpolated(text, VALUES)


@pytest.mark.parametrize(
    ("service", "told"),
    [
        ("{privileged: true}", "privileged"),
        ("{volumes: ['./a:/b']}", "bind mount"),
        ("{volumes: [{type: bind, source: ./a, target: /b}]}", "folder of the checkout"),
    ],
)
def test_what_fleets_do_not_know_is_an_error(service: str, told: str) -> None:
    text = f"services: {{converter: {service}, infer: {{}}}}"
    with pytest.raises(FleetError, match=told):
        service_specs(text, {}, Placed("c"), fleet="f")


@pytest.mark.parametrize("text", ["a: [", "[]", "services: []", "services: {a: 1}"])
def test_another_file_is_an_error(text: str) -> None:
    with pytest.raises(FleetError, match=r"docker-compose\.yml"):
        read_services(text, {})
