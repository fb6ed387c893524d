"""Weights come whole and right, or not at all, whatever the network and the server do."""

import contextlib
import errno
import hashlib
import io
import json
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.catalog import parse_model_name
from app.convert import answer, connection, weights
from app.convert.connection import Patience, file_address
from app.convert.ledger import Ledger
from app.convert.partial import PartialFile, disk_errors_as_ours
from app.convert.weights import Weights, WeightsRequest, resolve_weights
from app.errors import DigestMismatch, DownloadFailed, UnknownModel, WeightsError
from app.progress import SilentReporter
from tests.command import PROJECT_ROOT
from tests.convert.file_server import Answer, FileServer, serving
from tests.doubles.reporters import ListReporter

QUICK = Patience(attempts=3, first_wait_s=0.01, longest_wait_s=0.05, connect_timeout_s=2, stall_timeout_s=0.3)
NAME = "yolo11m"  # official, but its digest is not pinned
PINNED_NAME = "yolo11n"
HTML = b"<!doctype html><title>Log in to the network</title>" * 4000


def archive(seed: int, size: int = 300_000) -> bytes:
    """A zip archive as torch.save writes one, as far as a download can tell."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(zipfile.ZipInfo("model/data.pkl"), random.Random(seed).randbytes(size))
    return buffer.getvalue()


CONTENT = archive(1)
OTHER = archive(2)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving(CONTENT) as files:
        yield files


Ask = Callable[..., WeightsRequest]


@pytest.fixture
def ask(tmp_path: Path, server: FileServer) -> Ask:
    models = tmp_path / "models"

    def request(name: str = NAME, **changes: Any) -> WeightsRequest:
        fields: dict[str, Any] = {
            "path": models / f"{name}.pt",
            "model": parse_model_name(name),
            "url": server.url,
            "ledger": models / "weights.json",
        }
        return WeightsRequest(**{**fields, **changes})

    return request


def fetch(request: WeightsRequest, reporter: SilentReporter | None = None) -> Weights:
    return resolve_weights(request, reporter or SilentReporter(), QUICK)


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# What a good download leaves


def test_a_download_is_whole_and_recorded(ask: Ask, server: FileServer) -> None:
    request = ask()
    found = fetch(request)
    assert found == Weights(request.path, sha256(CONTENT), "downloaded")
    assert request.path.read_bytes() == CONTENT
    assert server.paths == ["/release/yolo11m.pt"]
    record = json.loads(request.ledger.read_text())["weights"]["yolo11m.pt"]
    assert record["sha256"] == sha256(CONTENT)
    assert record["size"] == len(CONTENT)
    assert record["url"] == f"{server.url}/yolo11m.pt"
    assert record["paths"] == ["yolo11m.pt"]
    assert record["date"].endswith("+00:00")
    assert files_in(request.path.parent) == {"yolo11m.pt", "weights.json", ".weights.json.lock"}


def test_a_file_that_is_there_is_used_without_a_download(ask: Ask, server: FileServer) -> None:
    fetch(ask())
    assert fetch(ask()).origin == "downloaded"
    assert len(server.requests) == 1


def test_a_file_of_ones_own_is_used_as_it_is(ask: Ask, server: FileServer) -> None:
    request = ask(PINNED_NAME)  # of another digest than the pinned one: it is the user's
    request.path.parent.mkdir()
    request.path.write_bytes(OTHER)
    assert fetch(request) == Weights(request.path, sha256(OTHER), "local")
    assert server.requests == []


def test_progress_counts_to_the_whole_file(ask: Ask, server: FileServer) -> None:
    seen: list[tuple[float, float | None]] = []

    class Watching(SilentReporter):
        def phase(self, name: str, total: float | None = None, unit: str = "") -> Any:
            assert unit == "B"
            phase = super().phase(name, total, unit)
            phase.update = lambda completed, total=None: seen.append((completed, total))  # type: ignore[attr-defined]

            class Entered:
                def __enter__(self) -> Any:
                    return phase

                def __exit__(self, *_: object) -> None:
                    return None

            return Entered()

    fetch(ask(), Watching())
    assert seen[0] == (0, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert sorted(seen) == seen


def test_the_address_keeps_its_query_and_gets_one_slash() -> None:
    assert file_address("https://host/a/?token=1", "x.pt") == "https://host/a/x.pt?token=1"
    assert file_address("https://host", "x.pt") == "https://host/x.pt"


@pytest.mark.parametrize(
    "url", ["ftp://host/a", "file:///srv/weights", "host/a", "https://", "", "http://[::1", "http://host:port"]
)
def test_an_address_that_is_none_is_refused(ask: Ask, url: str) -> None:
    with pytest.raises(WeightsError, match="not a web address") as caught:
        fetch(ask(url=url))
    assert "weights_url" in caught.value.hint


# Connections that break


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param([Answer(cut_at=100_000)], id="drops-mid-body"),
        pytest.param([Answer(stall_at=100_000)], id="stalls-mid-body"),
        pytest.param(
            [Answer(cut_at=50_000), Answer(cut_at=50_000), Answer(cut_at=1), Answer(cut_at=9_000)], id="again"
        ),
        pytest.param([Answer(cut_at=100_000, etag=None), Answer(etag=None)], id="no-validator"),
    ],
)
def test_a_broken_download_goes_on_where_it_stopped(ask: Ask, server: FileServer, bad: list[Answer]) -> None:
    server.plan = list(bad)
    reporter = ListReporter()
    assert fetch(ask(), reporter).sha256 == sha256(CONTENT)
    starts = [int(r["Range"].removeprefix("bytes=").removesuffix("-")) for r in server.requests[1:]]
    assert starts
    assert all(start > 0 for start in starts)
    assert starts == sorted(starts)
    assert any("trying again" in note for note in reporter.notes)


def test_a_server_that_drips_is_given_up(ask: Ask, server: FileServer) -> None:
    """Every byte keeps the connection from timing out, and there is no end to it."""
    server.usual = Answer(pause_s=0.05)
    impatient = replace(QUICK, window_s=0.1, least_bytes=len(CONTENT) // 2)
    with pytest.raises(DownloadFailed, match=r"tried 3 times: only \d+ bytes came in 0\.1 s") as caught:
        resolve_weights(ask(), SilentReporter(), impatient)
    assert "put it at" in caught.value.hint
    assert "weights_url" in caught.value.hint


def test_a_server_that_breaks_off_after_every_byte_is_given_up(ask: Ask, server: FileServer) -> None:
    server.usual = Answer(cut_at=1)
    with pytest.raises(DownloadFailed, match="tried 3 times"):
        fetch(ask())


def test_a_later_run_goes_on_where_the_first_gave_up(ask: Ask, server: FileServer) -> None:
    server.plan = [Answer(cut_at=120_000)] + [Answer(status=503)] * 3
    with pytest.raises(DownloadFailed):
        fetch(ask())
    fetch(ask())
    assert server.requests[-1]["Range"] == "bytes=120000-"
    assert server.requests[-1]["If-Range"] == '"1"'
    assert ask().path.read_bytes() == CONTENT


def test_a_part_of_another_address_is_not_gone_on_with(ask: Ask, server: FileServer) -> None:
    server.plan = [Answer(cut_at=120_000)] + [Answer(status=503)] * 3
    with pytest.raises(DownloadFailed):
        fetch(ask())
    fetch(ask(url=f"{server.url}/other"))
    assert "Range" not in server.requests[-1]


@pytest.mark.parametrize("notes", ["", "null", "[1]", '{"url": 3}', "garbage"])
def test_damaged_notes_mean_a_fresh_start(ask: Ask, server: FileServer, notes: str) -> None:
    request = ask()
    request.path.parent.mkdir()
    request.path.with_name("yolo11m.pt.part").write_bytes(OTHER[:1000])
    request.path.with_name("yolo11m.pt.part.json").write_text(notes)
    assert fetch(request).sha256 == sha256(CONTENT)
    assert "Range" not in server.requests[0]


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(Answer(body=OTHER, etag='"2"'), id="if-range-heeded"),
        pytest.param(Answer(body=OTHER, etag='"2"', if_range=False), id="if-range-ignored"),
        pytest.param(Answer(body=OTHER, etag=None, if_range=False), id="no-etag-any-more"),
        pytest.param(Answer(body=OTHER[:110_000], etag='"2"', if_range=False), id="shorter-than-the-part"),
    ],
)
def test_pieces_of_two_files_are_never_joined(ask: Ask, server: FileServer, after: Answer) -> None:
    server.plan = [Answer(cut_at=120_000), after]
    server.usual = Answer(body=OTHER, etag='"2"')
    assert fetch(ask()).sha256 == sha256(OTHER)


def test_a_server_that_ignores_ranges_starts_anew(ask: Ask, server: FileServer) -> None:
    server.plan = [Answer(cut_at=120_000), Answer(ranges=False)]
    assert fetch(ask()).sha256 == sha256(CONTENT)


def test_a_wrong_range_is_not_joined(ask: Ask, server: FileServer) -> None:
    wrong = Answer(status=206, headers={"Content-Range": f"bytes 5-{len(CONTENT) - 1}/{len(CONTENT)}"})
    server.plan = [Answer(cut_at=120_000), wrong]
    assert fetch(ask()).sha256 == sha256(CONTENT)


def test_a_truncated_answer_without_a_length_is_noticed(ask: Ask, server: FileServer) -> None:
    server.usual = Answer(body=CONTENT[:200_000], declare_length=False)
    with pytest.raises(DownloadFailed, match="truncated"):
        fetch(ask())
    assert not ask().path.exists()


def test_server_errors_are_tried_again_as_often_as_patience_lasts(ask: Ask, server: FileServer) -> None:
    server.plan = [Answer(status=500, headers={"Retry-After": "0"}), Answer(status=429)]
    assert fetch(ask()).sha256 == sha256(CONTENT)
    assert len(server.requests) == 3
    ask().path.unlink()
    server.usual = Answer(status=502)
    with pytest.raises(DownloadFailed, match=r"tried 3 times: the server answered 502"):
        fetch(ask())


def test_the_servers_wish_to_wait_is_capped(ask: Ask, server: FileServer) -> None:
    server.plan = [Answer(status=503, headers={"Retry-After": "3600"})]
    began = time.monotonic()
    fetch(ask())
    assert time.monotonic() - began < 5


# Answers that are final


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(Answer(status=404), "does not exist", id="404"),
        pytest.param(Answer(status=410), "does not exist", id="410"),
        pytest.param(Answer(status=403), "refused .HTTP 403", id="403"),
        pytest.param(Answer(body=HTML, headers={"Content-Type": "text/html; charset=utf-8"}), "a web page", id="html"),
        pytest.param(Answer(body=HTML), "other data", id="html-under-another-name"),
        pytest.param(Answer(body=b"PK\x03\x04 tiny"), "only 9 bytes", id="too-small"),
        pytest.param(Answer(body=b"", declare_length=False), "nothing", id="empty"),
        pytest.param(Answer(headers={"Content-Encoding": "gzip"}), "compressed", id="gzip"),
    ],
)
def test_what_is_no_weights_file_is_refused_at_once(ask: Ask, server: FileServer, answer: Answer, words: str) -> None:
    server.usual = answer
    with pytest.raises(DownloadFailed, match=words) as caught:
        fetch(ask())
    assert len(server.requests) == 1
    assert str(ask().path) in caught.value.hint
    assert files_in(ask().path.parent) == {".weights.json.lock"}


def test_a_model_without_official_weights_is_not_asked_for(ask: Ask, server: FileServer) -> None:
    request = ask(model=parse_model_name("yolov10m-seg"))
    with pytest.raises(UnknownModel):
        fetch(request)
    assert server.requests == []


def test_no_file_and_no_model_says_what_to_set(ask: Ask) -> None:
    with pytest.raises(WeightsError, match="no weights file at") as caught:
        fetch(ask(model=None))
    assert "base_model" in caught.value.hint


def test_with_no_network_it_says_what_was_tried_and_where_to_put_the_file(ask: Ask) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DownloadFailed) as caught:
        fetch(ask(url=f"http://127.0.0.1:{port}/mirror"))
    assert f"http://127.0.0.1:{port}/mirror/yolo11m.pt" in caught.value.message
    assert "tried 3 times" in caught.value.message
    assert "Connection refused" in caught.value.message
    assert str(ask().path) in caught.value.hint
    assert "vision.yolo.model_source.weights_url" in caught.value.hint


def test_a_name_that_does_not_resolve_is_a_clear_error(ask: Ask) -> None:
    with pytest.raises(DownloadFailed, match="tried 3 times"):
        fetch(ask(url="http://no-such-host.invalid/x"))


def test_an_unusable_proxy_setting_is_a_clear_error(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "nonsense://user:secret@proxy")
    with pytest.raises(DownloadFailed, match="cannot be set up") as caught:
        fetch(ask())
    assert "HTTPS_PROXY" in caught.value.hint
    assert "secret" not in str(caught.value)


def test_a_missing_ca_file_is_a_clear_error(ask: Ask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "absent.pem"))
    with pytest.raises(DownloadFailed) as caught:
        fetch(ask())
    assert "SSL_CERT_FILE" in caught.value.hint


def _certificate_error() -> httpx.ConnectError:
    try:
        try:
            raise ssl.SSLCertVerificationError(1, "certificate verify failed: self-signed certificate")
        except ssl.SSLError as error:
            raise httpx.ConnectError("certificate verify failed") from error
    except httpx.ConnectError as error:
        return error


@pytest.mark.parametrize(
    ("error", "ours", "words"),
    [
        pytest.param(httpx.UnsupportedProtocol("no"), DownloadFailed, "cannot be fetched", id="protocol"),
        pytest.param(httpx.LocalProtocolError("no"), DownloadFailed, "cannot be fetched", id="local-protocol"),
        pytest.param(httpx.TooManyRedirects("no"), DownloadFailed, "cannot be fetched", id="redirects"),
        pytest.param(httpx.InvalidURL("no"), DownloadFailed, "cannot be fetched", id="url"),
        pytest.param(_certificate_error(), DownloadFailed, "certificate is not trusted", id="certificate"),
        pytest.param(httpx.ConnectTimeout("no"), connection.Broken, "ConnectTimeout", id="connect-timeout"),
        pytest.param(httpx.ReadTimeout("no"), connection.Broken, "ReadTimeout", id="read-timeout"),
        pytest.param(httpx.ConnectError("refused"), connection.Broken, "refused", id="connect"),
        pytest.param(httpx.ReadError(""), connection.Broken, "ReadError", id="read-without-words"),
        pytest.param(httpx.RemoteProtocolError("closed"), connection.Broken, "closed", id="remote-protocol"),
        pytest.param(httpx.ProxyError("407 at http://me:pw@p"), connection.Broken, "407 at http://p", id="proxy"),
    ],
)
def test_errors_of_the_http_library_end_in_one_place(error: Exception, ours: type[Exception], words: str) -> None:
    address = connection.parse_address("https://host/x.pt")
    with pytest.raises(ours, match=words), connection._http_errors_as_ours(address):
        raise error


def test_a_proxy_from_the_environment_is_used(ask: Ask, server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.url.removesuffix("/release"))
    assert fetch(ask(url="http://weights.invalid/all")).sha256 == sha256(CONTENT)
    assert server.paths == ["http://weights.invalid/all/yolo11m.pt"]


# Redirects


def test_a_redirect_is_followed(ask: Ask, server: FileServer) -> None:
    server.plan = [Answer(status=302, body=b"", headers={"Location": "/elsewhere/file?signature=abc"})]
    assert fetch(ask()).sha256 == sha256(CONTENT)
    assert server.paths[1] == "/elsewhere/file?signature=abc"


@pytest.mark.parametrize("target", ["ftp://host/x", "file:///etc/passwd"])
def test_a_redirect_away_from_http_is_refused(ask: Ask, server: FileServer, target: str) -> None:
    server.usual = Answer(status=302, body=b"", headers={"Location": target})
    with pytest.raises(DownloadFailed):
        fetch(ask())
    assert len(server.requests) == 1


def test_endless_redirects_end(ask: Ask, server: FileServer) -> None:
    server.usual = Answer(status=302, body=b"", headers={"Location": "/again"})
    with pytest.raises(DownloadFailed, match="redirect"):
        fetch(ask())


def test_an_encrypted_download_never_goes_on_in_the_clear() -> None:
    guard = connection._SchemeGuard()
    guard.check(httpx.Request("GET", "https://host/a"))
    guard.check(httpx.Request("GET", "https://other/b"))
    with pytest.raises(DownloadFailed, match="not https"):
        guard.check(httpx.Request("GET", "http://host/a"))


# Secrets


def test_a_password_is_sent_but_never_shown(ask: Ask, server: FileServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", logger="httpx")
    url = server.url.replace("http://", "http://me:pa%40ss@") + "?token=abc123"
    server.plan = [Answer(status=500)]
    reporter = ListReporter()
    fetch(ask(url=url), reporter)
    assert server.requests[0]["Authorization"] == "Basic bWU6cGFAc3M="
    assert server.paths[0] == "/release/yolo11m.pt?token=abc123"
    server.usual = Answer(status=404)
    with pytest.raises(DownloadFailed) as caught:
        fetch(ask("yolo11l", url=url), reporter)
    written = "".join(path.read_text() for path in ask().path.parent.glob("*.json"))
    told = " ".join([*reporter.notes, caught.value.message, caught.value.hint, written, caplog.text])
    assert "127.0.0.1" in told
    for secret in ("pa%40ss", "pa@ss", "me:", "abc123", "bWU6"):
        assert secret not in told


# Digests


def test_another_file_than_the_pinned_one_is_refused_and_deleted(ask: Ask) -> None:
    with pytest.raises(DigestMismatch, match=sha256(CONTENT)) as caught:
        fetch(ask(PINNED_NAME))
    assert str(ask(PINNED_NAME).path) in caught.value.hint
    assert files_in(ask().path.parent) == {".weights.json.lock"}


def test_each_pinned_digest_of_a_name_is_right(ask: Ask, server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_pinned", lambda: {"yolo11n.pt": [sha256(OTHER), sha256(CONTENT)]})
    assert fetch(ask(PINNED_NAME)).sha256 == sha256(CONTENT)
    server.content = OTHER
    assert fetch(ask(PINNED_NAME, force_download=True)).sha256 == sha256(OTHER)


def test_official_weights_pass_their_pinned_digest(ask: Ask, server: FileServer, shared_data: Any) -> None:
    official = shared_data("weights/yolo11n-seg.pt")
    server.content = official.read_bytes()
    assert fetch(ask("yolo11n-seg")).sha256 == sha256(server.content)


def test_the_pinned_table_is_well_formed() -> None:
    for name, digests in weights._pinned().items():
        assert parse_model_name(name.removesuffix(".pt")).weights_file == name
        assert digests
        assert all(len(digest) == 64 and int(digest, 16) for digest in digests)


def test_a_later_download_that_differs_is_refused_until_the_entry_is_deleted(ask: Ask, server: FileServer) -> None:
    request = ask()
    fetch(request)
    server.content = OTHER
    request.path.unlink()
    with pytest.raises(DigestMismatch) as caught:
        fetch(request)
    assert 'entry "yolo11m.pt"' in caught.value.hint
    assert str(request.ledger) in caught.value.hint
    assert not request.path.exists()
    content = json.loads(request.ledger.read_text())
    del content["weights"]["yolo11m.pt"]
    request.ledger.write_text(json.dumps(content))
    assert fetch(request).sha256 == sha256(OTHER)


def test_pieces_that_do_not_fit_together_are_downloaded_in_one(ask: Ask, server: FileServer) -> None:
    """The server's file changed between two connections, and nothing it said showed it."""
    server.plan = [Answer(cut_at=120_000), Answer(body=CONTENT[:150_000] + bytes(len(CONTENT) - 150_000))]
    reporter = ListReporter()
    assert fetch(ask(), reporter).sha256 == sha256(CONTENT)
    assert any("in one piece" in note for note in reporter.notes)


# The ledger


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '"x"',
        "\xff",
        '{"format": 2, "weights": {}}',
        '{"format": 1}',
        '{"format": 1, "weights": {"a": 3}}',
        '{"format": 1, "weights": {"a": {"sha256": "zz", "size": 1, "url": "", "date": "", "paths": []}}}',
    ],
)
def test_a_damaged_ledger_is_a_clear_error(ask: Ask, content: str) -> None:
    request = ask()
    request.ledger.parent.mkdir()
    request.ledger.write_bytes(content.encode("latin-1"))
    with pytest.raises(WeightsError, match="is damaged") as caught:
        fetch(request)
    assert "delete it" in caught.value.hint


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
_RECORD = st.fixed_dictionaries({key: _JSON | st.just("a" * 64) for key in ("sha256", "size", "url", "date", "paths")})
_LEDGER = st.fixed_dictionaries({"format": st.just(1), "weights": st.dictionaries(st.text(), _RECORD, max_size=3)})


@given(content=_JSON | _LEDGER | st.fixed_dictionaries({"format": _JSON, "weights": _JSON}))
def test_any_ledger_is_read_or_is_a_clear_error(tmp_path_factory: pytest.TempPathFactory, content: object) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.json"
    path.write_text(json.dumps(content))
    with contextlib.suppress(WeightsError):
        Ledger(path).put_here(path, "a" * 64)


@given(content=_JSON | st.fixed_dictionaries({"url": _JSON, "validator": _JSON, "length": _JSON}))
def test_any_notes_are_read_or_are_none(tmp_path_factory: pytest.TempPathFactory, content: object) -> None:
    part = PartialFile(tmp_path_factory.getbasetemp() / "fuzzed.pt", "http://host/x")
    part.path.write_bytes(b"PK")
    part.path.with_name("fuzzed.pt.part.json").write_text(json.dumps(content))
    part.notes()


def test_force_download_replaces_what_was_downloaded(ask: Ask, server: FileServer) -> None:
    fetch(ask())
    fetch(ask(force_download=True))
    assert len(server.requests) == 2


def test_force_download_starts_anew(ask: Ask, server: FileServer) -> None:
    server.plan = [Answer(cut_at=120_000)] + [Answer(status=503)] * 3
    with pytest.raises(DownloadFailed):
        fetch(ask())
    fetch(ask(force_download=True))
    assert "Range" not in server.requests[-1]


@pytest.mark.parametrize("before", ["never-downloaded", "changed-since"])
def test_force_download_keeps_a_file_that_was_not_downloaded(ask: Ask, server: FileServer, before: str) -> None:
    request = ask(force_download=True)
    if before == "changed-since":
        fetch(ask())
    request.path.parent.mkdir(exist_ok=True)
    request.path.write_bytes(OTHER)
    requests = len(server.requests)
    with pytest.raises(WeightsError, match="was not downloaded") as caught:
        fetch(request)
    assert "pt_model_path" in caught.value.hint
    assert request.path.read_bytes() == OTHER
    assert len(server.requests) == requests


def test_a_failed_force_download_leaves_the_old_file(ask: Ask, server: FileServer) -> None:
    fetch(ask())
    server.usual = Answer(status=404)
    with pytest.raises(DownloadFailed):
        fetch(ask(force_download=True))
    assert ask().path.read_bytes() == CONTENT


def test_two_places_of_one_model_are_both_ours(ask: Ask, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "my name.pt"
    fetch(ask())
    assert fetch(ask(path=elsewhere)).path == elsewhere
    assert fetch(ask(path=elsewhere, force_download=True)).origin == "downloaded"
    assert fetch(ask(force_download=True)).origin == "downloaded"


# Many at once, and sudden ends


def test_four_threads_download_once(ask: Ask, server: FileServer) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: fetch(ask()), range(4)))
    assert {one.sha256 for one in found} == {sha256(CONTENT)}
    assert len(server.requests) == 1


def test_four_forced_downloads_at_once_download_once(ask: Ask, server: FileServer) -> None:
    fetch(ask())
    server.usual = Answer(pause_s=0.005)
    start = threading.Barrier(4)

    def force(_: int) -> Weights:
        start.wait()
        return fetch(ask(force_download=True))

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(force, range(4)))
    assert {one.sha256 for one in found} == {sha256(CONTENT)}
    assert len(server.requests) <= 3  # one that began after another had ended downloads again, as it was told to


_CONVERTER = """
import sys
from pathlib import Path
from app.catalog import parse_model_name
from app.convert.connection import Patience
from app.convert.weights import WeightsRequest, resolve_weights
from app.progress import SilentReporter
path = Path(sys.argv[2])
request = WeightsRequest(path, parse_model_name("yolo11m"), sys.argv[1], path.with_name("weights.json"))
print(resolve_weights(request, SilentReporter(), Patience(first_wait_s=0.01, stall_timeout_s=10)).sha256)
"""


def converter(request: WeightsRequest) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", _CONVERTER, request.url, str(request.path)]
    return subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True)


def test_four_processes_download_once(ask: Ask, server: FileServer) -> None:
    children = [converter(ask()) for _ in range(4)]
    assert {child.communicate(timeout=60)[0].strip() for child in children} == {sha256(CONTENT)}
    assert len(server.requests) == 1


def test_a_killed_download_is_gone_on_with(ask: Ask, server: FileServer) -> None:
    server.plan = [Answer(stall_at=200_000)]
    part = ask().path.with_name("yolo11m.pt.part")
    child = converter(ask())
    deadline = time.monotonic() + 30
    while (not part.exists() or part.stat().st_size < 65_536) and time.monotonic() < deadline:
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    arrived = part.stat().st_size
    assert fetch(ask()).sha256 == sha256(CONTENT)
    assert server.requests[-1]["Range"] == f"bytes={arrived}-"
    assert files_in(ask().path.parent) == {"yolo11m.pt", "weights.json", ".weights.json.lock"}


def test_a_part_that_is_whole_needs_no_connection(
    ask: Ask, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a kill between the last byte and the rename."""

    def crash(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(PartialFile, "publish", crash)
        with pytest.raises(KeyboardInterrupt):
            fetch(ask())
    assert not ask().path.exists()
    assert fetch(ask()).sha256 == sha256(CONTENT)
    assert len(server.requests) == 1


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_in_one_good_file(ask: Ask, server: FileServer) -> None:
    server.usual = Answer(pause_s=0.01)
    moments = random.Random(7)
    folder = ask().path.parent
    for _ in range(40):
        child = converter(ask())
        time.sleep(moments.uniform(0.1, 0.8))
        child.kill()
        child.communicate()
        if ask().path.exists():
            assert ask().path.read_bytes() == CONTENT
            ask().path.unlink()  # and again: each round is to be killed at work
    assert fetch(ask()).origin == "downloaded"
    assert ask().path.read_bytes() == CONTENT
    assert files_in(folder) == {"yolo11m.pt", "weights.json", ".weights.json.lock"}


# Disks and files


class _FullFile:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def __enter__(self) -> "_FullFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def test_a_disk_that_fills_up_is_a_clear_error(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open

    def full(path: Path, mode: str = "r", **options: Any) -> Any:
        file = opened(path, mode, **options)
        return _FullFile(file) if path.suffix == ".part" else file

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(WeightsError, match="The disk is full") as caught:
        fetch(ask())
    assert "Free some space" in caught.value.hint


def test_too_little_room_is_said_before_the_first_byte(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 1000

    monkeypatch.setattr(answer, "disk_usage", lambda _: Usage)
    with pytest.raises(WeightsError, match="has room for 0 MB"):
        fetch(ask())


def test_a_folder_that_cannot_be_made_is_a_clear_error(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(WeightsError, match="cannot be written"):
        fetch(ask(path=tmp_path / "file" / "yolo11m.pt"))


def test_a_folder_of_another_user_is_told_with_both_users_and_the_remedy(tmp_path: Path) -> None:
    told = r"belongs to user \d+, and this process runs as user \d+"
    with pytest.raises(WeightsError, match=told) as caught, disk_errors_as_ours(tmp_path / "yolo11m.pt"):
        raise PermissionError(errno.EACCES, "Permission denied")
    assert "JETSMITH_UID=" in caught.value.hint


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"\x00" * 5000, "not a whole PyTorch checkpoint", id="zeros"),
        pytest.param(HTML, "not a whole PyTorch checkpoint", id="html"),
        pytest.param(CONTENT[:-5000], "not a whole PyTorch checkpoint", id="truncated"),
        pytest.param(b"PK", "not a whole PyTorch checkpoint", id="two-bytes"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_a_clear_error(ask: Ask, content: bytes, words: str) -> None:
    request = ask()
    request.path.parent.mkdir()
    request.path.write_bytes(content)
    with pytest.raises(WeightsError, match=words):
        fetch(request)


def test_a_directory_in_the_files_place_is_a_clear_error(ask: Ask) -> None:
    ask().path.mkdir(parents=True)
    with pytest.raises(WeightsError, match="is not a file"):
        fetch(ask())


def test_an_unreadable_file_is_a_clear_error(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    request = ask()
    request.path.parent.mkdir()
    request.path.write_bytes(CONTENT)
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(WeightsError, match="cannot be read: Permission denied"):
        fetch(request)


def test_a_dangling_link_is_not_replaced(ask: Ask, server: FileServer) -> None:
    request = ask()
    request.path.parent.mkdir()
    request.path.symlink_to("gone.pt")
    with pytest.raises(WeightsError, match=r"a link to gone\.pt"):
        fetch(request)
    assert server.requests == []


def test_demo_weights_ship_with_the_project(ask: Ask, server: FileServer, tmp_path: Path) -> None:
    bundled = tmp_path / "demo-pose.pt"
    bundled.write_bytes(CONTENT)
    for force in (False, True):
        request = ask(model=parse_model_name("demo-pose"), bundled=bundled, force_download=force)
        assert fetch(request) == Weights(bundled, sha256(CONTENT), "bundled")
    assert server.requests == []


@pytest.mark.parametrize("bundled", [True, False])
def test_demo_weights_that_are_missing_are_never_downloaded(
    ask: Ask, server: FileServer, tmp_path: Path, bundled: bool
) -> None:
    request = ask(model=parse_model_name("demo-pose"), bundled=tmp_path / "gone.pt" if bundled else None)
    with pytest.raises(WeightsError) as caught:
        fetch(request)
    assert caught.value.hint
    assert server.requests == []
