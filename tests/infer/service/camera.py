"""A camera on the network: MJPEG over HTTP, that can be lost and come back at the same address."""

import http.server
import io
import socket
import threading
import time

from PIL import Image

_PAUSE_S = 0.03


class Camera:
    """Enter it to switch it on."""

    def __init__(self) -> None:
        picture = io.BytesIO()
        Image.new("RGB", (96, 64), (90, 120, 200)).save(picture, "JPEG")
        self.picture = picture.getvalue()
        self._port = 0
        self._server: _Server | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port}/stream"

    def __enter__(self) -> "Camera":
        self.come_back()
        return self

    def __exit__(self, *_: object) -> None:
        self.get_lost()

    def come_back(self) -> None:
        self._server = _Server(("127.0.0.1", self._port), _Stream)
        self._server.picture = self.picture
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def get_lost(self) -> None:
        """As a pulled plug: connections end in the middle, and new ones are refused."""
        server, self._server = self._server, None
        if server is not None:
            server.over.set()
            server.shutdown()
            server.server_close()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = True

    def __init__(self, address: tuple[str, int], handler: "type[_Stream]") -> None:
        self.picture = b""
        self.over = threading.Event()
        super().__init__(address, handler)


class _Stream(http.server.BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        picture = self.server.picture
        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n".encode()
        try:
            while not self.server.over.is_set():
                self.wfile.write(head + picture + b"\r\n")
                time.sleep(_PAUSE_S)
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:  # who watched has gone
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        return None
