"""How a server is spoken to: the address, the HTTP client, and httpx's errors as ours."""

import logging
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from app import __version__
from app.errors import BackendUnavailable, DownloadFailed, WeightsError
from app.text import masked

if TYPE_CHECKING:
    import httpx

_REDIRECTS = 10


@dataclass(frozen=True)
class Patience:
    """How long a bad connection is borne with."""

    attempts: int = 5  # in a row that bring nothing new
    first_wait_s: float = 1.0  # doubles from one attempt to the next, plus as much again at random
    longest_wait_s: float = 30.0
    connect_timeout_s: float = 10.0
    stall_timeout_s: float = 30.0  # without a byte
    window_s: float = 60.0  # in which `least_bytes` must come: a byte now and then is a stall too
    least_bytes: int = 16 * 1024  # what an attempt must bring to count as one that brought something new


class Broken(Exception):
    """A failure that may pass: try again."""

    def __init__(self, message: str, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.wait_s = wait_s  # as the server asked


class Address(NamedTuple):
    url: str  # without user and password
    auth: tuple[str, str] | None
    shown: str  # fit for messages: nothing secret in it


def file_address(base: str, name: str) -> str:
    """The address of the file `name` below `base`; a query in `base` (an access token) stays at the end."""
    try:
        parts = urlsplit(base)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number, a bracket that is not closed
        usable = False
    if not usable:
        raise WeightsError(
            f"{masked(base)!r} is not a web address that weights can be downloaded from",
            hint="Set vision.yolo.model_source.weights_url to one that begins with https:// or http://.",
        )
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{quote(name)}"))


def parse_address(url: str) -> Address:
    parts = urlsplit(url)
    user = parts.username
    auth = None if user is None else (unquote(user), unquote(parts.password or ""))
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return Address(bare, auth, masked(url))


@contextmanager
def open_client(patience: Patience) -> Iterator["httpx.Client"]:
    """A client that heeds HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE and the like, as httpx does."""
    try:
        import httpx
    except ImportError as error:
        raise library_missing(error) from error

    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs whole addresses, tokens in them included
    try:
        client = httpx.Client(
            timeout=httpx.Timeout(patience.stall_timeout_s, connect=patience.connect_timeout_s),
            headers={"User-Agent": f"jetsmith/{__version__}", "Accept-Encoding": "identity"},
            follow_redirects=True,
            max_redirects=_REDIRECTS,
        )
    except (ValueError, ImportError, OSError) as error:  # a proxy that cannot be read, a CA file that is not there
        raise DownloadFailed(
            f"The connection cannot be set up: {masked(str(error))}",
            hint="Check HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, SSL_CERT_FILE and SSL_CERT_DIR in the environment.",
        ) from error
    with client:
        yield client


@contextmanager
def open_answer(client: "httpx.Client", address: Address, headers: Mapping[str, str]) -> Iterator["httpx.Response"]:
    """Ask for the file; the body is read inside, and its errors are ours too."""
    client.event_hooks = {"request": [_SchemeGuard().check]}  # anew: each attempt begins at the first address
    with (
        _http_errors_as_ours(address),
        client.stream("GET", address.url, headers=dict(headers), auth=address.auth) as response,
    ):
        yield response


class _SchemeGuard:
    """Sees every request, redirected ones too; what began encrypted must stay so."""

    def __init__(self) -> None:
        self._secure = False

    def check(self, request: "httpx.Request") -> None:
        scheme = request.url.scheme
        if scheme not in {"http", "https"} or (self._secure and scheme == "http"):
            raise DownloadFailed(
                f"The server redirects to {masked(str(request.url))}, which is not https",
                hint="Check vision.yolo.model_source.weights_url.",
            )
        self._secure = scheme == "https"


@contextmanager
def _http_errors_as_ours(address: Address) -> Iterator[None]:
    import httpx

    try:
        yield
    except (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.TooManyRedirects, httpx.InvalidURL) as error:
        raise DownloadFailed(f"{address.shown} cannot be fetched: {masked(str(error))}") from error
    except httpx.TimeoutException as error:
        raise Broken(f"no answer in time ({type(error).__name__})") from error
    except httpx.TransportError as error:
        if _is_untrusted(error):
            raise DownloadFailed(
                f"{address.shown}: the server's certificate is not trusted: {masked(str(error))}",
                hint="Behind a proxy that opens TLS, point SSL_CERT_FILE at its CA certificates.",
            ) from error
        raise Broken(masked(str(error)) or type(error).__name__) from error


def _is_untrusted(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error is not None


def library_missing(error: ImportError) -> BackendUnavailable:
    return BackendUnavailable(
        f"Downloading needs a library that is not installed: {error.name}",
        hint='Install what converting needs: pip install "jetsmith[convert]".',
    )
