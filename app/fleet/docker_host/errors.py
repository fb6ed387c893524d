"""What the SDK, requests, urllib3, paramiko and the system raise, in words: what it means, and what to do next."""

import http.client
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import docker.errors
import paramiko
import requests
import urllib3.exceptions
from paramiko.hostkeys import InvalidHostKey

from app.errors import DeviceLost, FleetError
from app.fleet.fitness import PRUNE

FOREIGN = (
    *(docker.errors.DockerException, docker.errors.StreamParseError, requests.RequestException),
    *(
        urllib3.exceptions.HTTPError,
        http.client.HTTPException,
        paramiko.SSHException,
        InvalidHostKey,
        OSError,
        EOFError,
    ),
    *(UnicodeError, RecursionError),
)
_GARBLED = (
    *(requests.JSONDecodeError, requests.TooManyRedirects, docker.errors.StreamParseError, http.client.HTTPException),
    *(UnicodeError, RecursionError),
)
_LOOK = "Look at the device, then run it again: it goes on where it stopped."
_MOST_SHOWN = 300
_MAX_CAUSES = 32


@contextmanager
def mapped(said: Callable[[], str] = str) -> Iterator[None]:
    """
    Args:
        said: what the device's shell had to say beside the answer, asked for once something went wrong.

    Raises:
        FleetError: for everything foreign; `DeviceLost` where asking again later may help.
    """
    try:
        yield
    except FOREIGN as error:
        raise fleet_error(error, said) from error


def fleet_error(error: BaseException, said: Callable[[], str] = str) -> FleetError:
    causes = list(_causes(error))
    for kind, translate in _KINDS:
        found = next((cause for cause in causes if isinstance(cause, kind)), None)
        if found is not None:
            return translate(found, said)
    return FleetError(f"Docker's library failed: {_text(error)}", hint=_LOOK)


def not_docker(why: str) -> FleetError:
    return FleetError(
        f"what answers there is not Docker: {why[:_MOST_SHOWN]}",
        hint="Correct the address in the fleet file, or look what listens there.",
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """It, and what it was made from: the libraries wrap each other's errors in four ways."""
    waiting, seen = [error], set[int]()
    while waiting and len(seen) < _MAX_CAUSES:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        each = getattr(one, "errors", None)  # of paramiko: what became of each address of a name
        several = each.values() if isinstance(each, dict) else ()
        inner = (*one.args, *several, getattr(one, "reason", None), one.__cause__, one.__context__)
        waiting += [cause for cause in inner if isinstance(cause, BaseException)]


def _text(error: BaseException) -> str:
    return (str(error) or type(error).__name__)[:_MOST_SHOWN]


# --- what SSH says ---


def _another_key(error: BaseException, _: Callable[[], str]) -> FleetError:
    known = error if isinstance(error, paramiko.BadHostKeyException) else None
    which = f" ({known.key.fingerprint})" if known else ""
    return FleetError(
        f"its SSH host key{which} is another than the known one", hint=_forget(known.hostname if known else "HOST")
    )


def _forget(host: str) -> str:
    return (
        f"If the device was set up anew: ssh-keygen -R '{host}' (with another port than 22: '[{host}]:port'), then "
        "connect once with ssh and compare the fingerprint. If not, somebody stands between you and the device."
    )


def _locked_key(_: BaseException, __: Callable[[], str]) -> FleetError:
    return FleetError("your SSH key has a passphrase", hint="Put it into the agent: eval $(ssh-agent) && ssh-add")


def _refused_login(error: BaseException, _: Callable[[], str]) -> FleetError:
    return FleetError(
        f"SSH lets nobody in with your keys: {_text(error)}",
        hint="Put your key onto the device: ssh-copy-id, with the user and port of its address.",
    )


def _ssh(error: BaseException, said: Callable[[], str]) -> FleetError:
    text = _text(error)
    if "No authentication methods" in text:
        return _refused_login(error, said)
    if "Channel closed" in text:  # the shell had ended before paramiko saw that it had begun
        return _cut(error, said)
    if "banner" in text or "No existing session" in text:  # paramiko's words for a greeting that did not come in time
        return DeviceLost(
            "it takes connections, but no SSH server answers",
            hint="Is the port right, and is sshd well? It may also be overloaded or just starting.",
        )
    return DeviceLost(f"SSH failed: {text}", hint="Does ssh to the same address work? Then run it again.")


def _wrong_known_hosts(error: BaseException, _: Callable[[], str]) -> FleetError:
    return FleetError(f"your known_hosts has a line that cannot be read: {_text(error)}", hint="Correct that line.")


# --- what the network says ---


def _no_name(error: BaseException, _: Callable[[], str]) -> FleetError:
    return FleetError(f"its name leads to no address: {_text(error)}", hint="Correct it in the fleet file, or in DNS.")


def _refused(_: BaseException, __: Callable[[], str]) -> FleetError:
    return DeviceLost(
        "nothing listens at its address", hint="Is it on, and its SSH or Docker started? Is the port right?"
    )


def _no_socket(error: BaseException, _: Callable[[], str]) -> FleetError:
    return FleetError(f"there is no such file: {_text(error)}", hint="Is Docker started there? Is the path right?")


def _forbidden(error: BaseException, _: Callable[[], str]) -> FleetError:
    return FleetError(f"it may not be opened: {_text(error)}", hint="Is your user in the group docker?")


def _too_late(_: BaseException, __: Callable[[], str]) -> FleetError:
    return DeviceLost("it did not answer in time", hint="Is it reachable, and is its Docker well? " + _LOOK)


def _certificate(error: BaseException, _: Callable[[], str]) -> FleetError:
    return FleetError(
        f"TLS failed: {_text(error)}",
        hint="Do ca.pem, cert.pem and key.pem of DOCKER_CERT_PATH belong to this device, and does it speak TLS there?",
    )


def _cut(error: BaseException, said: Callable[[], str]) -> FleetError:
    """The commonest reasons why a new device's `docker system dial-stdio` ends at once are told by its shell."""
    told = said().strip()
    for pattern, what, remedy in _OF_THE_SHELL:
        if re.search(pattern, told, re.IGNORECASE):
            return FleetError(f"{what}: {told[:_MOST_SHOWN]}", hint=remedy)
    ended = told[:_MOST_SHOWN] or "the connection was cut"
    return DeviceLost(f"its Docker stopped answering: {ended}", hint=_LOOK)


_OF_THE_SHELL = (
    (
        "permission denied",
        "your user there may not use Docker",
        "On the device: sudo usermod -aG docker $USER. It counts from the next login on.",
    ),
    (
        "not found|no such file",
        "there is no command docker",
        "On the device: install Docker Engine, or give the user's shell a PATH that has it.",
    ),
    ("cannot connect|connection refused", "Docker is not running there", "On the device: sudo systemctl start docker"),
)


# --- what Docker says ---


def _api(error: BaseException, _: Callable[[], str]) -> FleetError:
    return refused(str(getattr(error, "explanation", None) or error))


def refused(told: str) -> FleetError:
    """What Docker says of a request that it did not do."""
    told = told[:_MOST_SHOWN]
    for pattern, what, remedy in _OF_DOCKER:
        if re.search(pattern, told, re.IGNORECASE):
            return FleetError(f"{what}: {told}", hint=remedy)
    return FleetError(f"its Docker refused: {told}", hint=_LOOK)


_OF_DOCKER = (
    (
        "no space left on device",
        "its disk is full",
        f"On the device: docker system df tells what takes the space; {PRUNE}.",
    ),
    (
        "read-only file system",
        "its disk cannot be written to",
        "A worn SD card or a full check at boot does that: dmesg on the device tells.",
    ),
    (
        "unknown or invalid runtime",
        "its Docker lacks a runtime",
        "On the device: sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker",
    ),
    (
        "bind source path does not exist",
        "a file of its board is missing",
        "Is it the JetPack that the preset is made for? For a machine that is no Jetson take the preset gpu or cpu.",
    ),
    (
        "unauthorized|denied|authentication required|no basic auth",
        "the registry lets nobody in",
        "docker login REGISTRY on this machine.",
    ),
    (
        "client version .* is too old|minimum supported api",
        "its Docker is too new for this SDK",
        "pip install -U 'docker[ssh]'",
    ),
)


def _garbled(error: BaseException, _: Callable[[], str]) -> FleetError:
    return not_docker(_text(error))


def _unreachable(error: BaseException, _: Callable[[], str]) -> FleetError:
    return DeviceLost(f"no way leads to it: {_text(error)}", hint="Is it on, and this machine in its network?")


def _system(error: BaseException, _: Callable[[], str]) -> FleetError:
    return DeviceLost(f"the connection failed: {_text(error)}", hint=_LOOK)


_Kinds = type[BaseException] | tuple[type[BaseException], ...]
_KINDS: tuple[tuple[_Kinds, Callable[[BaseException, Callable[[], str]], FleetError]], ...] = (  # the first counts
    (FleetError, lambda error, _: error if isinstance(error, FleetError) else FleetError(str(error))),
    (paramiko.BadHostKeyException, _another_key),
    (paramiko.PasswordRequiredException, _locked_key),
    (paramiko.AuthenticationException, _refused_login),
    (InvalidHostKey, _wrong_known_hosts),
    (docker.errors.APIError, _api),
    ((ssl.SSLError, docker.errors.TLSParameterError), _certificate),
    (paramiko.SSHException, _ssh),
    (socket.gaierror, _no_name),
    (ConnectionRefusedError, _refused),
    (FileNotFoundError, _no_socket),
    (PermissionError, _forbidden),
    ((TimeoutError, requests.Timeout, urllib3.exceptions.TimeoutError), _too_late),
    ((ConnectionError, http.client.IncompleteRead, EOFError), _cut),
    (paramiko.ssh_exception.NoValidConnectionsError, _unreachable),
    (_GARBLED, _garbled),
    ((requests.ConnectionError, urllib3.exceptions.ProtocolError), _cut),
    (OSError, _system),
)
