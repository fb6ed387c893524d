"""The way to one device's Docker: opened when it is first needed, and opened again after it was lost."""

import io
import ipaddress
import json
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar
from urllib.parse import urlsplit

import docker
import docker.errors
import docker.tls
import docker.utils
import requests
import tenacity

from app.errors import DeviceLost, FleetError
from app.fleet.docker_host.errors import FOREIGN, mapped, not_docker
from app.fleet.docker_host.ssh import Adapter
from app.fleet.docker_host.told import text_in
from app.fleet.host import Watch

T = TypeVar("T")
REQUEST_S = 60.0
_TOO_LATE_S = 10.0  # for another try: why it is lost is worth more than that the time is over
OUTAGE_S = 60.0  # less than the lock's lease, less the time after which it is prolonged
_FIRST_VERSION = "1.24"  # for the one request that asks for the device's own
_VERSION = re.compile(r"1\.[0-9]{1,3}")
_MOST_BYTES = 8 << 20  # of an answer that is read whole: parsed, it takes many times as much
_MOST_LOGGED = 64 << 20  # of a log, which is not parsed
_MOST_OF_A_LINE = 64 << 10  # one event of a stream
_CHUNK = 1 << 12  # an answer that drips is noticed once so much has come


class Connection:
    """
    To be used by one thread; `twin` is for another.

    Args:
        address: ssh://, unix:// or tcp://, as the fleet file allows it.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._client: docker.DockerClient | None = None
        self._ssh: Adapter | None = None
        self._watch: Watch | None = None
        self._streams: list[requests.Response] = []
        self._has_answered = False

    def twin(self) -> "Connection":
        return Connection(self._address)

    @contextmanager
    def request(self, watch: Watch, *, at_most_s: float = REQUEST_S) -> Iterator[docker.DockerClient]:
        """
        Args:
            at_most_s: for an answer, and for each piece of one that comes in pieces.

        Raises:
            FleetError: it failed; everything foreign is mapped. `DeviceLost`: asking again later may help.
        """
        outer, self._watch, self._streams = (self._watch, self._streams), watch, []
        try:
            with mapped(self._last_words):
                client = self._client or self._open(watch)
                client.api.timeout = math.ceil(min(at_most_s, watch.remaining_s()))
                yield client
        except BaseException:
            self.close()  # whatever is still on its way would be taken for the next answer, or fill the line
            raise
        finally:
            for stream in self._streams:  # one that was left in the middle would keep its line
                with suppress(*FOREIGN):
                    stream.close()
            self._watch, self._streams = outer

    def ask(self, watch: Watch, question: Callable[[docker.DockerClient], T]) -> T:
        """
        The answer to what changes nothing, asked again while a bad uplink comes and goes.

        A device that has never answered is not waited for: whoever asks is told at once.

        Raises:
            FleetError: as of `request`; `DeviceLost` once the outage is too long for the lock.
        """

        def may_help(error: BaseException) -> bool:
            return isinstance(error, DeviceLost) and self._has_answered and watch.remaining_s() > _TOO_LATE_S

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(may_help),
            stop=tenacity.stop_after_delay(OUTAGE_S),
            wait=tenacity.wait_exponential(min=1, max=10),
            reraise=True,
        )
        answer: T = retrying(self._asked, watch, question)
        return answer

    def _asked(self, watch: Watch, question: Callable[[docker.DockerClient], T]) -> T:
        with self.request(watch) as client:
            return question(client)

    def close(self) -> None:
        client, self._client, self._ssh = self._client, None, None
        if client is not None:
            client.close()

    def _last_words(self) -> str:
        return self._ssh.last_words() if self._ssh else ""

    def _open(self, watch: Watch) -> docker.DockerClient:
        if self._address.startswith("ssh://"):
            self._ssh = Adapter(self._address, watch.remaining_s)
        client = self._made(_FIRST_VERSION)
        client.api.timeout = math.ceil(min(REQUEST_S, watch.remaining_s()))
        told = client.api.version(api_version=False)
        version = text_in(told, "ApiVersion")
        if not _VERSION.fullmatch(version):
            raise not_docker("it tells no version of Docker's API")
        self._client, self._has_answered = self._made(version), True
        return self._client

    def _made(self, version: str) -> docker.DockerClient:
        """The SDK's SSH client is asked for, which is only made at the first request, and then replaced."""
        client = docker.DockerClient(self._address, version=version, tls=_tls(self._address), use_ssh_client=True)
        client.api.trust_env = False  # no proxy lies between here and a device
        client.api.max_redirects = 0  # Docker sends nobody elsewhere
        client.api.hooks["response"].append(self._checked)
        api: Any = client.api
        api._disable_socket_timeout = _keep  # the SDK would wait for the rest of an archive or a log without an end
        api._stream_helper = _events  # the SDK reads whole chunks, and whole answers, however large
        if self._ssh is not None:
            client.api.mount(client.api.base_url, self._ssh)
        return client

    def _checked(self, response: Any, *_: Any, **options: Any) -> None:
        """Nothing that a device answers may take all memory or all time, or trip the SDK where it reads an error."""
        if options.get("stream") and response.ok and not response.is_redirect:  # of such a one, requests reads the body
            self._streams.append(response)
            return
        try:
            body = b"".join(self._bounded(response.raw, _most(response.url)))
        except BaseException:
            response.close()
            raise
        if not response.ok:
            _require_message(body)
        response.raw = io.BytesIO(body)
        if options.get("stream"):
            _raise(response)  # where a stream is wanted, the SDK would look for one in an error, too

    def _bounded(self, raw: Any, at_most: int) -> Iterator[bytes]:
        size = 0
        while chunk := raw.read(_CHUNK, decode_content=True):
            size += len(chunk)
            if size > at_most:
                raise not_docker(f"an answer of more than {at_most >> 20} MiB")
            if self._watch is not None:
                self._watch.remaining_s()
            yield chunk


def _raise(response: requests.Response) -> None:
    try:
        response.raise_for_status()
    except requests.HTTPError as error:
        docker.errors.create_api_error_from_http_exception(error)


def _keep(_: Any) -> None:
    """A socket has the limit of its request."""


def _most(url: str) -> int:
    return _MOST_LOGGED if urlsplit(url).path.endswith("/logs") else _MOST_BYTES


def _events(response: Any, decode: bool = True) -> Iterator[Any]:
    """
    What Docker tells while it pulls or loads, a line of JSON each; in the place of the SDK's own reader.

    Raises:
        FleetError: a line is too long, or no JSON.
    """
    left = b""
    for piece in _pieces(response.raw):
        *whole, left = (left + piece).split(b"\n")
        yield from (_event(line) for line in whole if line.strip())
        if len(left) > _MOST_OF_A_LINE:
            raise not_docker(f"a line of more than {_MOST_OF_A_LINE >> 10} KiB")
    if left.strip():
        yield _event(left)


def _pieces(raw: Any) -> Iterator[bytes]:
    """As they come: to read more than is left of a chunk would be to wait for the next one."""
    while piece := raw.read(1):
        more = min(raw._fp.chunk_left or 0, _CHUNK) if raw._fp.chunked else _CHUNK
        yield piece + (raw.read(more) if more else b"")


def _event(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise not_docker(f"it tells {line[:80]!r}") from error


def _require_message(body: bytes) -> None:
    """An error is plain text, or JSON as Docker's API has it."""
    try:
        told = json.loads(body)
    except ValueError:
        return
    if not isinstance(told, dict) or not isinstance(told.get("message"), str):
        raise not_docker(f"an error that is none of Docker's: {body[:80]!r}")


def _tls(address: str) -> docker.tls.TLSConfig | bool:
    """
    For tcp:// the certificates that docker itself would use; the device's is always checked.

    Raises:
        FleetError: there are none, and the device is another machine.
    """
    parts = urlsplit(address)
    if parts.scheme != "tcp":
        return False
    try:
        wanted = docker.utils.kwargs_from_env().get("tls")
        if wanted is None and _is_loopback(parts.hostname or ""):
            return False
        wanted = wanted or docker.utils.kwargs_from_env({"DOCKER_TLS_VERIFY": "1"})["tls"]
        return docker.tls.TLSConfig(client_cert=wanted.cert, ca_cert=wanted.ca_cert, verify=True)
    except docker.errors.TLSParameterError as error:
        raise FleetError(
            f"tcp:// to another machine needs TLS: {error.msg}",
            hint="Have ca.pem, cert.pem and key.pem in the folder that DOCKER_CERT_PATH names, or use ssh://.",
        ) from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
