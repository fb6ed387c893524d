"""Servers that answer what no honest one does: each must end as an error of the source, none as the end of the run."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from app.infer.frame import Failure, Frame
from app.infer.sources import base as sources
from app.infer.sources.base import Selection, Shot
from app.infer.sources.errors import refused
from app.infer.sources.live import Feed, Live, Patience
from tests.doubles.cameras import jpeg
from tests.infer.desk import Desk
from tests.infer.test_streams import Watched, wait_until

Rest = Callable[[socket.socket, threading.Event], None]
_MJPEG = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=a\r\n\r\n"


@contextmanager
def answering(head: bytes, rest: Rest = lambda connection, closing: None) -> Iterator[str]:
    """An address where every connection gets `head`, and then what `rest` sends."""
    listener, closing = socket.create_server(("127.0.0.1", 0)), threading.Event()
    listener.settimeout(0.05)

    def serve() -> None:
        while not closing.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            with connection:
                try:
                    connection.settimeout(5)
                    connection.recv(65536)
                    connection.sendall(head)
                    rest(connection, closing)
                except OSError:  # the client has gone
                    continue

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/live"
    finally:
        closing.set()
        thread.join(10)
        listener.close()


@pytest.mark.parametrize("scheme", ["Bearer", "Digest", "Digest realm=", 'Digest realm="a", nonce="b", algorithm=X'])
def test_a_way_to_sign_in_that_nobody_knows_is_a_refusal(scheme: str) -> None:
    head = f"HTTP/1.1 401 No\r\nWWW-Authenticate: {scheme}\r\nContent-Length: 0\r\n\r\n"
    with answering(head.encode()) as address, Watched(address.replace("//", "//user:geheim@")) as watched:
        wait_until(watched.has_ended)

    (failure,) = watched.items
    assert isinstance(failure, Failure)
    assert "refused: 401" in failure.error.message


def test_a_refusal_amid_the_frames_is_a_loss() -> None:
    @contextmanager
    def connect(desk: sources.Desk) -> Iterator[Feed]:
        def shots() -> Iterator[Shot]:
            yield lambda take: take((2, 2, 3))
            raise refused("403")

        yield Feed(shots())

    desk = Desk()
    items = Live("camera", connect, Selection(), Patience(first_retry_s=0.01)).read(desk)

    assert all(isinstance(next(items), Frame) for _ in range(3))
    assert desk.told == ["lost", "back"] * 2


@pytest.mark.parametrize("place", ["http://[bad/", "http://" + "a" * 70 + ".example/"])
def test_a_redirect_to_no_address_is_a_loss(place: str) -> None:
    head = f"HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n"
    with answering(head.encode()) as address, Watched(address) as watched:
        wait_until(lambda: len(watched.desk.losses) >= 2)


def test_the_body_of_a_redirect_is_not_read() -> None:
    sent = [0]

    def endless(connection: socket.socket, closing: threading.Event) -> None:
        while not closing.is_set() and sent[0] < 64 << 20:
            sent[0] += connection.send(bytes(1 << 20))

    head = b"HTTP/1.1 302 Found\r\nLocation: ftp://127.0.0.1/\r\n\r\n"
    with answering(head, endless) as address, Watched(address) as watched:
        wait_until(lambda: watched.desk.losses)
        watched.desk.stop.set()

    assert sent[0] < 32 << 20


def test_a_length_of_thousands_of_digits_is_no_length() -> None:
    picture = jpeg((160, 120), 0)
    part = b"--a\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n" + picture + b"\r\n"
    with answering(_MJPEG + part * 3) as address, Watched(address) as watched:
        watched.wait_for_frames(2)

    assert {frame.image.shape for frame in watched.frames} == {(120, 160, 3)}


def _drip(connection: socket.socket, closing: threading.Event) -> None:
    while not closing.wait(0.02):
        connection.sendall(b"x")


_DRIPPING = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n"


def test_a_picture_that_comes_byte_by_byte_is_given_up() -> None:
    patience = Patience(stall_s=0.1, first_retry_s=0.05, last_retry_s=0.2)
    with answering(_DRIPPING, _drip) as address, Watched(address, patience=patience) as watched:
        wait_until(lambda: watched.desk.losses)

    assert "not whole after" in watched.desk.losses[0][0]


@pytest.mark.parametrize("head", [b"HTTP/1.1 ", b"HTTP/1.1 200 OK\r\nX-Long: "], ids=["status", "header"])
def test_headers_that_come_byte_by_byte_are_given_up(head: bytes) -> None:
    patience = Patience(stall_s=0.2, first_retry_s=0.05, last_retry_s=0.2)
    with answering(head, _drip) as address, Watched(address, patience=patience) as watched:
        wait_until(lambda: watched.desk.losses)

    assert "cannot be reached: nothing came in time" in watched.desk.losses[0][0]


def test_the_time_for_headers_is_not_the_streams() -> None:
    picture = jpeg((160, 120), 0)
    part = b"--a\r\nContent-Length: %d\r\n\r\n%b\r\n" % (len(picture), picture)

    def slowly(connection: socket.socket, closing: threading.Event) -> None:
        while not closing.wait(0.4):
            connection.sendall(part)

    patience = Patience(stall_s=1.0, first_retry_s=0.05)
    with answering(_MJPEG, slowly) as address, Watched(address, patience=patience) as watched:
        watched.wait_for_frames(10)  # four seconds: longer than the headers might have taken

    assert watched.desk.losses == []


def test_a_picture_that_comes_byte_by_byte_does_not_outlive_the_run() -> None:
    patience = Patience(stall_s=100, first_retry_s=0.05)
    with answering(_DRIPPING, _drip) as address, Watched(address, patience=patience) as watched:
        time.sleep(0.3)
        watched.desk.stop.set()
        wait_until(watched.has_ended)
