"""
Devices on this machine: each a Docker daemon of its own, behind an SSH server of its own on a loopback port.

Both are the real ones. What a device stores lies in a folder of the session's, which goes with it; what a killed
session left, goes with the next.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.docker.daemon import Done, finished

_PREFIX = "jetsmith-devices-"
_FOLDER = re.compile(rf"{_PREFIX}([0-9]+)-")
_PRIVILEGES = Path("/run/sshd")  # compiled into Debian's sshd; its package's service makes it
# In a network of its own: with `--bridge none` a daemon removes docker0, which is this machine's own daemon's.
_DOCKERD_OPTIONS = ("--bridge", "none", "--iptables=false", "--log-level", "warn")
_SSHD = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {home}/.ssh/id_ed25519.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxStartups 100
MaxSessions 100
SetEnv DOCKER_HOST={socket}
"""


def why_no_devices() -> str | None:
    """Why nothing here can be a device; None where it can."""
    if os.getuid():
        return "only root can start Docker daemons and an SSH server that root logs in at"
    needed = {"docker": "docker.io", "dockerd": "docker.io", "sshd": "openssh-server", "ssh-keygen": "openssh-client"}
    missing = [f"{tool} ({package})" for tool, package in needed.items() if shutil.which(tool) is None]
    return f"not installed: {', '.join(missing)}" if missing else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class RealDevice:
    """
    Begun by `start`, ended by `stop`, after which it can be started again with all that was on it.

    Args:
        home: the operator's: the key that may log in, and `known_hosts`.
        disk: how large its disk is (`800m`): one in memory; empty: the one of this machine.
    """

    name: str
    folder: Path
    home: Path
    disk: str = ""
    port: int = field(default_factory=free_port)
    _dockerd: "subprocess.Popen[bytes] | None" = None
    _sshd: "subprocess.Popen[bytes] | None" = None

    @property
    def address(self) -> str:
        return f"ssh://root@127.0.0.1:{self.port}"

    @property
    def socket(self) -> str:
        return f"unix://{self.folder}/docker.sock"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def docker(self, *arguments: object, code: int | None = 0, timeout_s: float = 120) -> Done:
        """`docker …` on the device itself, past SSH."""
        return finished(["docker", "-H", self.socket, *map(str, arguments)], code=code, timeout_s=timeout_s)

    def start(self, seed: Path | None = None) -> "RealDevice":
        """With what is on the disk of `seed`, a device that is stopped."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data.mkdir(exist_ok=True)
        if self.disk and not os.path.ismount(self.data):
            _done("mount", "-t", "tmpfs", "-o", f"size={self.disk}", "tmpfs", self.data)
        if seed is not None:
            _copy_disk(seed, self.data)
        self.start_docker()
        self.start_ssh()
        return self

    def start_docker(self) -> None:
        """In a network of its own: a daemon without a bridge removes `docker0`, which is this machine's own."""
        (self.folder / "daemon.json").write_text("{}")  # nor its settings
        command = [
            *("unshare", "--net", "dockerd", *_DOCKERD_OPTIONS, "--config-file", self.folder / "daemon.json"),
            *("--host", self.socket, "--pidfile", self.folder / "pid"),
            *("--data-root", self.data, "--exec-root", self.folder / "exec"),
        ]
        self._dockerd = _begun(command, self.folder / "dockerd.log")
        _until(lambda: self.docker("version", code=None).returncode == 0, self._dockerd, self.folder / "dockerd.log")

    def start_ssh(self) -> None:
        """The same key and port as before."""
        key = self.folder / "host_key"
        if not key.exists():
            _make_key(key)
            known = key.with_suffix(".pub").read_text().rsplit(" ", 1)[0]
            with (self.home / ".ssh" / "known_hosts").open("a") as hosts:
                hosts.write(f"[127.0.0.1]:{self.port} {known}\n")
        _PRIVILEGES.mkdir(mode=0o755, exist_ok=True)
        config = self.folder / "sshd_config"
        config.write_text(_SSHD.format(port=self.port, folder=self.folder, home=self.home, socket=self.socket))
        log = self.folder / "sshd.log"
        self._sshd = _begun([shutil.which("sshd") or "sshd", "-D", "-e", "-f", config], log)
        _until(lambda: b"Server listening" in log.read_bytes(), self._sshd, log)

    def cut_ssh(self) -> None:
        """As if the cable were pulled: every connection ends, and there are no new ones until `start_ssh`."""
        if self._sshd is not None:
            for process in [psutil.Process(self._sshd.pid), *_below(self._sshd)]:
                _signal(process, signal.SIGKILL)
            self._sshd.wait()
            self._sshd = None

    def freeze_ssh(self, *, frozen: bool = True) -> None:
        """Connections stay open, and nothing is answered; new ones are accepted by the kernel alone."""
        assert self._sshd is not None, "it is cut"
        for process in [psutil.Process(self._sshd.pid), *_below(self._sshd)]:
            _signal(process, signal.SIGSTOP if frozen else signal.SIGCONT)

    def resize(self, disk: str) -> None:
        assert self.disk, "it has this machine's disk"
        _done("mount", "-o", f"remount,size={disk}", self.data)

    def clear(self) -> None:
        """As after the images were loaded."""
        for kind, everything in (("container", ["--all"]), ("volume", [])):
            found = self.docker(kind, "ls", "--quiet", *everything).stdout.split()
            if found:
                self.docker(kind, "rm", "--force", *found)

    def stop(self) -> None:
        self.cut_ssh()
        if self._dockerd is not None:
            self._remove_containers()
            self._dockerd.terminate()  # its containerd, and what still runs, goes with it
            self._dockerd.wait(timeout=60)
            self._dockerd = None

    def remove(self) -> None:
        """With its disk."""
        self.stop()
        remove_folder(self.folder)

    def _remove_containers(self) -> None:
        """Those that run: they would be waited for, ten seconds each."""
        running = self.docker("ps", "--quiet", code=None).stdout.split()
        if running:
            self.docker("kill", *running, code=None)


@dataclass
class Rig:
    """The devices of a session, and the operator's home that knows them. `with Rig() as rig:`"""

    root: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir="/tmp")))
    devices: list[RealDevice] = field(default_factory=list)
    _seeds: dict[tuple[str, ...], RealDevice] = field(default_factory=dict)

    def __enter__(self) -> "Rig":
        (self.home / ".ssh").mkdir(parents=True, mode=0o700)
        (self.home / ".ssh" / "known_hosts").touch()
        _make_key(self.home / ".ssh" / "id_ed25519")
        return self

    def __exit__(self, *_: object) -> None:
        self.clear(seeds=True)
        remove_folder(self.root)

    def remove(self, device: RealDevice) -> None:
        device.remove()
        self.devices.remove(device)

    def clear(self, *, seeds: bool = False) -> None:
        """Remove the devices."""
        kept = [] if seeds else list(self._seeds.values())
        for device in [device for device in self.devices if device not in kept]:
            device.remove()
        self.devices[:] = kept

    @property
    def home(self) -> Path:
        """`HOME` of who operates the fleet: the SDK takes key and known hosts from there."""
        return self.root / "home"

    def device(self, name: str, *, disk: str = "", seed: Path | None = None) -> RealDevice:
        """
        Started, and removed at the end.

        Args:
            seed: `data` of a device that is stopped; what is on it costs no disk a second time.
        """
        made = RealDevice(name, self.root / name, self.home, disk)
        self.devices.append(made)
        return made.start(seed)

    def seed(self, *images: str) -> Path:
        """The disk of a device that has these images of this machine's own Docker; made once a session."""
        if images not in self._seeds:
            made = self._seeds[images] = self.device(f"seed-{len(self._seeds)}")
            with subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE) as saved:
                loading = ["docker", "-H", made.socket, "load"]
                done = subprocess.run(loading, stdin=saved.stdout, capture_output=True, check=False)
            assert (saved.returncode, done.returncode) == (0, 0), done.stderr
            made.stop()
        return self._seeds[images].data


def remove_orphans() -> None:
    """What a session left that was killed: its daemons ended with it, its folders did not."""
    for folder in Path("/tmp").glob(f"{_PREFIX}*"):
        found = _FOLDER.match(folder.name)
        if found and not Path(f"/proc/{found[1]}").exists():
            remove_folder(folder)


def remove_folder(folder: Path) -> None:
    """With what is mounted in it: a daemon leaves its network namespace there, a killed one its containers' disks."""
    mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for path in sorted((path for path in mounted if Path(path).is_relative_to(folder)), reverse=True):
        _done("umount", "--lazy", path)
    shutil.rmtree(folder)


def _copy_disk(seed: Path, data: Path) -> None:
    """The files of images are never written again: they are linked. Everything else is copied."""
    for part in seed.iterdir():
        is_layers = part.name == "overlay2" and part.stat().st_dev == data.stat().st_dev
        _done("cp", "-al" if is_layers else "-a", part, data)


def _make_key(path: Path) -> None:
    _done("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", path)


def _done(*command: object) -> None:
    finished([str(part) for part in command], code=0, timeout_s=120)


def _begun(command: list[object], log: Path) -> "subprocess.Popen[bytes]":
    """It ends with this process, whatever ends that."""
    with log.open("wb") as output:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _until(condition: Callable[[], bool], process: "subprocess.Popen[bytes]", log: Path, limit_s: float = 60) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        is_well = process.poll() is None and time.monotonic() < deadline
        assert is_well, log.read_text(errors="replace")[-3000:]
        time.sleep(0.1)


def _below(process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return
