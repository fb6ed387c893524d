"""The SDK's own SSH transport, with limits on every wait, one pool of channels, and ears for what the shell says."""

import errno
import logging
import os
import re
import select
import shlex
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import docker.transport
import paramiko

from app.errors import DeviceLost, FleetError
from app.fleet.docker_host.errors import FOREIGN

CONNECT_S = 20.0  # TCP, and a banner from a busy board
CHANNEL_S = 30.0  # paramiko's own limit is an hour
KEEPALIVE_S = 15  # so that a site's router does not forget a connection that waits for a conversion
_PORT = 22
_GLOBAL_KNOWN_HOSTS = Path("/etc/ssh/ssh_known_hosts")
_LAST_READ_S = 2.0  # paramiko's thread looks ten times a second whether it is over
_LAST_WORDS_S = 1.0
_MOST_BYTES = 2000
_MOST_OF_A_PIPE = 1 << 16
_MOST_SHOWN = 300
_OF_THE_SERVER = (paramiko.AuthenticationException, paramiko.BadHostKeyException)
_INCLUDE = re.compile(r"^\s*include\b", re.IGNORECASE | re.MULTILINE)


class Adapter(docker.transport.SSHHTTPAdapter):
    """
    The SDK waits without an end for a host that drops packets, and opens a session for each kind of request.

    Args:
        remaining_s: asked when it connects.
    """

    ssh_params: dict[str, Any]  # of the SDK

    def __init__(self, address: str, remaining_s: Callable[[], float]) -> None:
        self._remaining_s, self._host = remaining_s, urlsplit(address).hostname or ""
        super().__init__(address)

    def _connect(self) -> None:
        """The SDK calls it once it has made its client and read ~/.ssh/config."""
        if self.ssh_client is None:
            return
        logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # its errors are raised as well
        self.ssh_client.set_missing_host_key_policy(_Refuse())
        if _GLOBAL_KNOWN_HOSTS.is_file():
            self.ssh_client.load_system_host_keys(str(_GLOBAL_KNOWN_HOSTS))
        self.ssh_params["port"] = int(self.ssh_params["port"] or _PORT)
        jump = _jump(self._host, self.ssh_params)
        if jump and "sock" not in self.ssh_params:
            self.ssh_params["sock"] = paramiko.ProxyCommand(jump)
        between: Any = self.ssh_params.get("sock")
        if between is not None:
            between.close = between.process.kill  # its own fails, in paramiko's thread, once the program has ended
            between.recv = partial(_received, between)
        keys = self.ssh_params.get("key_filename") or ()
        self.ssh_params["key_filename"] = [name for name in keys if Path(name).is_file()]  # as ssh: others may do
        limit = min(CONNECT_S, self._remaining_s())
        limits: dict[str, Any] = dict.fromkeys(("timeout", "banner_timeout", "auth_timeout"), limit)
        try:
            self.ssh_client.connect(
                **self.ssh_params, **limits, channel_timeout=CHANNEL_S, transport_factory=_transport
            )
        except BaseException as error:
            reason = self._reason(error)
            self._hang_up()
            if reason is not None:
                raise reason from error
            raise
        if self._transport is not None:
            self._transport.set_keepalive(KEEPALIVE_S)

    def _reason(self, error: BaseException) -> FleetError | None:
        """What paramiko does not know: why the program between here and there ended, and that a file was not read."""
        between, has_answered = self.ssh_params.get("sock"), isinstance(error, _OF_THE_SERVER)
        if isinstance(error, socket.gaierror) and _INCLUDE.search(_config_text()):
            return FleetError(
                f"its name leads to no address: {error}",
                hint="~/.ssh/config has Include, and what that names is not read here. Put the device's Host into "
                "~/.ssh/config itself, or its user, address and port into the fleet file.",
            )
        if isinstance(between, paramiko.ProxyCommand) and isinstance(error, FOREIGN) and not has_answered:
            said = _complaint(between.process)
            if said:
                return DeviceLost(
                    f"the way to it ended: {said}",
                    hint="That is ProxyJump or ProxyCommand of ~/.ssh/config. Does ssh to it work, without a question?",
                )
        return None

    def close(self) -> None:
        self._hang_up()
        super().close()

    def _hang_up(self) -> None:
        """And end the program between here and there, if there is one: paramiko lets it lie."""
        transport, between = self._transport, self.ssh_params.get("sock")
        if self.ssh_client is not None:
            self.ssh_client.close()
        if isinstance(between, paramiko.ProxyCommand):
            between.process.kill()
            if transport is not None:
                transport.join(_LAST_READ_S)
            with between.process:  # closes its pipes, and waits
                pass

    @property
    def _transport(self) -> "_Transport | None":
        transport = self.ssh_client.get_transport() if self.ssh_client else None
        return transport if isinstance(transport, _Transport) else None

    def get_connection(self, url: Any, proxies: Any = None) -> Any:
        """One pool: the SDK's is one for each URL, and sshd allows ten sessions."""
        return super().get_connection("docker")

    def last_words(self) -> str:
        """What the shell over there said on its standard error, for which it gets a moment."""
        transport = self._transport
        return _words(transport.last) if transport and transport.last else ""


class _Transport(paramiko.Transport):
    last: paramiko.Channel | None = None

    def open_session(self, *arguments: Any, **named: Any) -> Any:
        self.last = super().open_session(*arguments, **named)
        return _Pipe(self.last)


class _Pipe:
    """
    A channel that says what a socket says when the other side has closed.

    A daemon whose disk is full answers in the midst of an upload and hangs up: only after a broken pipe its answer is
    read.
    """

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel

    def sendall(self, data: bytes) -> None:
        try:
            self._channel.sendall(data)
        except TimeoutError:
            raise
        except OSError as error:
            raise BrokenPipeError(errno.EPIPE, str(error)) from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)


def _jump(host: str, params: Mapping[str, Any]) -> str:
    """What OpenSSH itself runs for ProxyJump in ~/.ssh/config; the SDK knows ProxyCommand alone."""
    *before, last = paramiko.SSHConfig.from_text(_config_text()).lookup(host).get("proxyjump", "none").split(",")
    if last.strip().lower() == "none":
        return ""
    over = ["-J", ",".join(before)] if before else []
    aim = f"[{params['hostname']}]:{params['port']}"
    return shlex.join(["ssh", "-o", "BatchMode=yes", *over, "-W", aim, f"ssh://{last.strip().removeprefix('ssh://')}"])


def _config_text() -> str:
    config = Path("~/.ssh/config").expanduser()
    return config.read_text(encoding="utf-8", errors="replace") if config.is_file() else ""


def _received(between: Any, size: int) -> bytes:
    """Paramiko's own goes round and round once the program has ended."""
    ready, _, _ = select.select([between.process.stdout], [], [], between.timeout)
    if not ready:
        raise TimeoutError
    return os.read(between.process.stdout.fileno(), size)


def _complaint(program: Any) -> str:
    """Its last words; none where it still runs."""
    try:
        code = program.wait(_LAST_WORDS_S)
    except subprocess.TimeoutExpired:
        return ""
    os.set_blocking(program.stderr.fileno(), False)  # another that it has started may hold it open
    said = (program.stderr.read(_MOST_OF_A_PIPE) or b"").decode(errors="replace").strip()
    return said[-_MOST_SHOWN:] or f"exit code {code}"


def _transport(sock: Any, **options: Any) -> _Transport:
    return _Transport(sock, disabled_algorithms=options.get("disabled_algorithms"))


def _words(channel: paramiko.Channel) -> str:
    until = time.monotonic() + _LAST_WORDS_S
    while not channel.exit_status_ready() and time.monotonic() < until:
        time.sleep(0.02)
    said = b""
    while channel.recv_stderr_ready() and len(said) < _MOST_BYTES:
        said += channel.recv_stderr(_MOST_BYTES)
    return said.decode(errors="replace")


class _Refuse(paramiko.MissingHostKeyPolicy):
    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        raise FleetError(
            f"its SSH host key is not known here: {key.get_name()} {key.fingerprint}",
            hint="The right device tells the same: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub (or _rsa, _ecdsa). "
            f"Then accept it: ssh-keyscan {_scanned(hostname)} >> ~/.ssh/known_hosts",
        )


def _scanned(hostname: str) -> str:
    """As ssh-keyscan wants it, from paramiko's "[host]:port"."""
    host, _, port = hostname.removeprefix("[").partition("]:")
    return f"-p {port} {shlex.quote(host)}" if port else shlex.quote(hostname)
