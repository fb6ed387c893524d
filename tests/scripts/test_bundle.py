"""scripts/bundle and scripts/unbundle, with a double of Docker: what they refuse, and what they leave behind."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.command import PROJECT_ROOT

IMAGES = ("jetsmith-converter:cpu", "jetsmith-infer:cpu")
PARTS = ("scripts/bundle", "scripts/unbundle", "scripts/_venv.sh", "docker-compose.yml", "models/demo/demo-pose.pt")

Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Machine:
    """Some machine with Docker: its programs, what they were told, and a folder to work in."""

    root: Path

    @property
    def docker(self) -> Path:
        return self.root / "docker"

    def have(self, **files: str) -> "Machine":
        for name, text in files.items():
            (self.docker / name.replace("_", "-")).write_text(text)
        return self

    def command(self, name: str, script: str) -> None:
        """A program of this name that is found before the real one."""
        path = self.root / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def told(self, word: str) -> list[str]:
        path = self.docker / "told"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in lines if line.split()[0] == word]

    def __call__(self, script: Path, *arguments: object, code: int = 0, **variables: str) -> Done:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("JETSMITH_", "SUDO_"))}
        env = {**kept, **variables, "DOCKER_DOUBLE": str(self.docker), "PATH": f"{self.root}/bin:{os.environ['PATH']}"}
        command = ["bash", str(script), *map(str, arguments)]
        done = subprocess.run(command, cwd=self.root, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        if code:
            assert done.stderr.splitlines()[-1].startswith("hint: "), done.stderr
        return done


def machine(root: Path, *images: str) -> Machine:
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "docker").symlink_to(PROJECT_ROOT / "tests/doubles/docker.sh")
    (root / "docker" / "images").mkdir(parents=True)
    for name in images:
        (root / "docker" / "images" / name).write_text(f"sha256:{hashlib.sha256(name.encode()).hexdigest()}\n")
    return Machine(root).have(arch="amd64\n", l4t="r39.2\n", weights="demo/demo-pose.pt\n")


def copy_checkout(folder: Path) -> Path:
    presets = [f"config/{path.name}" for path in (PROJECT_ROOT / "config").glob("*.[ey][na][vm]*")]
    for name in (*PARTS, *presets):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT_ROOT / name, folder / name)
    return folder


@dataclass(frozen=True)
class Maker:
    """A checkout on a machine that has built the images."""

    machine: Machine

    def __call__(self, *arguments: object, code: int = 0, **variables: str) -> Done:
        return self.machine(self.checkout / "scripts/bundle", "--preset", "cpu", *arguments, code=code, **variables)

    @property
    def checkout(self) -> Path:
        return self.machine.root / "checkout"

    @property
    def folder(self) -> Path:
        return self.machine.root / "bundle"

    def left_behind(self) -> list[Path]:
        return list(self.machine.root.glob("*bundle*"))


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    made = Maker(machine(tmp_path / "maker", *IMAGES))
    copy_checkout(made.checkout)
    return made


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    maker = Maker(machine(tmp_path_factory.mktemp("maker"), *IMAGES))
    copy_checkout(maker.checkout)
    maker(maker.folder)
    return maker.folder


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "stick" / "bundle"))


@dataclass(frozen=True)
class Device:
    """A machine without the images, the bundle in its hands."""

    machine: Machine
    bundle: Path

    def __call__(self, *options: str, code: int = 0, **variables: str) -> Done:
        script = PROJECT_ROOT / "scripts/unbundle"
        return self.machine(script, *options, self.bundle, self.target, code=code, **variables)

    @property
    def target(self) -> Path:
        return self.machine.root / "jetsmith"

    def is_untouched(self) -> bool:
        return not self.machine.told("load") and not self.target.exists()


@pytest.fixture
def device(tmp_path: Path, bundle: Path) -> Device:
    return Device(machine(tmp_path / "device"), bundle)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def seal(bundle: Path) -> None:
    """The list as it would be if whoever changed the bundle had made it."""
    names = sorted(files(bundle) - {"SHA256SUMS"})
    lines = [f"{hashlib.sha256((bundle / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (bundle / "SHA256SUMS").write_text("".join(lines))


def alter(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def plant(bundle: Path, name: str) -> None:
    (bundle / name).parent.mkdir(parents=True, exist_ok=True)
    (bundle / name).write_text("planted")


def hide(bundle: Path, name: str) -> None:
    """Planted, and the list knows it."""
    plant(bundle, name)
    seal(bundle)


def leave_out(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    seal(bundle)


def link_away(path: Path) -> None:
    """The same content, but elsewhere."""
    path.symlink_to(path.rename(path.parent.parent / "away"))


def add_to_list(bundle: Path, name: str) -> None:
    with (bundle / "SHA256SUMS").open("a") as listed:
        listed.write(f"{hashlib.sha256(b'').hexdigest()}  {name}\n")


def say(bundle: Path, before: str, after: str) -> None:
    path = bundle / "bundle.txt"
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))
    seal(bundle)


# --- bundle ---


def test_a_bundle_holds_what_its_list_says(made: Path) -> None:
    lines = (made / "SHA256SUMS").read_text().splitlines()
    listed = {name: digest for digest, name in (line.split("  ") for line in lines)}
    assert set(listed) == files(made) - {"SHA256SUMS"}
    assert {name.removeprefix("files/") for name in listed if name.startswith("files/")} >= {
        *(".env", "docker-compose.yml", "models/demo/demo-pose.pt"),
        *("config/cpu.env", "config/jetpack6.env", "config/demo.yaml"),
    }
    for name, digest in listed.items():
        assert hashlib.sha256((made / name).read_bytes()).hexdigest() == digest


def test_both_images_are_saved_at_once_and_its_digest_is_told(maker: Maker) -> None:
    said = maker(maker.folder).stdout
    assert maker.machine.told("save") == [f"save {' '.join(IMAGES)}"]
    assert hashlib.sha256((maker.folder / "SHA256SUMS").read_bytes()).hexdigest() in said
    assert maker.left_behind() == [maker.folder]


def test_a_folder_that_is_not_empty_is_left_alone(maker: Maker) -> None:
    maker.folder.mkdir()
    maker(maker.folder)  # empty: taken
    before = files(maker.folder)
    assert "is not empty" in maker(maker.folder, code=1).stderr
    assert files(maker.folder) == before


def test_images_that_are_missing_are_named_with_the_command_that_builds_them(maker: Maker) -> None:
    (maker.machine.docker / "images" / IMAGES[1]).unlink()
    said = maker(maker.folder, code=1).stderr
    assert f"there is no image {IMAGES[1]}" in said
    assert "docker compose --env-file config/cpu.env build" in said
    assert maker.left_behind() == []


def test_a_failed_save_leaves_nothing(maker: Maker) -> None:
    maker.machine.have(broken_save="")
    assert "could not be saved" in maker(maker.folder, code=1).stderr
    assert maker.left_behind() == []


def test_room_is_looked_for_first(maker: Maker) -> None:
    maker.machine.command("df", "echo Avail; echo 1000")
    assert "has 1.0KB left" in maker(maker.folder, code=1).stderr
    assert maker.machine.told("save") == []


def test_weights_are_found_downloaded_or_ones_own(maker: Maker, tmp_path: Path) -> None:
    maker.machine.have(weights="yolo11n-pose.pt\n")
    (maker.checkout / "models/yolov8n.pt").write_text("found")
    (maker.machine.root / "best.pt").write_text("own")
    maker("--model", "yolov8n", "--model", "yolo11s", "--model", "best.pt", "--model", "demo-pose", maker.folder)
    models = maker.folder / "files/models"
    texts = {path.name: path.read_text() for path in models.glob("*.pt")}
    assert texts == {
        "yolo11n-pose.pt": "downloaded yolo11n-pose.pt\n",
        "yolo11s.pt": "downloaded yolo11s.pt\n",
        "yolov8n.pt": "found",
        "best.pt": "own",
    }
    device = Device(machine(tmp_path / "device"), maker.folder)
    assert "(here: models/best.pt models/yolo11n-pose.pt yolo11s yolov8n)" in device().stdout
    assert (device.target / "models/best.pt").read_text() == "own"


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["my best.pt"], "cannot go into a bundle"),
        (["absent.pt"], "there is no file"),
        (["demo-nothing"], "there is no demo model"),
        (["a/one.pt", "b/one.pt"], "two different files"),
    ],
)
def test_weights_that_cannot_go_along_are_refused(names: list[str], says: str, maker: Maker) -> None:
    for name in names:
        if name != "absent.pt":
            plant(maker.machine.root, name)
            (maker.machine.root / name).write_text(name)
    said = maker(*[word for name in names for word in ("--model", name)], maker.folder, code=1).stderr
    assert says in said
    assert maker.left_behind() == []


def test_what_unbundle_would_refuse_is_not_handed_out(maker: Maker) -> None:
    (maker.checkout / "models/demo/link").symlink_to("/etc/hostname")
    assert "no plain file" in maker(maker.folder, code=1).stderr
    assert maker.left_behind() == []


def test_the_settings_are_for_their_owner_and_a_password_in_them_is_told(maker: Maker) -> None:
    settings = maker.checkout / "config/demo.yaml"
    assert "warning" not in maker(maker.folder).stderr
    shutil.rmtree(maker.folder)
    settings.write_text(settings.read_text() + "# camera: rtsp://user:word@192.0.2.1\n")
    assert "warning" not in maker(maker.folder).stderr
    shutil.rmtree(maker.folder)
    settings.write_text(settings.read_text() + "camera: rtsp://user:word@192.0.2.1\n")
    done = maker(maker.folder)
    assert "config/demo.yaml holds an address with a user or a password" in done.stderr
    assert "word@" not in done.stderr + done.stdout
    assert "Only you can read files/config/demo.yaml" in done.stdout
    assert mode(maker.folder / "files/config/demo.yaml") == 0o600
    assert mode(maker.folder / "files/config/cpu.env") == 0o644


# --- unbundle ---


def test_it_lays_everything_and_says_what_to_type(device: Device) -> None:
    said = device().stdout
    assert f"cd {device.target}" in said
    assert "docker compose up converter" in said
    wanted = {name.removeprefix("files/") for name in files(device.bundle) if name.startswith("files/")}
    assert files(device.target) == wanted
    assert (device.target / "runs").is_dir()
    assert {path.name for path in (device.machine.docker / "images").iterdir()} == set(IMAGES)
    env = (device.target / ".env").read_text().splitlines()
    assert {"JETSMITH_TAG=cpu", "JETSMITH_RUNTIME=runc", "JETSMITH_CONFIG=config/demo.yaml"} <= set(env)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_root_gives_the_files_to_whoever_called_sudo(device: Device) -> None:
    said = device(SUDO_UID="1234", SUDO_GID="1235").stdout
    assert "export JETSMITH_UID=1234 JETSMITH_GID=1235" in said
    owners = {(path.stat().st_uid, path.stat().st_gid) for path in (device.target, *device.target.rglob("*"))}
    assert owners == {(1234, 1235)}


def test_the_bundle_brings_the_script_itself(device: Device) -> None:
    device.machine(device.bundle / "unbundle", device.target)
    assert (device.target / "docker-compose.yml").exists()


def test_a_second_run_changes_nothing(device: Device) -> None:
    device()
    before = {path: path.stat().st_mtime_ns for path in device.target.rglob("*")}
    assert "The images are loaded already." in device().stdout
    assert {path: path.stat().st_mtime_ns for path in device.target.rglob("*")} == before
    assert len(device.machine.told("load")) == 1


def test_an_interrupted_run_is_finished_by_the_next(device: Device) -> None:
    device()
    (device.target / "docker-compose.yml").unlink()
    (device.target / "config/cpu.env").rename(device.target / "config/cpu.env.part")
    (device.machine.docker / "images" / IMAGES[0]).unlink()
    device()
    assert files(device.target) == {
        name.removeprefix("files/") for name in files(device.bundle) if name.startswith("files/")
    }
    assert len(device.machine.told("load")) == 2


def test_files_that_differ_are_named_and_kept(device: Device) -> None:
    (device.target / "config").mkdir(parents=True)
    (device.target / ".env").write_text("mine")
    (device.target / "config/demo.yaml").symlink_to("nowhere")
    said = device(code=1).stderr
    assert str(device.target / ".env") in said
    assert str(device.target / "config/demo.yaml") in said
    assert (device.target / ".env").read_text() == "mine"
    assert files(device.target) == {".env"}
    assert device.machine.told("load") == []


def test_settings_are_laid_for_their_owner_only(device: Device) -> None:
    device()
    assert mode(device.target / "config/demo.yaml") == 0o600
    assert mode(device.target / "config/cpu.env") == 0o644


@pytest.mark.parametrize("parent", ["config", "models", "models/demo"])
def test_a_folder_of_the_target_that_leads_elsewhere_is_refused(parent: str, device: Device) -> None:
    outside = device.machine.root / "outside"
    outside.mkdir()
    (device.target / parent).parent.mkdir(parents=True, exist_ok=True)
    (device.target / parent).symlink_to(outside)
    assert f"{device.target / parent} is a link" in device(code=1).stderr
    assert files(device.target) | files(outside) == set()
    assert device.machine.told("load") == []


def test_a_planted_link_is_not_followed(device: Device) -> None:
    outside = device.machine.root / "outside"
    outside.mkdir()
    device.target.mkdir()
    (device.target / "docker-compose.yml.part").symlink_to(outside)
    device()
    assert files(outside) == set()
    assert (device.target / "docker-compose.yml").is_file()
    assert not (device.target / "docker-compose.yml").is_symlink()


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a byte": (lambda b: alter(b / "images.tar.gz"), "is damaged: images.tar.gz"),
    "a missing file": (lambda b: (b / "files/docker-compose.yml").unlink(), "lacks files/docker-compose.yml"),
    "an extra file": (lambda b: plant(b, "files/extra"), "does not name: 'files/extra'"),
    "an extra file @": (lambda b: plant(b, "@"), "does not name: '@'"),
    "a hidden file": (lambda b: plant(b, ".DS_Store"), "does not name: '.DS_Store'"),
    "a link": (lambda b: (b / "files/link").symlink_to("/etc/passwd"), "no plain file"),
    "a linked folder": (lambda b: (b / "files/models/more").symlink_to("/etc"), "no plain file"),
    "a pipe": (lambda b: os.mkfifo(b / "pipe"), "no plain file"),
    "a link in place": (lambda b: link_away(b / "README.txt"), "no plain file"),
    "no list": (lambda b: (b / "SHA256SUMS").unlink(), "is no bundle"),
    "a way out": (lambda b: add_to_list(b, "../outside"), "no bundle has: ../outside"),
    "a way out of files": (lambda b: add_to_list(b, "files/models/demo/../../../x.pt"), "no bundle has"),
    "an absolute path": (lambda b: add_to_list(b, "/etc/hostname"), "no bundle has: /etc/hostname"),
    "an escaped name": (lambda b: add_to_list(b, "files/a\\nb"), "none of a bundle"),
    "a name twice": (lambda b: add_to_list(b, "README.txt"), "names README.txt twice"),
    "a file of the shell's": (lambda b: hide(b, "files/.bashrc"), "no bundle has: files/.bashrc"),
    "a hidden folder": (lambda b: hide(b, "files/models/.status/x.pt"), "no bundle has"),
    "an engine": (lambda b: hide(b, "files/models/engines/gpu/x.engine"), "no bundle has"),
    "no images": (lambda b: leave_out(b, "images.tar.gz"), "does not name images.tar.gz"),
    "an escape sequence": (lambda b: say(b, "abc123", "\x1b[2J"), "more than plain text"),
    "code for a number": (lambda b: say(b, "unpacked 2000000", "unpacked a[$(touch /tmp/x)]"), "how large"),
    "code for a name": (lambda b: say(b, "version ", "a[$(touch x)] "), "none of a bundle"),
    "an option for an image": (lambda b: say(b, "image jetsmith-converter", "image --help"), "an image that is none"),
    "another format": (lambda b: say(b, "format 1", "format 2"), "has format 2"),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_a_bundle_that_was_changed_is_refused(what: str, device: Device) -> None:
    change, says = HOSTILE[what]
    change(device.bundle)
    said = device(code=1).stderr
    assert says in said
    assert "\x1b" not in said
    assert device.is_untouched()
    device("--check", code=1)


def test_check_looks_and_no_more(device: Device) -> None:
    digest = hashlib.sha256((device.bundle / "SHA256SUMS").read_bytes()).hexdigest()
    assert digest in device("--check").stdout
    assert device.is_untouched()


def test_images_of_another_architecture_are_refused(device: Device) -> None:
    device.machine.have(arch="arm64\n")
    assert "the images are for amd64 and this device is arm64" in device("--force", code=1).stderr
    assert device.is_untouched()


@pytest.mark.parametrize(
    ("here", "says"),
    [
        ("# R36 (release), REVISION: 4.3, GCID: 1\n", "(L4T R39) and this Jetson has L4T R36"),
        ("", "does not say that this is one"),
        (None, "does not say that this is one"),
    ],
)
def test_images_of_another_jetpack_are_refused_unless_forced(
    here: str | None, says: str, device: Device, tmp_path: Path
) -> None:
    say(device.bundle, "format 1", "format 1\nl4t 39")
    release = tmp_path / "nv_tegra_release"
    if here is not None:
        release.write_text(here)
    assert says in device(code=1, JETSMITH_BOARD_RELEASE=str(release)).stderr
    assert device.is_untouched()
    device("--force", JETSMITH_BOARD_RELEASE=str(release))


def test_images_of_this_jetpack_are_taken(device: Device, tmp_path: Path) -> None:
    say(device.bundle, "format 1", "format 1\nl4t 36")
    release = tmp_path / "nv_tegra_release"
    release.write_text("# R36 (release), REVISION: 4.3, GCID: 1\n")
    device(JETSMITH_BOARD_RELEASE=str(release))


@pytest.mark.parametrize(("preset", "major"), [("jetpack6", "36"), ("jetpack7", "39"), ("gpu", None)])
def test_the_bundle_knows_its_l4t(preset: str, major: str | None, maker: Maker) -> None:
    maker("--preset", preset, maker.folder)
    lines = (maker.folder / "bundle.txt").read_text().splitlines()
    assert [line for line in lines if line.startswith("l4t ")] == ([f"l4t {major}"] if major else [])


def test_another_image_than_the_bundled_one_is_not_accepted(device: Device) -> None:
    device.machine.have(broken_load="")
    assert "is not the image that was bundled" in device(code=1).stderr
    assert not device.target.exists()


def test_a_docker_with_other_ids_is_told_by_what_is_in_the_images(device: Device) -> None:
    device.machine.have(containerd="")
    device()
    assert "loaded already" in device().stdout


def test_a_device_without_compose_is_told_before_anything_is_done(device: Device) -> None:
    device.machine.have(no_compose="")
    assert "docker compose is not installed" in device(code=1).stderr
    assert device.is_untouched()


def test_room_for_the_images_is_looked_for_first(device: Device) -> None:
    device.machine.command("df", "echo Avail; echo 10")
    assert "10B are free" in device(code=1).stderr
    assert device.is_untouched()


def test_the_bundle_is_no_target(device: Device) -> None:
    before = files(device.bundle)
    said = device.machine(device.bundle / "unbundle", device.bundle / "files", code=1).stderr
    assert "is in the bundle itself" in said
    assert files(device.bundle) == before
