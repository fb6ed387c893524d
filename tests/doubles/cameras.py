"""Cameras on this machine, for tests: MJPEG over HTTP and H.264 over RTSP. They misbehave as they are told."""

import base64
import itertools
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from enum import Enum
from fractions import Fraction
from types import TracebackType

import cv2
import numpy as np

BOUNDARY = "frame"
_PACKET = 1400  # bytes of one RTP packet


class Mode(Enum):
    GOOD = "good"
    STALL = "stall"  # the connection stays, nothing comes
    DROP = "drop"  # the connection is closed
    GARBAGE = "garbage"  # bytes that are no picture
    REFUSE = "refuse"  # new connections get an error


class Camera:
    """
    Serves every connection in a thread of its own.

    Attributes (may be changed at any time): mode, size (width, height), period_s, credentials ("user:password").
    """

    scheme = "http"

    def __init__(self, port: int = 0, credentials: str = "") -> None:
        self.mode = Mode.GOOD
        self.size = 160, 120
        self.period_s = 0.02
        self.credentials = credentials
        self.with_length = True  # not every camera says how long a JPEG is
        self.connections = 0
        self.sent = 0
        self._closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    @property
    def url(self) -> str:
        user = f"{self.credentials}@" if self.credentials else ""
        return f"{self.scheme}://{user}127.0.0.1:{self.port}/live"

    def __enter__(self) -> "Camera":
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # closed
                return
            self.connections += 1
            self._threads = [self._threads[0], *(thread for thread in self._threads[1:] if thread.is_alive())]
            self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                self._talk(connection)
            except OSError:  # the client has gone
                return

    def _talk(self, connection: socket.socket) -> None:
        raise NotImplementedError

    def _goes_on(self) -> bool:
        """Waits until the next frame is due; False where the connection is to be closed."""
        while not self._closing.wait(self.period_s):
            if self.mode is Mode.DROP:
                return False
            if self.mode is not Mode.STALL:
                self.sent += 1
                return True
        return False

    def _authorised(self, request: bytes) -> bool:
        wanted = b"Basic " + base64.b64encode(self.credentials.encode())
        return not self.credentials or wanted in request


class MjpegCamera(Camera):
    def _talk(self, connection: socket.socket) -> None:
        request = _request(connection)
        if self.mode is Mode.REFUSE:
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        if not self._authorised(request):
            connection.sendall(
                b'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm="camera"\r\n'
                b"Content-Length: 0\r\nConnection: close\r\n\r\n"
            )
            return
        kind = f"multipart/x-mixed-replace; boundary={BOUNDARY}"
        connection.sendall(f"HTTP/1.0 200 OK\r\nContent-Type: {kind}\r\n\r\n".encode())
        for number in itertools.count():
            if not self._goes_on():
                return
            body = os.urandom(5000) if self.mode is Mode.GARBAGE else jpeg(self.size, number)
            length = f"Content-Length: {len(body)}\r\n" if self.with_length else ""
            head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\n{length}\r\n"
            connection.sendall(head.encode() + body + b"\r\n")


class RtspCamera(Camera):
    """RTP in the RTSP connection itself (TCP); answers just what FFmpeg asks."""

    scheme = "rtsp"

    def _talk(self, connection: socket.socket) -> None:
        while request := _request(connection):
            if self._answer(connection, request):
                self._play(connection)
                return

    def _answer(self, connection: socket.socket, request: bytes) -> bool:
        """True once the client wants to see."""
        method, sequence = request.split()[0].decode(), _field(request, "CSeq")
        status, extra, body = "200 OK", "Session: 1\r\n", ""
        if self.mode is Mode.REFUSE:
            status = "404 Not Found"
        elif method == "OPTIONS":
            extra = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
        elif not self._authorised(request):
            status, extra = "401 Unauthorized", 'WWW-Authenticate: Basic realm="camera"\r\n'
        elif method == "DESCRIBE":
            body = (
                "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
                "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:track\r\n"
            )
            extra = f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
        elif method == "SETUP":
            extra += "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
        connection.sendall(f"RTSP/1.0 {status}\r\nCSeq: {sequence}\r\n{extra}\r\n{body}".encode())
        return method == "PLAY" and status == "200 OK"

    def _play(self, connection: socket.socket) -> None:
        numbers = itertools.count(1)
        began, size = time.monotonic(), (0, 0)
        units: Iterator[list[bytes]] = iter(())
        while self._goes_on():
            if size != self.size:
                size = self.size
                units = h264(size)
            stamp = int((time.monotonic() - began) * 90_000)
            for packet in _rtp(next(units), stamp, numbers):
                data = packet if self.mode is not Mode.GARBAGE else packet[:12] + os.urandom(len(packet) - 12)
                connection.sendall(b"$\0" + struct.pack(">H", len(data)) + data)


def jpeg(size: tuple[int, int], number: int) -> bytes:
    _, data = cv2.imencode(".jpg", _picture(size, number))
    encoded: bytes = data.tobytes()
    return encoded


def h264(size: tuple[int, int]) -> Iterator[list[bytes]]:
    """The NAL units of each picture, for ever; every tenth can be begun with."""
    import av

    context = av.CodecContext.create("libx264", "w")
    context.width, context.height = size
    context.pix_fmt, context.time_base, context.framerate = "yuv420p", Fraction(1, 25), Fraction(25)
    context.options = {"preset": "ultrafast", "tune": "zerolatency", "g": "10", "x264-params": "repeat-headers=1"}
    for number in itertools.count():
        frame = av.VideoFrame.from_ndarray(_picture(size, number), format="bgr24")
        frame.pts = number
        for packet in context.encode(frame):
            yield [unit.rstrip(b"\0") for unit in bytes(packet).split(b"\0\0\1") if unit.strip(b"\0")]


def _picture(size: tuple[int, int], number: int) -> np.ndarray:
    """A bar that moves over grey."""
    picture = np.full((size[1], size[0], 3), 90, np.uint8)
    picture[:, number * 7 % size[0] :][:, :20] = (40, 200, 90)
    return picture


def _rtp(units: list[bytes], stamp: int, numbers: Iterator[int]) -> Iterator[bytes]:
    """RFC 6184: small units as they are, large ones in pieces (FU-A)."""
    for index, unit in enumerate(units):
        payloads = [unit] if len(unit) <= _PACKET else list(_pieces(unit))
        for place, payload in enumerate(payloads):
            is_last = index == len(units) - 1 and place == len(payloads) - 1
            head = struct.pack(">BBHII", 0x80, 96 | is_last << 7, next(numbers) & 0xFFFF, stamp & 0xFFFFFFFF, 7)
            yield head + payload


def _pieces(unit: bytes) -> Iterator[bytes]:
    indicator, kind, body = unit[0] & 0xE0 | 28, unit[0] & 0x1F, unit[1:]
    for start in range(0, len(body), _PACKET):
        is_first, is_last = start == 0, start + _PACKET >= len(body)
        yield bytes([indicator, is_first << 7 | is_last << 6 | kind]) + body[start : start + _PACKET]


def _request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(4096)
        if not piece:
            return b""
        data += piece
    return data


def _field(request: bytes, name: str) -> str:
    lines = [line.split(":", 1) for line in request.decode(errors="replace").split("\r\n") if ":" in line]
    return next(value.strip() for key, value in lines if key == name)
