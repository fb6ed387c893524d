"""Every way in which a device is not there, against real sockets: each ends in time, with a cause and a remedy."""

import base64
import gc
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import docker.errors
import paramiko
import pytest

from app.errors import DeviceLost, FleetError
from app.fleet.docker_host import ssh
from app.fleet.docker_host.connection import Connection
from tests.doubles.docker_api import VERSION, Answer, DockerApi, answer, docker_api
from tests.doubles.ssh_server import operators_home, relay, says, ssh_server
from tests.fleet.docker_host.watch import StepWatch


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An operator's, who knows no device yet."""
    for name in ("SSH_AUTH_SOCK", "DOCKER_HOST", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(operators_home(tmp_path / "home")))
    return tmp_path / "home"


def know(home: Path, line: str) -> None:
    with (home / ".ssh" / "known_hosts").open("a") as file:
        file.write(line)


@pytest.fixture
def silent() -> Iterator[int]:
    """Takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def failure(address: str, *, seconds: float = 20.0) -> FleetError:
    connection = Connection(address)
    began = time.monotonic()
    with pytest.raises(FleetError) as raised, connection.request(StepWatch(seconds)) as client:
        client.api.info()
    assert time.monotonic() - began < seconds + 10
    connection.close()
    assert raised.value.hint
    return raised.value


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.mark.parametrize("address", ["ssh://jetson@127.0.0.1:{}", "tcp://127.0.0.1:{}"])
def test_a_closed_port(address: str) -> None:
    error = failure(address.format(closed_port()))
    assert isinstance(error, DeviceLost)
    assert error.message == "nothing listens at its address"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_missing_socket(tmp_path: Path) -> None:
    assert "no such file" in failure(f"unix://{tmp_path}/docker.sock").message
    gc.collect()  # the SDK leaves its socket to the collector, which warns; here, not in a later test


def test_a_name_that_nobody_knows() -> None:
    assert "name leads to no address" in failure("ssh://jetson@no-such-device.invalid").message


def test_a_silent_listener_behind_ssh(silent: int) -> None:
    error = failure(f"ssh://jetson@127.0.0.1:{silent}", seconds=2)
    assert isinstance(error, DeviceLost)
    assert "no SSH server answers" in error.message


def test_a_silent_docker(silent: int) -> None:
    error = failure(f"tcp://127.0.0.1:{silent}", seconds=2)
    assert isinstance(error, DeviceLost)
    assert "did not answer in time" in error.message


def test_a_silent_docker_behind_a_good_ssh(home: Path, silent: int) -> None:
    with ssh_server(relay(silent)) as server:
        know(home, server.known_hosts_line())
        assert "did not answer in time" in failure(server.address, seconds=4).message


def test_an_unknown_host_key_says_how_to_accept_it() -> None:
    with ssh_server(says("")) as server:
        error = failure(server.address)
    assert f"not known here: {server.key.get_name()} {server.key.fingerprint}" in error.message
    assert f"ssh-keyscan -p {server.port} 127.0.0.1 >> ~/.ssh/known_hosts" in error.hint
    assert not isinstance(error, DeviceLost)


CONFIG = """\
Host press
  Hostname 127.0.0.1
  Port {port}
  User jetson
Host behind
  Hostname 127.0.0.1
  Port {port}
  ProxyCommand {python} -c "{pump}" {port}
"""
PUMP = "import socket,sys,threading,os;s=socket.create_connection(('127.0.0.1',int(sys.argv[1])));" + (
    "threading.Thread(target=lambda:[os.write(1,d) for d in iter(lambda:s.recv(9999),b'')],daemon=True).start();"
    "[s.sendall(d) for d in iter(lambda:os.read(0,9999),b'')]"
)


@pytest.mark.parametrize("address", ["ssh://press", "ssh://behind"])
def test_hosts_of_the_operators_ssh_config(home: Path, address: str) -> None:
    with docker_api({"/version": VERSION, "/info": answer("{}")}) as api, ssh_server(relay(api.port)) as server:
        know(home, server.known_hosts_line())
        (home / ".ssh" / "config").write_text(CONFIG.format(port=server.port, python=sys.executable, pump=PUMP))
        connection = Connection(address)
        with connection.request(StepWatch()) as client:
            assert client.api.info() == {}
        connection.close()


@pytest.mark.parametrize(
    ("jump", "command"),
    [
        ("none", ""),
        ("gate", "ssh -o BatchMode=yes -W '[10.0.0.7]:2222' ssh://gate"),
        ("me@gate:2200", "ssh -o BatchMode=yes -W '[10.0.0.7]:2222' ssh://me@gate:2200"),
        ("a,me@b", "ssh -o BatchMode=yes -J a -W '[10.0.0.7]:2222' ssh://me@b"),
    ],
)
def test_a_host_behind_another(home: Path, jump: str, command: str) -> None:
    (home / ".ssh" / "config").write_text(f"Host press\n  ProxyJump {jump}\n")
    assert ssh._jump("press", {"hostname": "10.0.0.7", "port": 2222}) == command
    assert ssh._jump("other", {"hostname": "10.0.0.7", "port": 2222}) == ""


def test_a_key_file_that_is_not_there_is_passed_over(home: Path) -> None:
    with docker_api({"/version": VERSION, "/info": answer("{}")}) as api, ssh_server(relay(api.port)) as server:
        know(home, server.known_hosts_line())
        (home / ".ssh" / "config").write_text(f"Host 127.0.0.1\n  IdentityFile {home}/.ssh/no_such_key\n")
        connection = Connection(server.address)
        with connection.request(StepWatch()) as client:
            assert client.api.info() == {}
        connection.close()


@pytest.mark.parametrize(
    ("way", "said"),
    [
        pytest.param(
            "ProxyJump me@127.0.0.1:{}",
            "Connection refused",
            id="jump",
            marks=pytest.mark.skipif(shutil.which("ssh") is None, reason="no ssh"),
        ),
        pytest.param(
            'ProxyCommand sh -c "echo no route to the gate >&2; exit 1"', "no route to the gate", id="command"
        ),
        pytest.param("ProxyCommand false", "exit code 1", id="without-a-word"),
    ],
)
def test_what_the_program_on_the_way_says_is_told(home: Path, way: str, said: str) -> None:
    (home / ".ssh" / "config").write_text(f"Host press\n  {way.format(closed_port())}\n")
    error = failure("ssh://jetson@press")
    assert isinstance(error, DeviceLost)
    assert "the way to it ended" in error.message
    assert said in error.message
    assert "ProxyJump" in error.hint


def test_a_refused_login_behind_a_program_is_told_as_such(home: Path) -> None:
    with ssh_server(says(""), lets_in=False) as server:
        know(home, server.known_hosts_line())
        (home / ".ssh" / "config").write_text(CONFIG.format(port=server.port, python=sys.executable, pump=PUMP))
        assert "ssh-copy-id" in failure("ssh://behind").hint


@pytest.mark.parametrize("has_include", [True, False])
def test_a_name_that_an_included_file_may_have(home: Path, has_include: bool) -> None:
    (home / ".ssh" / "config").write_text("  include devices\n" if has_include else "Host other\n  User include\n")
    error = failure("ssh://jetson@no-such-device.invalid")
    assert "name leads to no address" in error.message
    assert ("has Include" in error.hint) == has_include


def test_the_usual_port(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(paramiko.SSHClient, "connect", lambda self, **params: asked.append(params["port"]))
    ssh.Adapter("ssh://jetson@127.0.0.1", StepWatch().remaining_s)
    assert asked == [22]


def test_another_host_key_than_the_known_one(home: Path) -> None:
    with ssh_server(says("")) as server:
        know(home, server.known_hosts_line(paramiko.ECDSAKey.generate()))
        error = failure(server.address)
    assert "another than the known one" in error.message
    assert server.key.fingerprint in error.message
    assert "ssh-keygen -R" in error.hint


def test_a_login_that_is_refused(home: Path) -> None:
    with ssh_server(says(""), lets_in=False) as server:
        know(home, server.known_hosts_line())
        assert "ssh-copy-id" in failure(server.address).hint


@pytest.mark.parametrize(
    ("said", "message", "hint"),
    [
        pytest.param("bash: docker: command not found", "no command docker", "install Docker", id="no-docker"),
        pytest.param(
            "permission denied while trying to connect to the Docker daemon socket",
            "may not use Docker",
            "usermod -aG docker",
            id="no-group",
        ),
        pytest.param(
            "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
            "not running",
            "systemctl start docker",
            id="no-daemon",
        ),
        pytest.param("Segmentation fault", "Segmentation fault", "Look at the device", id="anything"),
    ],
)
def test_what_the_devices_shell_says_is_told(home: Path, said: str, message: str, hint: str) -> None:
    with ssh_server(says(said)) as server:
        know(home, server.known_hosts_line())
        error = failure(server.address)
    assert message in error.message
    assert hint in error.hint


def test_requests_over_ssh_and_again_after_a_cut(home: Path) -> None:
    with (
        docker_api({"/version": VERSION, "/info": answer('{"Name": "here"}')}) as api,
        ssh_server(relay(api.port)) as server,
    ):
        know(home, server.known_hosts_line())
        connection, watch = Connection(server.address), StepWatch()
        with connection.request(watch) as client:
            assert client.api.info() == {"Name": "here"}
        assert "GET /v1.41/info" in api.asked
        server.cut()
        with pytest.raises(DeviceLost), connection.request(watch) as client:
            client.api.info()
        with connection.request(watch) as client:
            assert client.api.info() == {"Name": "here"}
        connection.close()


def test_a_question_is_asked_again_while_the_uplink_comes_and_goes(home: Path) -> None:
    with docker_api({"/version": VERSION, "/info": answer("{}")}) as api, ssh_server(relay(api.port)) as server:
        know(home, server.known_hosts_line())
        connection, watch = Connection(server.address), StepWatch()
        assert connection.ask(watch, lambda client: client.api.info()) == {}
        server.cut()
        assert connection.ask(watch, lambda client: client.api.info()) == {}
        connection.close()


def test_a_device_that_never_answered_is_not_waited_for() -> None:
    connection, began = Connection(f"tcp://127.0.0.1:{closed_port()}"), time.monotonic()
    with pytest.raises(DeviceLost, match="nothing listens"):
        connection.ask(StepWatch(20.0), lambda client: client.api.info())
    assert time.monotonic() - began < 10


def test_a_question_that_cannot_be_answered_is_asked_once() -> None:
    with docker_api({"/version": VERSION}) as api:
        connection = Connection(api.address)
        with pytest.raises(FleetError):
            connection.ask(StepWatch(), lambda client: client.api.info())
        assert len(api.asked) == 2
        connection.close()


def test_one_session_serves_all_requests(home: Path) -> None:
    """sshd's default limit is ten, and each is a program started on the device."""
    opened: list[int] = []
    with docker_api({"/version": VERSION, "": answer("[]")}) as api, ssh_server(relay(api.port)) as server:
        know(home, server.known_hosts_line())
        connection = Connection(server.address)
        with connection.request(StepWatch()) as client:
            for index in range(20):
                client.api.images(name=f"x{index}")
                opened.append(len(server.transports[0]._channels.values()))  # type: ignore[attr-defined]
        connection.close()
    assert max(opened) == 1


def hangs(handler: object) -> None:
    time.sleep(1)


NOT_DOCKER: dict[str, Answer] = {
    "html": answer("<html>router</html>"),
    "a-list": answer("[1]"),
    "no-version": answer("{}"),
    "a-strange-version": answer('{"ApiVersion": "../../etc"}'),
    "a-number": answer('{"ApiVersion": 1.41}'),
    "deep": answer("[" * 200_000),
    "a-list-as-error": answer("[]", 500),
    "no-message-as-error": answer('{"message": {"a": 1}}', 404),
    "no-utf-8": answer(b"\xff\xfe\x00"),
}


@pytest.mark.parametrize("wrong", NOT_DOCKER.values(), ids=NOT_DOCKER.keys())
def test_what_is_not_docker(wrong: Answer) -> None:
    with docker_api({"/version": wrong}) as api:
        assert "not Docker" in failure(api.address).message


def test_nobody_is_followed_elsewhere() -> None:
    with docker_api({"/version": VERSION, "/info": answer("{}")}) as other:

        def elsewhere(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(302)
            handler.send_header("Location", f"http://127.0.0.1:{other.port}/version")
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        with docker_api({"/version": elsewhere}) as api:
            assert "not Docker" in failure(api.address).message
        assert other.asked == []


def test_an_answer_without_an_end_takes_no_memory() -> None:
    def endless(handler: object) -> None:
        handler.send_response(200)  # type: ignore[attr-defined]
        handler.send_header("Content-Length", str(1 << 40))  # type: ignore[attr-defined]
        handler.end_headers()  # type: ignore[attr-defined]
        try:
            while True:
                handler.wfile.write(b" " * (1 << 20))  # type: ignore[attr-defined]
        except OSError:
            return

    with docker_api({"/version": VERSION, "/info": endless}) as api:
        assert "more than 8 MiB" in failure(api.address, seconds=120).message


def test_a_log_may_be_larger_than_what_is_parsed() -> None:
    line = b" " * (1 << 20)
    frames = (b"\x01\0\0\0" + len(line).to_bytes(4, "big") + line) * 9
    told = {"/version": VERSION, "/x/json": answer('{"Config": {"Tty": false}}'), "/logs": answer(frames)}
    with docker_api(told) as api:
        connection = Connection(api.address)
        with connection.request(StepWatch()) as client:
            assert client.api.logs("x") == line * 9
        connection.close()


def chunks(*pieces: bytes) -> Answer:
    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for piece in pieces:
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        handler.wfile.write(b"0\r\n\r\n")

    return send


def pulled(api: DockerApi) -> list[Any]:
    connection = Connection(api.address)
    try:
        with connection.request(StepWatch(60), at_most_s=5) as client:
            return list(client.api.pull("x", tag="1", stream=True, decode=True))
    finally:
        connection.close()


def chunk_of(size: int) -> Answer:
    """It is said to be so large; what comes of it is less."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"%x\r\n" % size + b" " * (2 << 20))

    return send


@pytest.mark.parametrize(
    ("told", "events"),
    [
        pytest.param(chunks(b'{"a": 1}\r\n{"a"', b": 2}\r\n\r\n", b'{"a": 3}'), [1, 2, 3], id="in-pieces"),
        pytest.param(chunks(*(b"%c" % one for one in b'{"a": 1}\n')), [1], id="byte-by-byte"),
        pytest.param(chunks(b'{"a": "%s"}\n' % (b"x" * 50_000)), ["x" * 50_000], id="a-long-one"),
        pytest.param(answer('{"a": 1}\r\n{"a": 2}'), [1, 2], id="in-no-chunks"),
        pytest.param(chunks(), [], id="none"),
    ],
)
def test_events(told: Answer, events: list[object]) -> None:
    with docker_api({"/version": VERSION, "/images/create": told}) as api:
        assert [event["a"] for event in pulled(api)] == events


@pytest.mark.parametrize(
    ("told", "why"),
    [
        pytest.param(answer(b'"' + b" " * (2 << 20)), "more than 64 KiB", id="in-no-chunks"),
        pytest.param(chunks(*[b'"' + b"x" * 9_999] * 20), "more than 64 KiB", id="a-string-without-an-end"),
        pytest.param(chunk_of(1 << 40), "more than 64 KiB", id="a-chunk-as-large-as-all-memory"),
        pytest.param(chunks(b"<html>\n"), "<html>", id="html"),
        pytest.param(chunks(b"[" * 60_000 + b"\n"), "recursion", id="deep"),
    ],
)
def test_events_that_are_none_end_before_they_take_memory(told: Answer, why: str) -> None:
    with docker_api({"/version": VERSION, "/images/create": told}) as api, pytest.raises(FleetError) as raised:
        pulled(api)
    assert "not Docker" in raised.value.message
    assert why in raised.value.message


def test_the_body_of_a_redirect_is_not_read_without_a_limit() -> None:
    def elsewhere(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", "/elsewhere")
        handler.send_header("Content-Length", str(9 << 20))
        handler.end_headers()
        handler.wfile.write(b" " * (9 << 20))

    with (
        docker_api({"/version": VERSION, "/images/create": elsewhere}) as api,
        pytest.raises(FleetError, match="more than 8 MiB"),
    ):
        pulled(api)


def test_an_answer_that_drips_ends_with_the_steps_time() -> None:
    def dripping(handler: object) -> None:
        handler.send_response(200)  # type: ignore[attr-defined]
        handler.send_header("Content-Length", "100000")  # type: ignore[attr-defined]
        handler.end_headers()  # type: ignore[attr-defined]
        try:
            for _ in range(200):
                handler.wfile.write(b" " * 500)  # type: ignore[attr-defined]
                time.sleep(0.05)
        except OSError:
            return

    with docker_api({"/version": VERSION, "/info": dripping}) as api:
        began = time.monotonic()
        failure(api.address, seconds=1)
        assert time.monotonic() - began < 10


def test_an_archive_that_stops_in_the_middle_is_not_waited_for() -> None:
    over = threading.Event()

    def stopping(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("X-Docker-Container-Path-Stat", base64.b64encode(b"{}").decode())
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b" " * 10)
        over.wait(30)

    with docker_api({"/version": VERSION, "/archive": stopping}) as api:
        connection, began = Connection(api.address), time.monotonic()
        with pytest.raises(DeviceLost, match="in time"), connection.request(StepWatch(), at_most_s=1) as client:
            b"".join(client.api.get_archive("x", "/y")[0])
        assert time.monotonic() - began < 15
        connection.close()
        over.set()


def test_dockers_own_error_is_told_with_a_remedy() -> None:
    full = answer('{"message": "write /var/lib/docker/x: no space left on device"}', 500)
    with docker_api({"/version": VERSION, "/info": full}) as api:
        error = failure(api.address)
    assert "disk is full" in error.message
    assert "docker system df" in error.hint


@pytest.mark.parametrize("way", ["ssh", "tcp"])
def test_an_upload_that_is_refused_in_the_middle_is_told_with_its_reason(home: Path, way: str) -> None:
    def refusing(handler: BaseHTTPRequestHandler) -> None:
        handler.rfile.read(1 << 20)
        answer('{"message": "write /x: no space left on device"}', 500)(handler)
        handler.close_connection = True

    def upload() -> Iterator[bytes]:
        while True:
            yield b" " * (1 << 16)

    with docker_api({"/version": VERSION, "/load": refusing}) as api, ssh_server(relay(api.port)) as server:
        know(home, server.known_hosts_line())
        connection = Connection(server.address if way == "ssh" else api.address)
        with pytest.raises(FleetError, match="disk is full"), connection.request(StepWatch()) as client:
            list(client.images.load(upload()))  # type: ignore[arg-type]
        connection.close()


def test_what_is_not_found_can_be_caught_inside() -> None:
    with docker_api({"/version": VERSION}) as api:
        connection = Connection(api.address)
        with connection.request(StepWatch()) as client, pytest.raises(docker.errors.NotFound):
            client.api.inspect_container("x")
        connection.close()


@pytest.mark.parametrize("address", ["tcp://192.0.2.1:2375", "tcp://device.example:2376"])
def test_tcp_to_another_machine_needs_certificates(address: str) -> None:
    error = failure(address)
    assert "needs TLS" in error.message
    assert "DOCKER_CERT_PATH" in error.hint


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{closed_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with docker_api({"/version": VERSION, "/info": answer("{}")}) as api:
        connection = Connection(api.address)
        with connection.request(StepWatch()) as client:
            assert client.api.info() == {}
        connection.close()


def test_a_step_whose_time_is_over_asks_nothing() -> None:
    with docker_api({"/version": VERSION}) as api:
        error = failure(api.address, seconds=-1)
        assert "longer than it may" in error.message
        assert api.asked == []
