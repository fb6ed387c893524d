"""
What lies behind `http(s)://…`: a picture, a row of JPEGs without end (MJPEG, as cameras send it), or a video.

The first two are read here, by Python's own client, which checks certificates; the rest is FFmpeg's.
"""

import http.client
import io
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from typing import IO, Any, Protocol
from urllib.parse import unquote, urlsplit, urlunsplit

from app.errors import SourceError
from app.infer.sources import patient
from app.infer.sources.base import Shot, Take
from app.infer.sources.errors import from_os, refused
from app.types import Image
from app.vision.pictures import decode_picture

_LARGEST_PICTURE = 64 << 20
_PIECE = 1 << 16
_LONGEST_HEADER = 1 << 13
_HEADER_STALLS = 3  # an answer may begin, redirects and all, in so many times as long as a server may be silent
_LONGEST_NUMBER = 12  # digits of a length; Python itself refuses to read numbers of thousands


class Answer(Protocol):
    """What this module needs of a server's answer."""

    @property
    def headers(self) -> Message: ...

    def read1(self, n: int = ..., /) -> bytes: ...


@contextmanager
def answered(address: str, timeout_s: float) -> Iterator[Answer]:
    """
    Raises:
        Refused: the server said no.
        SourceError: it cannot be reached.
    """
    bare, user, password = _split(address)
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    if user:
        passwords.add_password(None, bare, user, password)
    request = urllib.request.Request(bare, headers={"User-Agent": "jetsmith"})  # noqa: S310 (http alone)
    refusals = _ClosesRefusals()
    try:
        with _errors_as_ours("cannot be reached"):
            opener = _opener(passwords, refusals, time.monotonic() + _HEADER_STALLS * timeout_s)
            answer = opener.open(request, timeout=timeout_s)
    except (ValueError, LookupError) as error:  # urllib's, for a header of the server's that it cannot read
        if refusals.seen:
            raise refused("401, and it wants a way to sign in that jetsmith does not know") from error
        raise _nonsense("cannot be reached") from error
    with answer:
        yield answer


@contextmanager
def _errors_as_ours(doing: str) -> Iterator[None]:
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        if 400 <= error.code < 500:
            raise refused(f"{error.code} {error.reason}") from error
        raise SourceError(f"the server answered {error.code} {error.reason}", hint="Try again later.") from error
    except urllib.error.URLError as error:
        reason = error.reason if isinstance(error.reason, OSError) else OSError(0, str(error.reason))
        raise from_os(reason, doing) from error
    except OSError as error:
        raise from_os(error, doing) from error
    except http.client.HTTPException as error:
        raise _nonsense(doing) from error


def _nonsense(doing: str) -> SourceError:
    return SourceError(f"{doing}: the server's answer makes no sense", hint="Is the port right?")


def _opener(
    passwords: urllib.request.HTTPPasswordMgrWithDefaultRealm, refusals: "_ClosesRefusals", deadline: float
) -> urllib.request.OpenerDirector:
    """Knows http and https alone, after a redirect too: not file, not ftp."""
    opener = urllib.request.OpenerDirector()
    handlers: tuple[urllib.request.BaseHandler, ...] = (
        urllib.request.ProxyHandler(),
        *patient.handlers(deadline),
        _Redirects(),
        refusals,
        urllib.request.HTTPBasicAuthHandler(passwords),
        urllib.request.HTTPDigestAuthHandler(passwords),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    )
    for handler in handlers:
        opener.add_handler(handler)
    return opener


class _ClosesRefusals(urllib.request.BaseHandler):
    """urllib asks again with the password, and leaves the first connection open."""

    handler_order = 100  # before those that know passwords
    seen = False

    def http_error_401(self, request: object, answer: IO[bytes], *_: object) -> None:
        self.seen = True
        answer.close()


class _Redirects(urllib.request.HTTPRedirectHandler):
    """urllib reads the whole body of a redirect, however long it is, and throws it away."""

    def http_error_302(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage
    ) -> Any:
        fp.close()
        return super().http_error_302(req, io.BytesIO(), code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _split(address: str) -> tuple[str, str, str]:
    """The address without user and password, and these two."""
    parts = urlsplit(address)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=host)), unquote(parts.username or ""), unquote(parts.password or "")


def is_picture(answer: Answer) -> bool:
    return answer.headers.get_content_maintype() == "image"


def is_mjpeg(answer: Answer) -> bool:
    return answer.headers.get_content_type() == "multipart/x-mixed-replace"


def picture_of(answer: Answer, within_s: float, stop: threading.Event) -> Image:
    """
    Raises:
        SourceError: it is too large, or no picture, or not there `within_s`, or `stop` was set.
    """
    data = bytearray()
    deadline = time.monotonic() + within_s
    while piece := _read(answer):
        data += piece
        if stop.is_set():
            raise SourceError("the run ended before the picture was whole", hint="Run it again.")
        if time.monotonic() > deadline:
            raise SourceError(f"the picture was not whole after {within_s:.0f} s", hint="Is the network this slow?")
        if len(data) > _LARGEST_PICTURE:
            raise SourceError("the picture is larger than 64 MB", hint="Scale it down, or download it first.")
    return decode_picture(bytes(data))


def _read(answer: Answer) -> bytes:
    with _errors_as_ours("broke off"):
        return answer.read1(_PIECE)


def mjpeg_shots(answer: Answer, stall_s: float) -> Iterator[Shot]:
    """
    JPEG after JPEG, as they come.

    Raises:
        SourceError: nothing that could be a picture came for `stall_s`, or one is larger than 64 MB.
    """
    boundary = (answer.headers.get_param("boundary") or "") if answer.headers else ""
    delimiter = b"--" + str(boundary).strip('"').lstrip("-").encode()  # some cameras count the dashes in
    reader = _Parts(answer, delimiter, stall_s)
    while (part := reader.next()) is not None:
        yield lambda take, part=part: _decoded(part, take)  # type: ignore[misc]


def _decoded(part: bytes, take: Take) -> Image:
    import numpy as np

    image = decode_picture(part)
    into = take((image.shape[0], image.shape[1], 3))
    np.copyto(into, image)
    return into


class _Parts:
    """The bodies of a multipart answer. Where its lengths are wrong, the next delimiter is looked for."""

    def __init__(self, answer: Answer, delimiter: bytes, stall_s: float) -> None:
        self._answer, self._delimiter, self._stall_s = answer, delimiter, stall_s
        self._data = bytearray()
        self._last = time.monotonic()

    def next(self) -> bytes | None:
        """None at the end of the answer."""
        if not self._drop_to(self._delimiter):
            return None
        end = self._find(b"\r\n\r\n", 0, _LONGEST_HEADER)
        if end is None:
            return None
        length = _content_length(bytes(self._data[:end]))
        del self._data[: end + 4]
        size = length if length is not None else self._find(b"\r\n" + self._delimiter, 0, _LARGEST_PICTURE)
        if size is None or not self._fill(size):
            return None
        part = bytes(self._data[:size])
        del self._data[:size]
        self._last = time.monotonic()
        return part

    def _drop_to(self, mark: bytes) -> bool:
        while (at := self._data.find(mark)) < 0:
            del self._data[: max(0, len(self._data) - len(mark))]
            if not self._more():
                return False
        del self._data[: at + len(mark)]
        return True

    def _find(self, mark: bytes, start: int, limit: int) -> int | None:
        while (at := self._data.find(mark, start)) < 0:
            if len(self._data) > limit:
                raise SourceError("the stream is no MJPEG", hint="Look what the address gives in a browser.")
            start = max(0, len(self._data) - len(mark))
            if not self._more():
                return None
        return at

    def _fill(self, size: int) -> bool:
        while len(self._data) < size:
            if not self._more():
                return False
        return True

    def _more(self) -> bool:
        piece = _read(self._answer)
        if time.monotonic() - self._last > self._stall_s:
            raise SourceError(f"no frame for {self._stall_s:.0f} s", hint="Look what the camera sends.")
        self._data += piece
        return bool(piece)


def _content_length(header: bytes) -> int | None:
    for line in header.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and value.strip().isdigit():
            return min(int(value), _LARGEST_PICTURE) if len(value.strip()) <= _LONGEST_NUMBER else None
    return None
