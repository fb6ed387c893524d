"""An SSH server on loopback that lets any key in, and gives every command to a function of the test's."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import paramiko
from paramiko.common import AUTH_FAILED, AUTH_SUCCESSFUL, OPEN_SUCCEEDED

Command = Callable[[paramiko.Channel], None]


@dataclass
class _Server(paramiko.ServerInterface):
    run: Command
    lets_in: bool = True

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return AUTH_SUCCESSFUL if self.lets_in else AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        assert command == b"docker system dial-stdio"
        threading.Thread(target=self.run, args=(channel,), daemon=True).start()
        return True


@dataclass
class SshServer:
    port: int
    key: paramiko.PKey
    transports: list[paramiko.Transport] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"ssh://jetson@127.0.0.1:{self.port}"

    def known_hosts_line(self, key: paramiko.PKey | None = None) -> str:
        key = key or self.key
        return f"[127.0.0.1]:{self.port} {key.get_name()} {key.get_base64()}\n"

    def cut(self) -> None:
        for transport in self.transports:
            transport.close()


@contextmanager
def ssh_server(run: Command, *, lets_in: bool = True) -> Iterator[SshServer]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = SshServer(listener.getsockname()[1], paramiko.ECDSAKey.generate())

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # closed at the end
                return
            transport = paramiko.Transport(connection)
            transport.add_server_key(server.key)
            server.transports.append(transport)
            transport.start_server(event=threading.Event(), server=_Server(run, lets_in))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        server.cut()


def says(text: str, code: int = 1) -> Command:
    """A shell that complains and ends."""

    def run(channel: paramiko.Channel) -> None:
        with suppress(OSError, EOFError), closing(channel):  # who asked may have gone
            channel.sendall_stderr(text.encode())
            channel.send_exit_status(code)

    return run


def relay(port: int) -> Command:
    """To what listens at this port of loopback, as `docker system dial-stdio` does to its daemon."""

    def run(channel: paramiko.Channel) -> None:
        with suppress(OSError, EOFError), closing(channel), socket.create_connection(("127.0.0.1", port)) as inside:
            back = threading.Thread(
                target=_pump, args=(inside.recv, channel.sendall, channel.shutdown_write), daemon=True
            )
            back.start()
            _pump(channel.recv, inside.sendall, lambda: inside.shutdown(socket.SHUT_WR))
            back.join()

    return run


def _pump(read: Callable[[int], bytes], write: Callable[[bytes], object], end: Callable[[], object]) -> None:
    try:
        while data := read(1 << 16):
            write(data)
        end()
    except (OSError, EOFError):  # the other side went first
        return


def operators_home(folder: Path, *lines: str) -> Path:
    """A home with a key, and these known hosts."""
    (folder / ".ssh").mkdir(parents=True, mode=0o700)
    paramiko.ECDSAKey.generate().write_private_key_file(str(folder / ".ssh" / "id_ecdsa"))
    (folder / ".ssh" / "known_hosts").write_text("".join(lines))
    return folder
