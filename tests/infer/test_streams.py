"""Live sources over real sockets: cameras that stall, drop, change and lie."""

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from app.infer.frame import Failure, Frame, Kind
from app.infer.sources.base import Selection
from app.infer.sources.choose import open_sources
from app.infer.sources.live import Patience
from tests.doubles.cameras import Camera, MjpegCamera, Mode, RtspCamera
from tests.infer.desk import Desk
from tests.infer.doubles import encoded, photo
from tests.infer.videos import write_video

PATIENCE = Patience(stall_s=0.7, first_retry_s=0.05, last_retry_s=0.2)
KINDS = [pytest.param(MjpegCamera, id="mjpeg"), pytest.param(RtspCamera, id="rtsp")]


@pytest.fixture(autouse=True)
def _with_pyav() -> None:
    pytest.importorskip("av")


class Watched:
    """Reads a camera in a thread, as a run does."""

    def __init__(self, address: str, selection: Selection | None = None, patience: Patience = PATIENCE) -> None:
        (self.source,) = open_sources([address], selection, patience)
        self.desk = Desk()
        self.items: list[Frame | Failure] = []
        self._thread = threading.Thread(target=self._read)

    def _read(self) -> None:
        for item in self.source.read(self.desk):
            self.items.append(item)

    def __enter__(self) -> "Watched":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.desk.stop.set()
        self._thread.join(20)
        assert not self._thread.is_alive()

    @property
    def frames(self) -> list[Frame]:
        return [item for item in self.items if isinstance(item, Frame)]

    def has_ended(self) -> bool:
        return not self._thread.is_alive()

    def wait_for_frames(self, more: int = 5) -> None:
        wanted = len(self.frames) + more
        wait_until(lambda: len(self.frames) >= wanted)


def wait_until(true: Callable[[], object], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_frames_come_with_their_moment_and_number(kind: type[Camera]) -> None:
    with kind() as camera, Watched(camera.url) as watched:
        watched.wait_for_frames(10)

    assert all(frame.kind is Kind.LIVE and frame.seconds is None for frame in watched.frames)
    indexes = [frame.index for frame in watched.frames]
    assert indexes == list(range(len(indexes)))
    moments = [frame.moment for frame in watched.frames if frame.moment is not None]
    assert len(moments) == len(indexes)
    assert moments == sorted(moments)
    assert watched.frames[0].image.shape == (120, 160, 3)
    assert watched.desk.told == []


@pytest.mark.parametrize("mode", [Mode.DROP, Mode.STALL, Mode.GARBAGE])
@pytest.mark.parametrize("kind", KINDS)
def test_a_camera_that_is_lost_is_told_of_and_comes_back(kind: type[Camera], mode: Mode) -> None:
    with kind() as camera, Watched(camera.url) as watched:
        watched.wait_for_frames()
        camera.mode = mode
        wait_until(lambda: "lost" in watched.desk.told)
        camera.mode = Mode.GOOD
        wait_until(lambda: watched.desk.told[-1] == "back")
        watched.wait_for_frames()

    indexes = [frame.index for frame in watched.frames]
    assert indexes == sorted(set(indexes)), "no frame comes twice"


@pytest.mark.parametrize("kind", KINDS)
def test_a_camera_may_be_off_at_first_and_change_its_size(kind: type[Camera]) -> None:
    with kind() as probe:
        port = probe.port
    with Watched(f"{kind.scheme}://127.0.0.1:{port}/live") as watched:
        wait_until(lambda: len(watched.desk.losses) >= 3)
        with kind(port) as camera:
            watched.wait_for_frames()
            camera.size = 320, 200
            wait_until(lambda: watched.frames[-1].image.shape == (200, 320, 3))
            watched.desk.stop.set()

    assert "Connection refused" in watched.desk.losses[0][0]
    pauses = [pause for _, pause in watched.desk.losses[:3]]
    assert pauses[0] < pauses[1] < pauses[2], "the pauses grow"


@pytest.mark.parametrize("kind", KINDS)
def test_a_password_opens_and_is_shown_nowhere(kind: type[Camera]) -> None:
    with kind(credentials="user:gehe%m") as camera:
        with Watched(camera.url.replace("gehe%m", "gehe%25m")) as watched:
            watched.wait_for_frames()
        camera.credentials = "user:other"
        with Watched(camera.url.replace("other", "gehe%25m")) as refused:
            wait_until(refused.has_ended)

    (failure,) = refused.items
    assert isinstance(failure, Failure)
    assert "401" in failure.error.message
    seen = [watched.source.name, watched.frames[0].source, failure.source, failure.error.message, failure.error.hint]
    assert not [text for text in seen if "gehe" in text or "user:" in text]


@pytest.mark.parametrize("kind", KINDS)
def test_a_refusal_ends_it_at_once_but_not_after_frames_and_not_for_a_service(kind: type[Camera]) -> None:
    with kind() as camera:
        camera.mode = Mode.REFUSE
        with Watched(camera.url) as at_once:
            wait_until(at_once.has_ended)
        service = Patience(PATIENCE.stall_s, PATIENCE.first_retry_s, PATIENCE.last_retry_s, with_refusals=True)
        with Watched(camera.url, patience=service) as patient:
            wait_until(lambda: len(patient.desk.losses) >= 3)
            camera.mode = Mode.GOOD
            patient.wait_for_frames()
            camera.mode = Mode.DROP
            wait_until(lambda: patient.desk.told[-1] == "lost")
            camera.mode = Mode.REFUSE
            wait_until(lambda: any("refused: " in why for why, _ in patient.desk.losses[4:]))
            camera.mode = Mode.GOOD
            patient.wait_for_frames()

    (failure,) = at_once.items
    assert isinstance(failure, Failure)
    assert "refused" in failure.error.message


def test_pictures_without_a_length_are_told_apart_by_their_boundary() -> None:
    with MjpegCamera() as camera:
        camera.with_length = False
        with Watched(camera.url) as watched:
            watched.wait_for_frames(10)

    assert {frame.image.shape for frame in watched.frames} == {(120, 160, 3)}


def test_stride_rate_and_duration_choose_among_live_frames() -> None:
    with MjpegCamera() as camera:
        camera.period_s = 0.005
        with Watched(camera.url, Selection(stride=3)) as third, Watched(camera.url, Selection(fps=10)) as slow:
            began = time.monotonic()
            wait_until(lambda: len(slow.frames) >= 5)
            took = time.monotonic() - began
        with Watched(camera.url, Selection(duration=0.5)) as short:
            wait_until(short.has_ended)

    assert {frame.index % 3 for frame in third.frames} == {0}
    assert took > 0.3
    assert slow.frames[0].rate == 10
    assert short.frames


class _Server(ThreadingHTTPServer):
    answers: dict[str, tuple[int, str, bytes]]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        assert isinstance(self.server, _Server)
        status, kind, body = self.server.answers[self.path]
        first, last = 0, len(body) - 1
        if wanted := self.headers.get("Range"):
            first = int(wanted.removeprefix("bytes=").split("-")[0])
            status = 206
        self.send_response(status)
        if status == 302:
            self.send_header("Location", kind)
        self.send_header("Content-Type", kind)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(body) - first))
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(body)}")
        self.end_headers()
        self.wfile.write(body[first:])

    def log_message(self, format: str, *args: Any) -> None:
        return None


@pytest.fixture
def web() -> Iterator[_Server]:
    server = _Server(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def _at(web: _Server, path: str) -> str:
    return f"http://127.0.0.1:{web.server_address[1]}{path}"


def _all_of(address: str) -> list[Frame | Failure]:
    with Watched(address) as watched:
        wait_until(watched.has_ended)
    return watched.items


def test_one_picture_behind_an_address(web: _Server) -> None:
    web.answers = {"/a.png?token=geheim": (200, "image/png", encoded(photo(), "PNG"))}

    (frame,) = _all_of(_at(web, "/a.png?token=geheim"))

    assert isinstance(frame, Frame)
    assert (frame.kind, frame.image.shape) == (Kind.PICTURE, (40, 60, 3))
    assert frame.source == _at(web, "/a.png?…")


def test_a_video_behind_an_address_gives_every_frame(web: _Server, tmp_path: Any) -> None:
    video = write_video(tmp_path / "v.mp4", frames=20)
    web.answers = {"/v.mp4": (200, "video/mp4", video.read_bytes())}

    frames = _all_of(_at(web, "/v.mp4"))

    assert [frame.index for frame in frames if isinstance(frame, Frame)] == list(range(20))
    assert {frame.kind for frame in frames if isinstance(frame, Frame)} == {Kind.VIDEO}


def test_an_answer_leads_to_no_file_of_this_machine(web: _Server, tmp_path: Any) -> None:
    secret = write_video(tmp_path / "secret.mp4", frames=3)
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{secret}\n#EXT-X-ENDLIST\n"
    web.answers = {
        "/redirect": (302, secret.as_uri(), b""),
        "/list.m3u8": (200, "application/vnd.apple.mpegurl", playlist.encode()),
    }

    with Watched(_at(web, "/redirect")) as redirected, Watched(_at(web, "/list.m3u8")) as listed:
        wait_until(lambda: redirected.desk.losses or redirected.has_ended())
        wait_until(lambda: listed.desk.losses or listed.has_ended())

    assert redirected.frames == listed.frames == []
