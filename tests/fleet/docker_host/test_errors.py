"""Each foreign error becomes ours, with what to do next; none is forgotten."""

import errno
import http.client
import inspect
import socket
import ssl
from types import ModuleType

import docker.errors
import paramiko
import pytest
import requests
import urllib3.exceptions
from paramiko.hostkeys import InvalidHostKey

from app.errors import DeviceLost, FleetError
from app.fleet.docker_host.errors import FOREIGN, fleet_error, mapped

RESET = ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")


def api_error(text: str, status: int = 500) -> docker.errors.APIError:
    response = requests.Response()
    response.status_code = status
    return docker.errors.APIError("x", response=response, explanation=text)


CASES = [
    (
        requests.ConnectionError(urllib3.exceptions.ProtocolError("Connection aborted.", RESET)),
        "stopped answering",
        True,
    ),
    (urllib3.exceptions.ProtocolError("broken", http.client.IncompleteRead(b"")), "stopped answering", True),
    (http.client.RemoteDisconnected("Remote end closed connection"), "stopped answering", True),
    (EOFError(), "stopped answering", True),
    (BrokenPipeError(errno.EPIPE, "Broken pipe"), "stopped answering", True),
    (urllib3.exceptions.ReadTimeoutError(None, "/", "x"), "did not answer in time", True),  # type: ignore[arg-type]
    (requests.ReadTimeout("x"), "did not answer in time", True),
    (TimeoutError("timed out"), "did not answer in time", True),
    (OSError(errno.EHOSTUNREACH, "No route to host"), "No route to host", True),
    (
        paramiko.ssh_exception.NoValidConnectionsError({("h", 22): ConnectionRefusedError(111, "no")}),
        "nothing listens",
        True,
    ),
    (
        paramiko.ssh_exception.NoValidConnectionsError({("h", 22): OSError(errno.ENETUNREACH, "unreachable")}),
        "no way leads to it",
        True,
    ),
    (paramiko.SSHException("Timeout opening channel."), "Timeout opening channel", True),
    (paramiko.SSHException("No authentication methods available"), "lets nobody in", False),
    (paramiko.PasswordRequiredException("x"), "passphrase", False),
    (paramiko.AuthenticationException("x"), "lets nobody in", False),
    (InvalidHostKey("line", ValueError("x")), "known_hosts", False),
    (socket.gaierror(-2, "Name or service not known"), "name leads to no address", False),
    (PermissionError(errno.EACCES, "Permission denied"), "may not be opened", False),
    (requests.exceptions.SSLError(ssl.SSLError(1, "bad certificate")), "TLS failed", False),
    (docker.errors.TLSParameterError("x"), "TLS failed", False),
    (requests.JSONDecodeError("x", "y", 0), "not Docker", False),
    (docker.errors.StreamParseError("x"), "not Docker", False),
    (http.client.BadStatusLine("SSH-2.0"), "not Docker", False),
    (RecursionError("deep"), "not Docker", False),
    (api_error("conflict"), "its Docker refused: conflict", False),
    (api_error("write /x: no space left on device"), "disk is full", False),
    (api_error("write /x: read-only file system"), "cannot be written", False),
    (api_error("unknown or invalid runtime name: nvidia"), "lacks a runtime", False),
    (api_error("unauthorized: authentication required"), "registry", False),
    (api_error("client version 1.24 is too old. Minimum supported API version is 1.44"), "too new", False),
    (docker.errors.ImageLoadError("half"), "half", False),
]


@pytest.mark.parametrize(("error", "message", "is_lost"), CASES, ids=lambda value: str(value)[:30])
def test_each_has_a_cause_a_remedy_and_whether_to_ask_again(error: Exception, message: str, is_lost: bool) -> None:
    with pytest.raises(FleetError) as raised, mapped():
        raise error
    assert message in raised.value.message
    assert raised.value.hint
    assert isinstance(raised.value, DeviceLost) == is_lost
    assert raised.value.__cause__ is error


@pytest.mark.parametrize(
    "module", [docker.errors, requests.exceptions, urllib3.exceptions, paramiko.ssh_exception], ids=lambda m: m.__name__
)
def test_no_error_of_a_library_is_forgotten(module: ModuleType) -> None:
    kinds = [kind for _, kind in inspect.getmembers(module, inspect.isclass) if issubclass(kind, Exception)]
    own = [kind for kind in kinds if kind.__module__ == module.__name__]
    errors = [kind for kind in own if not issubclass(kind, Warning) and "Proxy" not in kind.__name__]
    assert len(errors) > 8
    assert [kind for kind in errors if not issubclass(kind, FOREIGN)] == []


def test_an_error_of_ours_in_between_is_the_one_that_is_told() -> None:
    ours = FleetError("the lock was lost", hint="Look who has it.")
    wrapped = requests.ConnectionError(urllib3.exceptions.ProtocolError("Connection aborted.", ours))
    assert fleet_error(wrapped) is ours


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(KeyError), mapped():
        raise KeyError("x")


def test_a_long_answer_is_told_in_short() -> None:
    assert len(fleet_error(api_error("x" * 100_000)).message) < 400


def test_a_full_disk_is_emptied_by_what_takes_tagged_images_as_well() -> None:
    assert "docker image prune --all --filter label=" in fleet_error(api_error("no space left on device")).hint
