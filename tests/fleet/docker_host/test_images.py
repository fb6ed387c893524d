"""How images come to a device, over HTTP: by digest from a registry, or sent, and what may be wrong with either."""

import hashlib
import io
import json
import os
import tarfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import pytest

from app.errors import FleetError
from app.fleet.base import Image
from app.fleet.docker_host.connection import Connection
from app.fleet.docker_host.images import Images, resolve
from tests.doubles.docker_api import VERSION, Answer, answer, docker_api
from tests.fleet.docker_host.watch import StepWatch

ID = f"sha256:{'a' * 64}"
OTHER = f"sha256:{'b' * 64}"
IMAGE = Image("registry.example:5000/ai/jetsmith-infer:1.2", ID)


def saved() -> bytes:
    """As `docker save` writes an image of two layers."""
    held = io.BytesIO()
    manifest = json.dumps([{"Layers": ["one/layer.tar", "two/layer.tar"]}]).encode()
    with tarfile.open(fileobj=held, mode="w") as tar:
        for name, data in (("one/layer.tar", b"1"), ("two/layer.tar", b"2"), ("manifest.json", manifest)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return held.getvalue()


@dataclass
class Daemon:
    """It has some images by name, and does what it is told to with those that come."""

    images: dict[str, dict[str, Any]] = field(default_factory=dict)
    loads_as: str = ID
    events: list[dict[str, Any]] = field(default_factory=list)
    info: dict[str, Any] = field(default_factory=lambda: {"Architecture": "aarch64", "DriverStatus": [["a", "b"]]})
    pulled: list[str] = field(default_factory=list)
    received: bytes = b""
    older: list[dict[str, Any]] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    in_use: str = ""
    removal_s: float = 0.0
    archive: Answer = field(default_factory=lambda: answer(saved()))

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        path, _, query = unquote(handler.path).partition("?")
        end = path.partition("/v1.41")[2]
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        if handler.command == "DELETE":
            self._remove(handler, end.removeprefix("/images/"))
        elif end == "/info":
            answer(json.dumps(self.info))(handler)
        elif end == "/images/create":
            self.pulled.append(f"{asked['fromImage']}@{asked['tag']}")
            self.images[self.pulled[-1]] = {"Id": OTHER}
            self.stream(handler, self.events)
        elif end == "/images/load":
            self.received = self.read(handler)
            self.images[self.loads_as] = {"Id": self.loads_as}
            self.stream(handler, self.events or [{"stream": f"Loaded image ID: {self.loads_as}\n"}])
        elif end == "/images/json":
            entries = [{"Id": told["Id"], "RepoTags": []} for told in self.images.values()]
            answer(json.dumps([*entries, *self.older]))(handler)
        elif end.endswith("/tag"):
            name = end.removeprefix("/images/").removesuffix("/tag")
            self.images[f"{asked['repo']}:{asked['tag']}"] = self.images[name]
            answer("", 201)(handler)
        elif end.endswith("/get"):
            self.archive(handler)
        else:
            told = self.images.get(end.removeprefix("/images/").removesuffix("/json"))
            answer(json.dumps(told or {"message": "No such image: x"}), 200 if told else 404)(handler)

    def _remove(self, handler: BaseHTTPRequestHandler, name: str) -> None:
        time.sleep(self.removal_s)
        self.removed.append(name)
        answer('{"message": "conflict"}', 409)(handler) if name == self.in_use else answer("[]")(handler)

    @staticmethod
    def stream(handler: BaseHTTPRequestHandler, events: Iterable[dict[str, Any]]) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for event in events:
            line = json.dumps(event).encode() + b"\r\n"
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        handler.wfile.write(b"0\r\n\r\n")

    @staticmethod
    def read(handler: BaseHTTPRequestHandler) -> bytes:
        whole = b""
        while size := int(handler.rfile.readline(), 16):
            whole += handler.rfile.read(size)
            handler.rfile.readline()
        handler.rfile.readline()
        return whole


@pytest.fixture
def device() -> Daemon:
    return Daemon()


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    """This machine's own, which has the image."""
    layers = {"RootFS": {"Layers": ["sha256:one", "sha256:two"]}}
    daemon = Daemon({ID: {"Id": ID, "Size": 10, "Architecture": "arm64", **layers}})
    with docker_api({"/version": VERSION, "": daemon}) as api:
        monkeypatch.setenv("DOCKER_HOST", api.address)
        monkeypatch.delenv("DOCKER_CERT_PATH", raising=False)
        monkeypatch.delenv("DOCKER_TLS_VERIFY", raising=False)
        yield daemon


@contextmanager
def images(device: Daemon, registry: str = "") -> Iterator[Images]:
    with docker_api({"/version": VERSION, "": device}) as api:
        connection = Connection(api.address)
        yield Images(connection, registry)
        connection.close()


def load(device: Daemon, registry: str = "", watch: StepWatch | None = None) -> None:
    with images(device, registry) as loader:
        loader.load(IMAGE, watch or StepWatch())


def names(archive: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return tar.getnames()


def test_a_registrys_image_is_pulled_by_digest_and_named(device: Daemon) -> None:
    device.events = [
        {"status": "Downloading", "id": "x", "progressDetail": {"current": 1, "total": 4}},
        {"status": "Downloading", "id": "y", "progressDetail": {"current": "?"}},
        {"status": "Pull complete", "id": "x", "progressDetail": {}},
    ]
    load(device, "registry.example:5000/ai/")
    assert device.pulled == [f"registry.example:5000/ai/jetsmith-infer@{ID}"]
    assert IMAGE.on_device in device.images
    load(device, "registry.example:5000/ai/")
    assert len(device.pulled) == 1


def test_a_registry_that_refuses_says_what_to_do(device: Daemon) -> None:
    device.events = [{"error": "unauthorized: authentication required", "errorDetail": {}}]
    with pytest.raises(FleetError) as raised:
        load(device, "r/")
    assert "the registry lets nobody in" in raised.value.message
    assert "docker login" in raised.value.hint
    assert IMAGE.on_device not in device.images


def test_numbers_that_are_too_large_are_no_progress(device: Daemon) -> None:
    amounts = [(10**2000, 1), (1, 10**2000), (-5, 5), (1, 0), (7, 3)]
    device.events = [
        {"status": "Downloading", "id": str(one), "progressDetail": {"current": current, "total": total}}
        for one, (current, total) in enumerate(amounts)
    ]
    load(device, "registry.example:5000/ai/")
    assert IMAGE.on_device in device.images


@pytest.mark.parametrize("end", ["/images/create", "/images/load"])
def test_a_device_that_goes_on_telling_is_left_when_the_time_is_over(here: Daemon, end: str) -> None:
    device, over = Daemon(), threading.Event()

    def talkative(handler: BaseHTTPRequestHandler) -> None:
        if end not in handler.path:
            device(handler)
            return
        if end.endswith("load"):
            device.read(handler)
        device.stream(handler, ({"status": "Waiting"} for _ in iter(over.is_set, True)))

    with docker_api({"/version": VERSION, "": talkative}) as api:
        loader = Images(Connection(api.address), "r/" if end.endswith("create") else "")
        with pytest.raises(FleetError, match="longer than it may"):
            loader.load(IMAGE, StepWatch(2))
        left = [thread for thread in threading.enumerate() if thread.name == "fleet transfer"]
        over.set()
    assert left == []


def test_an_image_is_sent_whole_to_a_device_that_has_nothing(device: Daemon, here: Daemon) -> None:
    load(device)
    assert names(device.received) == ["one/layer.tar", "two/layer.tar", "manifest.json"]
    assert device.images[IMAGE.on_device] == {"Id": ID}


def test_layers_that_are_there_are_not_sent(device: Daemon, here: Daemon) -> None:
    device.images[OTHER] = {"Id": OTHER, "RootFS": {"Layers": ["sha256:one", "sha256:else"]}}
    load(device)
    assert names(device.received) == ["two/layer.tar", "manifest.json"]


def test_dockers_newer_store_is_sent_all_layers(device: Daemon, here: Daemon) -> None:
    """It looks for them in the archive; and it calls the image otherwise."""
    device.info["DriverStatus"] = [["driver-type", "io.containerd.snapshotter.v1"]]
    device.images[OTHER] = {"Id": OTHER, "RootFS": {"Layers": ["sha256:one"]}}
    device.loads_as = f"sha256:{'c' * 64}"
    load(device)
    assert "one/layer.tar" in names(device.received)
    assert device.images[IMAGE.on_device] == {"Id": device.loads_as}


def test_a_device_that_wants_all_layers_gets_them(device: Daemon, here: Daemon) -> None:
    device.images[OTHER] = {"Id": OTHER, "RootFS": {"Layers": ["sha256:one"]}}
    device.events = [{"error": "open /var/lib/docker/tmp/x/one/layer.tar: no such file or directory"}]

    class Watch(StepWatch):
        def update(self, message: str, percent: float | None = None) -> None:
            super().update(message, percent)
            device.events = []

    watch = Watch()
    load(device, watch=watch)
    assert any("only with all its layers" in message for message, _ in watch.told)
    assert "one/layer.tar" in names(device.received)


def test_another_image_than_the_one_that_was_sent_is_refused(device: Daemon, here: Daemon) -> None:
    device.loads_as = OTHER
    with pytest.raises(FleetError, match=f"arrived as {OTHER}"):
        load(device)
    assert IMAGE.on_device not in device.images


def test_an_image_for_another_processor_is_not_sent(device: Daemon, here: Daemon) -> None:
    device.info["Architecture"] = "x86_64"
    with pytest.raises(FleetError, match="made for arm64, and the device is amd64"):
        load(device)
    assert device.received == b""


def test_what_fails_on_this_machine_is_not_said_of_the_device(device: Daemon, here: Daemon) -> None:
    del here.images[ID]["RootFS"]
    here.archive = answer('{"message": "disk failure"}', 500)
    with pytest.raises(FleetError, match="on this machine: its Docker refused: disk failure"):
        load(device)


@pytest.mark.parametrize("told", [{}, {"Id": 1}, {"Id": "sha256:short"}, {"Id": ID + "\n"}])
def test_an_image_without_a_digest_is_none(here: Daemon, told: dict[str, Any]) -> None:
    here.images["x:1"] = {"more": "x", **told}
    with pytest.raises(FleetError, match="without a digest"):
        resolve("x:1", is_pulled=False)


def test_a_machine_without_docker_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    with pytest.raises(FleetError, match="this machine's Docker: ") as raised:
        resolve("x:1", is_pulled=False)
    assert raised.value.hint


def test_the_docker_of_the_chosen_context_is_asked(
    here: Daemon, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    address = os.environ["DOCKER_HOST"]
    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    meta = tmp_path / "contexts" / "meta" / hashlib.sha256(b"far").hexdigest() / "meta.json"
    meta.parent.mkdir(parents=True)
    meta.write_text(json.dumps({"Name": "far", "Metadata": {}, "Endpoints": {"docker": {"Host": address}}}))
    here.images["x:1"] = {"Id": ID}
    (tmp_path / "config.json").write_text('{"currentContext": "far"}')
    assert resolve("x:1", is_pulled=False).digest == ID

    (tmp_path / "config.json").write_text('{"currentContext": "gone"}')
    with pytest.raises(FleetError, match="this machine has no Docker context gone"):
        resolve("x:1", is_pulled=False)


OLD = f"jetsmith-fleet/jetsmith-infer:{'b' * 64}"
PULLED = f"r/jetsmith-infer@{OTHER}"


@pytest.mark.parametrize(
    ("tags", "digests", "removed"),
    [
        pytest.param([OLD], [PULLED], [PULLED, OLD], id="pulled"),
        pytest.param([OLD], None, [OLD], id="sent"),
        pytest.param([OLD, "mine:1"], [PULLED], [OLD], id="somebody-has-it-too"),
        pytest.param([OLD], [f"jetsmith-fleet/jetsmith-infer@{OTHER}", f"r/x@{ID}"], [OLD], id="no-name-of-a-pull"),
        pytest.param([IMAGE.on_device], [f"r/jetsmith-infer@{ID}"], [], id="wanted"),
        pytest.param(["mine:1"], [f"mine@{OTHER}"], [], id="somebody-elses"),
    ],
)
def test_an_older_version_goes_by_all_its_names(
    device: Daemon, tags: list[str], digests: list[str] | None, removed: list[str]
) -> None:
    device.older = [{"Id": OTHER, "RepoTags": tags, "RepoDigests": digests}]
    load(device, "r/")
    assert device.removed == removed


def test_what_a_container_needs_is_left(device: Daemon) -> None:
    device.older, device.in_use = [{"Id": OTHER, "RepoTags": [OLD], "RepoDigests": [PULLED]}], OLD
    load(device, "r/")
    assert IMAGE.on_device in device.images


def test_the_watch_is_asked_while_a_slow_disk_removes(device: Daemon) -> None:
    device.older, device.removal_s = [{"Id": OTHER, "RepoTags": [OLD]}], 2.5
    watch = StepWatch()
    load(device, "r/", watch=watch)
    assert any("older versions are removed" in message for message, _ in watch.told)
