"""Whom FFmpeg trusts over http(s), after redirects too."""

import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from app.errors import SourceError
from app.infer.sources import network
from tests.infer.videos import write_video

Serve = Callable[..., str]


class _Server(ThreadingHTTPServer):
    video: bytes
    onward: str | None  # where it redirects to


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        assert isinstance(self.server, _Server)
        body = b"" if self.server.onward else self.server.video
        self.send_response(302 if self.server.onward else 200)
        if self.server.onward:
            self.send_header("Location", self.server.onward)
        self.send_header("Content-Type", "video/mp4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        return None


class _Quiet(_Server):
    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up, as they should here."""


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Of 127.0.0.1, signed by itself; its key is in the same file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the program openssl")
    path, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + key.read_bytes())
    return path


@pytest.fixture
def serve(certificate: Path, tmp_path: Path) -> Iterator[Serve]:
    pytest.importorskip("av")
    video = write_video(tmp_path / "v.mp4", frames=5).read_bytes()

    @contextmanager
    def serving(scheme: str, onward: str | None) -> Iterator[str]:
        server = _Quiet(("127.0.0.1", 0), _Handler)
        server.video, server.onward = video, onward
        if scheme == "https":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"{scheme}://127.0.0.1:{server.server_address[1]}/v.mp4"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    with ExitStack() as stack:
        yield lambda scheme, onward=None: stack.enter_context(serving(scheme, onward))


def _opens(address: str) -> bool:
    try:
        with network.over_http(address, 5) as container:
            return bool(container.duration)
    except SourceError:
        return False


def test_a_server_that_nobody_vouches_for_is_not_trusted_by_way_of_a_redirect_either(serve: Serve) -> None:
    unknown = serve("https")

    assert _opens(serve("http"))
    assert not _opens(unknown)
    assert not _opens(serve("http", unknown))


def test_a_redirect_leads_to_https_but_not_away_from_it(
    serve: Serve, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "_CERTIFICATES", str(certificate))
    known = serve("https")

    assert _opens(known)
    assert _opens(serve("http", known))
    assert _opens(serve("https", known))
    assert not _opens(serve("https", serve("http")))
