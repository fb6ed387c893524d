"""A web server on this machine that serves one file, and misbehaves as it is told, answer by answer."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Answer:
    """One answer. Its defaults are those of a good server."""

    status: int = 200
    body: bytes | None = None  # instead of the file
    headers: dict[str, str] = field(default_factory=dict)
    cut_at: int | None = None  # close the connection after so many bytes
    stall_at: int | None = None  # send so many bytes, then nothing
    pause_s: float = 0.0  # after each of 32 pieces
    declare_length: bool = True
    ranges: bool = True  # heed Range
    if_range: bool = True  # heed If-Range
    etag: str | None = '"1"'


class FileServer:
    def __init__(self, content: bytes) -> None:
        self.content = content
        self.plan: list[Answer] = []  # used up one by one; after that every answer is `usual`
        self.usual = Answer()
        self.requests: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.released = threading.Event()
        self.url = ""
        self._lock = threading.Lock()

    def next_answer(self, handler: BaseHTTPRequestHandler) -> Answer:
        with self._lock:
            self.requests.append(dict(handler.headers))
            self.paths.append(handler.path)
            return self.plan.pop(0) if self.plan else self.usual


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    files: FileServer

    def log_message(self, format: str, *args: Any) -> None:
        return None

    def do_GET(self) -> None:
        answer = self.files.next_answer(self)
        body = self.files.content if answer.body is None else answer.body
        status, start = answer.status, self._start(answer)
        extra = dict(answer.headers)
        if start is not None and status == 200:
            if start >= len(body):
                status, extra["Content-Range"], body = 416, f"bytes */{len(body)}", b""
            else:
                status, extra["Content-Range"] = 206, f"bytes {start}-{len(body) - 1}/{len(body)}"
                body = body[start:]
        self._send(status, extra, body, answer)

    def _start(self, answer: Answer) -> int | None:
        wanted = self.headers.get("Range")
        if wanted is None or not answer.ranges:
            return None
        if answer.if_range and self.headers.get("If-Range") not in (None, answer.etag):
            return None
        return int(wanted.removeprefix("bytes=").removesuffix("-"))

    def _send(self, status: int, extra: dict[str, str], body: bytes, answer: Answer) -> None:
        self.send_response(status)
        headers = {"Content-Type": "application/octet-stream", **extra}
        if answer.etag:
            headers["ETag"] = answer.etag
        if answer.declare_length:
            headers["Content-Length"] = str(len(body))
        else:
            self.close_connection = True
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self._write(body[: answer.cut_at if answer.stall_at is None else answer.stall_at], answer.pause_s)
        if answer.stall_at is not None:
            self.files.released.wait(20)
            self.close_connection = True
        elif answer.cut_at is not None:
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True

    def _write(self, body: bytes, pause_s: float) -> None:
        size = len(body) if not pause_s else max(1, len(body) // 32)
        for start in range(0, len(body), size or 1):
            self.wfile.write(body[start : start + size])
            self.wfile.flush()
            time.sleep(pause_s)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        return None  # clients that hang up are what is tested here


@contextmanager
def serving(content: bytes) -> Iterator[FileServer]:
    files = FileServer(content)
    handler = type("Handler", (_Handler,), {"files": files})
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        files.url = f"http://127.0.0.1:{server.server_address[1]}/release"
        try:
            yield files
        finally:
            files.released.set()
            server.shutdown()
            thread.join()
