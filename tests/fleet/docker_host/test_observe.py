"""One look at a device whose Docker says anything at all: told as it is, or as an error, never a crash."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from app.fleet.base import LABEL, Image, Observed, Slot
from app.fleet.docker_host.host import DockerHost
from tests.doubles.docker_api import VERSION, Answer, answer, docker_api
from tests.fleet.docker_host.samples import target
from tests.fleet.docker_host.watch import StepWatch

IMAGE = Image("jetsmith-infer:x", f"sha256:{'a' * 64}")
GOOD: Mapping[str, Any] = {
    "/info": {
        "ServerVersion": "27.5",
        "Runtimes": {"runc": {}, "nvidia": {}},
        "SystemTime": "2026-11-23T12:00:00.123456789Z",
    },
    "/images/json": [
        {"Id": "sha256:1", "RepoTags": [IMAGE.on_device, "other:1"]},
        {"Id": "sha256:2", "RepoTags": None},
    ],
    "/containers/json": [{"Id": "x", "Names": ["/jetsmith-infer"]}, {"Id": "y", "Names": ["/mine"]}],
    "/jetsmith-infer/json": {
        "Id": "jetsmith-infer",
        "State": {"Status": "running"},
        "Config": {"Labels": {LABEL: "f"}},
    },
    "/volumes": {"Volumes": None},
    "/volumes/jetsmith-models": {"Name": "jetsmith-models", "Labels": None},
}


def look(**over: Any) -> Observed:
    """`images_json=…` says something else there."""
    paths = {f"/{name.replace('_', '/')}": value for name, value in over.items()}
    answers: dict[str, Answer] = {path: answer(json.dumps(told)) for path, told in {**GOOD, **paths}.items()}
    with docker_api({"/version": VERSION, **answers}) as api:
        host = DockerHost(api.address, "f")
        seen = host.observe(StepWatch())
        host.close()
    return seen


def without_images(**over: Any) -> Observed:
    """So that no container has to be run."""
    return look(images_json=[], **over)


def test_what_docker_tells() -> None:
    seen = without_images()
    assert (seen.error, seen.docker, seen.runtimes) == ("", "27.5", ("nvidia", "runc"))
    assert seen.containers[Slot.CURRENT].state == "running"
    expected = datetime(2026, 11, 23, 12, 0, 0, 123456, timezone.utc) - datetime.now(timezone.utc)
    assert abs(seen.clock_off_s - expected.total_seconds()) < 60


@pytest.mark.parametrize(
    "info",
    [
        *([], None, "x", 1, {}),
        *(
            {"SystemTime": time}
            for time in (None, 1, "", "soon", "2026-11-23T12:00:00", "2026-13-40T12:00:00Z", "9" * 5000)
        ),
    ],
    ids=lambda info: str(info)[:30],
)
def test_an_account_of_itself_that_is_none(info: Any) -> None:
    seen = without_images(info=info)
    assert "not Docker" in seen.error
    assert seen.hint


NOISE: list[Any] = [
    None,
    [],
    {},
    [None],
    [1],
    ["x"],
    [[]],
    [{}],
    [{"RepoTags": 1, "Names": 1, "Id": [[]]}],
    [{"RepoTags": [[]], "Names": [{}]}],
]


@pytest.mark.parametrize("noise", NOISE, ids=str)
@pytest.mark.parametrize("what", ["images_json", "containers_json", "volumes"])
def test_lists_that_are_none_are_empty(what: str, noise: Any) -> None:
    seen = look(**{"images_json": [], what: noise})
    assert (seen.error, seen.images, seen.holder) == ("", frozenset(), None)


@pytest.mark.parametrize("runtimes", [None, [], 1, {"a b": {}, "\u001b[31m": {}, "x" * 99: {}}], ids=str)
def test_runtimes_that_are_none(runtimes: Any) -> None:
    assert without_images(info={**GOOD["/info"], "Runtimes": runtimes}).runtimes == ()


def test_a_container_of_our_name_that_is_somebody_elses() -> None:
    seen = without_images(**{"jetsmith-infer_json": {"Id": "x", "Config": {"Labels": {}}}})
    assert "jetsmith did not make" in seen.error


def test_a_volume_of_our_name_that_is_somebody_elses() -> None:
    assert "jetsmith did not make" in look().error


@pytest.mark.parametrize("offset", [timedelta(hours=2), timedelta(hours=-3)], ids=["ahead", "behind"])
def test_a_clock_is_compared_whatever_zone_it_is_told_in(offset: timedelta) -> None:
    there = (datetime.now(timezone.utc) + timedelta(seconds=100)).astimezone(timezone(offset)).isoformat()
    assert abs(without_images(info={**GOOD["/info"], "SystemTime": there}).clock_off_s - 100) < 30


def test_a_dead_device_is_told_in_the_look() -> None:
    host = DockerHost("tcp://127.0.0.1:1", "f", target(IMAGE))
    seen = host.observe(StepWatch())
    host.close()
    assert seen.error == "nothing listens at its address"
    assert seen == Observed(error=seen.error, hint=seen.hint)
