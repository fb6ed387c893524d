"""What a device tells, read without trust: nothing of it may raise, or count for more than it is."""

import io
import json
import tarfile
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from app.fleet.docker_host.containers import Found, is_of_this_run, read
from app.fleet.docker_host.service_health import ServiceHealth, parse_service_health
from app.fleet.docker_host.verdict import Verdict, read_verdict
from app.fleet.docker_host.volume_files import only_file

STARTED = "2026-11-23T04:00:00.123456789Z"
INSPECTED: dict[str, Any] = {
    "Id": "abc",
    "Image": "sha256:1",
    "Created": STARTED,
    "RestartCount": 2,
    "State": {
        "Status": "running",
        "ExitCode": 0,
        "OOMKilled": False,
        "StartedAt": STARTED,
        "Health": {"Status": "unhealthy", "Log": [{"Output": "old"}, {"Output": "timed\x1b out\n"}]},
    },
    "Config": {"Hostname": "host", "Labels": {"jetsmith.fleet": "f"}, "Env": ["A=1=2", "B"]},
}
FOUND = read(INSPECTED)
HEALTH = {"host": "host", "started": "2026-11-23T04:00:00.123+00:00", "state": "ready", "why": []}
JUNK = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=5),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def test_a_container_is_what_inspect_tells() -> None:
    assert (FOUND.id, FOUND.hostname, FOUND.restarts, FOUND.started) == ("abc", "host", 2, STARTED)
    assert FOUND.container.health == "unhealthy"
    assert FOUND.environment == {"A": "1=2", "B": ""}
    assert FOUND.check == "timed\\x1b out"
    assert read({"State": {"StartedAt": "0001-01-01T00:00:00Z"}}).started == ""


@given(junk=JUNK, place=some.sampled_from(sorted(INSPECTED)))
def test_whatever_is_told_is_read(junk: Any, place: str) -> None:
    assert isinstance(read({**INSPECTED, place: junk}), Found)
    assert isinstance(read({**INSPECTED, "State": {**INSPECTED["State"], "Health": junk}}), Found)
    assert isinstance(read({**INSPECTED, "Config": {**INSPECTED["Config"], "Labels": junk, "Env": junk}}), Found)
    assert isinstance(read(junk), Found)


@pytest.mark.parametrize(
    ("told", "is_it"),
    [
        pytest.param("2026-11-23T04:00:00.123457+00:00", True, id="after"),
        pytest.param("2026-11-23T04:00:01Z", True, id="no fraction"),
        pytest.param("2026-11-23T03:59:59.999+00:00", False, id="before"),
        pytest.param("2026-11-23T05:00:00+01:00", False, id="another zone"),
        pytest.param("yesterday", False, id="no moment"),
        pytest.param("", False, id="nothing"),
    ],
)
def test_what_was_begun_since_the_start(told: str, is_it: bool) -> None:
    assert is_of_this_run(told, FOUND) is is_it
    assert not is_of_this_run(told, replace(FOUND, started=""))


@pytest.mark.parametrize(
    ("changed", "state"),
    [
        pytest.param({"started": "2026-11-23T04:00:01+00:00"}, "ready", id="its own"),
        pytest.param({}, None, id="of the run before"),
        pytest.param({"started": "2026-11-23T04:00:01+00:00", "host": "other"}, None, id="another container's"),
        pytest.param({"started": 5}, None, id="no moment"),
        pytest.param({"why": 5}, None, id="no reasons"),
    ],
)
def test_a_services_word_is_its_own(changed: dict[str, Any], state: str | None) -> None:
    read_health = parse_service_health(json.dumps({**HEALTH, **changed}).encode(), FOUND)
    assert (read_health.state if read_health else None) == state


@given(data=some.binary(max_size=40) | JUNK.map(lambda value: json.dumps(value).encode()))
def test_no_word_is_too_strange(data: bytes) -> None:
    assert parse_service_health(data, FOUND) is None
    assert parse_service_health(b"[" * 100_000, FOUND) is None


def test_reasons_are_fit_for_a_terminal() -> None:
    told = {**HEALTH, "started": "2026-11-23T04:00:01+00:00", "state": "degraded", "why": ["\x1b[31m//u:p@cam is away"]}
    health = parse_service_health(json.dumps(told).encode(), FOUND)
    assert health == ServiceHealth("degraded", "\\x1b[31m//cam is away")


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        pytest.param(f'a remark\n{{"sha256": "{"a" * 64}", "milliseconds": 3}}', Verdict("a" * 64, 3.0), id="verdict"),
        pytest.param('{"sha256": "a", "milliseconds": 3}', None, id="no digest"),
        pytest.param(f'{{"sha256": "{"a" * 64}", "milliseconds": NaN}}', None, id="no number"),
        pytest.param("[" * 100_000, None, id="deep"),
        pytest.param("5\nnull\n{}", None, id="other JSON"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_a_verdict(said: str, verdict: Verdict | None) -> None:
    assert read_verdict(said) == verdict


def _tar(member: tarfile.TarInfo, data: bytes = b"") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def test_only_a_small_regular_file_is_one() -> None:
    file, link = tarfile.TarInfo("f"), tarfile.TarInfo("l")
    file.size, link.type, link.linkname = 3, tarfile.SYMTYPE, "/etc/passwd"
    assert only_file(_tar(file, b"abc"), 3) == b"abc"
    assert only_file(_tar(file, b"abc"), 2) is None
    assert only_file(_tar(link), 9) is None
    assert only_file(b"no tar", 9) is None
    assert only_file(b"", 9) is None
