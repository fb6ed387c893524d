"""Python's HTTP client, with an end to its patience: a server may send its headers byte by byte, for ever."""

import http.client
import io
import socket
import time
import urllib.request
from functools import partial
from typing import Any


def handlers(deadline: float) -> tuple[urllib.request.BaseHandler, ...]:
    """For http and https, whose answers' headers are whole at this moment of `time.monotonic`, or a TimeoutError."""
    return _Http(deadline), _Https(deadline)


class _Http(urllib.request.HTTPHandler):
    def __init__(self, deadline: float) -> None:
        super().__init__()
        self._deadline = deadline

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_connecting(http.client.HTTPConnection, self._deadline), req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, deadline: float) -> None:
        super().__init__()
        self._deadline = deadline

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_connecting(http.client.HTTPSConnection, self._deadline), req)


def _connecting(kind: type[http.client.HTTPConnection], deadline: float) -> Any:
    def connect(host: str, timeout: float) -> http.client.HTTPConnection:
        connection = kind(host, timeout=_least(timeout, deadline))
        connection.response_class = partial(_Response, deadline=deadline)  # type: ignore[assignment]
        return connection

    return connect


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, deadline: float, **more: Any) -> None:
        super().__init__(sock, *args, **more)
        self._sock, self._timeout, self._until = sock, sock.gettimeout(), _Until(self.fp, sock, deadline)
        self.fp = io.BufferedReader(self._until)

    def begin(self) -> None:
        super().begin()
        self._until.deadline = None
        self._sock.settimeout(self._timeout)


class _Until(io.RawIOBase):
    """What a server sends, until the deadline; later reads wait for each piece as long as the socket is told to."""

    def __init__(self, inner: io.BufferedReader, sock: socket.socket, deadline: float) -> None:
        self.deadline: float | None = deadline
        self._inner, self._sock = inner, sock
        self._timeout = sock.gettimeout()

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int | None:
        if self.deadline is not None:
            self._sock.settimeout(_least(self._timeout, self.deadline))
        return self._inner.raw.readinto(into)

    def close(self) -> None:
        super().close()
        self._inner.close()


def _least(timeout: float | None, deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left if timeout is None else min(timeout, left)
