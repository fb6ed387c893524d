"""The service as a process of its own, with a camera on a socket and a real engine: nothing of a file is lost."""

import json
import signal
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from app.infer.service.health import State
from tests.command import Jetsmith
from tests.infer.service.camera import Camera
from tests.infer.service.ground import NAME, Wall


def test_losses_reloads_and_another_engine_cost_no_frame_of_a_file(
    wall: Wall, camera: Camera, video_of: Callable[[int], Path]
) -> None:
    video = video_of(800)
    wall.configure(sources=[camera.address, str(video)])
    wall.start()
    wall.until_ready()

    wall.point_at(wall.engine(64))
    other = wall.until("changed over", lambda health: health.facts["engine"]["name"] == wall.engine(64).name)
    assert other.facts["engine"]["changeovers"] == 1

    wall.write("infer: {sources: []")
    refused = wall.reload()
    assert refused.state is State.DEGRADED
    assert "the new settings are refused" in refused.why[0]
    assert refused.facts["reload"]["refused"] == 1
    wall.configure(track=True)
    assert wall.reload().facts["reload"]["done"] == 1
    wall.until_ready()

    camera.get_lost()
    lost = wall.until("degraded", lambda health: health.state is State.DEGRADED)
    assert f"{camera.address} is lost" in lost.why[0]
    camera.come_back()
    wall.until_ready()
    wall.until("done with the file", lambda health: health.facts["sources"][1]["frames"] == 800)

    assert wall.stop() == 0
    assert wall.health.state is State.STOPPED
    assert wall.counts(str(video)) == Counter(range(800))
    live = wall.frames_of(camera.address)
    assert live == sorted(set(live))
    assert wall.health.facts["frames"] == 800 + len(live)
    assert wall.unreadable == 0


def test_a_newer_engine_that_cannot_be_used_is_not_and_why_is_told(wall: Wall, camera: Camera) -> None:
    wall.configure(sources=[camera.address])
    wall.start()
    before = wall.until_ready()
    broken = wall.engine(64)
    broken.write_bytes(broken.read_bytes()[:-1])
    wall.point_at(broken)

    told = wall.until("degraded", lambda health: health.state is State.DEGRADED)
    assert "a newer engine is not used" in told.why[0]
    assert "instead of" in told.why[0]
    assert told.facts["engine"]["name"] == before.facts["engine"]["name"]
    wall.until_written(20)
    wall.point_at(wall.engine(96))
    wall.send(signal.SIGHUP)
    wall.until_ready()
    assert wall.stop() == 0


def test_after_a_kill_the_status_shows_it_and_the_next_one_goes_on_in_the_same_file(wall: Wall, camera: Camera) -> None:
    wall.configure(sources=[camera.address])
    wall.start()
    wall.until_ready()
    wall.until_written(30)
    assert wall.stop(signal.SIGKILL) == -signal.SIGKILL

    left = wall.health
    assert left.state is State.READY
    assert left.is_hung(datetime.now(timezone.utc) + timedelta(seconds=31))
    first = len(wall.frames_of(camera.address))
    assert first > 30
    wall.start()
    wall.until_ready()
    wall.until_written(30)
    assert wall.stop() == 0
    assert len(wall.frames_of(camera.address)) >= first + 30  # every line can be read


def test_two_of_one_name_are_refused(wall: Wall, camera: Camera) -> None:
    wall.configure(sources=[camera.address])
    wall.start()
    wall.until_ready()
    said = wall.jetsmith("infer", "--config", wall.config, code=1).stderr
    assert f"Another service '{NAME}' runs" in said
    assert wall.health.state is State.READY
    assert wall.stop(signal.SIGINT) == 0


def test_a_reload_changes_the_sources_and_the_others_go_on(
    wall: Wall, camera: Camera, video_of: Callable[[int], Path]
) -> None:
    with Camera() as other:
        wall.configure(sources=[camera.address])
        wall.start()
        wall.until_ready()
        wall.configure(sources=[camera.address, other.address, str(video_of(400))])
        wall.reload()
        wall.until("three at work", lambda health: len(health.facts["sources"]) == 3)
        wall.until("done", lambda health: health.facts["sources"][2]["frames"] == 400)
        wall.configure(sources=[other.address])
        wall.reload()
        alone = wall.until("alone", lambda health: len(health.facts["sources"]) == 1)
        assert alone.facts["sources"][0]["name"] == other.address
        assert wall.stop() == 0
    assert wall.counts(str(video_of(400))) == Counter(range(400))
    live = wall.frames_of(camera.address)
    assert live == sorted(set(live))  # its connection was not begun anew


def test_a_sink_that_fails_is_told_and_the_others_go_on(wall: Wall, camera: Camera, tmp_path: Path) -> None:
    """/dev/full is a disk without room."""
    save = str(tmp_path / "save")
    wall.configure(sources=[camera.address], sinks={"jsonl": "/dev/full", "save": save})
    wall.start()
    told = wall.until("degraded", lambda health: health.state is State.DEGRADED)
    assert told.why == ("/dev/full: /dev/full cannot be written: No space left on device",)
    wall.until("going on", lambda health: health.facts["frames"] > told.facts["frames"] + 20)
    wall.configure(sinks={"jsonl": str(wall.lines), "save": "/proc/nowhere"})
    refused = wall.reload()
    assert any("/proc/nowhere cannot be made" in reason for reason in refused.why)
    wall.configure(sinks={"jsonl": str(wall.lines), "save": save})
    wall.reload()
    wall.until_ready()
    assert wall.stop() == 0
    assert wall.frames_of(camera.address)
    assert len(list((tmp_path / "save").glob("*.mp4"))) == 2


@pytest.mark.parametrize(
    ("infer", "arguments", "said"),
    [
        pytest.param({"sources": []}, (), "infer.sources names none", id="no source"),
        pytest.param({"sources": ["camera:0"], "sinks": {}}, (), "infer.sinks names none", id="no sink"),
        pytest.param({"sources": ["camera:0"]}, ("--save", "x"), "--save: not for a service", id="a flag"),
        pytest.param({"sources": ["ftp://h/x"]}, (), "ftp:// is no source", id="no such source"),
        pytest.param(
            {"sources": ["camera:0"], "sinks": {"jsonl": "x", "rotate_mb": 9, "keep_mb": 10}},
            (),
            "rotate_mb is 9, but keep_mb only 10",
            id="no room for two files",
        ),
        pytest.param({"sources": ["missing/*.jpg"]}, (), "no video matches", id="nothing there"),
    ],
)
def test_what_a_service_cannot_begin_with_is_told(
    wall: Wall, infer: dict[str, object], arguments: tuple[str, ...], said: str
) -> None:
    wall.configure(**infer)
    done = wall.jetsmith("infer", "--config", wall.config, *arguments, code=1)
    assert said in done.stderr


@pytest.mark.slow
def test_twenty_of_everything(wall: Wall, camera: Camera, video_of: Callable[[int], Path]) -> None:
    """20 losses, 20 bad and 20 good reloads, 20 changes of engine, SIGKILL and SIGTERM; every frame is counted."""
    video = video_of(6000)
    wall.configure(sources=[camera.address, str(video)])
    wall.start()
    wall.until_ready()
    under_way = 0  # changes of the engine while the file was read
    for number in range(20):
        camera.get_lost()
        wall.until("lost", lambda health: camera.address in "".join(health.why))
        wall.write(f"infer: {{sources: [], number: {number}}}")
        assert wall.reload().facts["reload"]["refused"] == number + 1
        camera.come_back()
        wall.settings["vision"]["yolo"]["confidence"] = 0.25 + number / 100
        wall.configure(track=number % 2 == 0, sinks={"jsonl": str(wall.lines), "rotate_mb": 1 + number % 2})
        assert wall.reload().facts["reload"]["done"] == number + 1
        engine = wall.engine(64 if number % 2 == 0 else 96)
        wall.point_at(engine)
        wall.until("changed over", lambda health, name=engine.name: health.facts["engine"]["name"] == name)  # type: ignore[misc]
        under_way += wall.until_ready().facts["sources"][1]["frames"] < 6000
    wall.until("done with the file", lambda health: health.facts["sources"][1]["frames"] == 6000)
    facts = wall.health.facts
    assert facts["sources"][0]["losses"] == 20
    assert facts["engine"]["changeovers"] >= 20
    assert under_way > 0
    assert wall.stop() == 0
    live = wall.frames_of(camera.address)
    assert live == sorted(set(live))
    assert wall.counts(str(video)) == Counter(range(6000))
    assert wall.health.facts["frames"] == 6000 + len(live)
    assert wall.unreadable == 0
    assert "Traceback" not in wall.log
    wall.start()
    wall.until_ready()
    assert wall.stop(signal.SIGKILL) == -signal.SIGKILL
    assert set(wall.counts(str(video))) == set(range(6000))  # and every line can be read


def test_status_reads_it_for_people_and_programs(wall: Wall, camera: Camera) -> None:
    jetsmith: Jetsmith = wall.jetsmith
    wall.configure(sources=[camera.address])
    wall.start()
    wall.until("at work", lambda health: health.facts.get("frames", 0) > 60)
    said = jetsmith("status", "--service").stdout
    assert f"{NAME} (service): ready" in said
    assert f"{camera.address}: running" in said
    record = json.loads(jetsmith("status", "--service", "--json", NAME).stdout)
    assert (record["state"], record["hung"]) == ("ready", False)
    (source,) = record["sources"]
    assert source["rate"] > 0
    assert source["latency_ms"] > 0
    assert f"{NAME} (service): ready" in jetsmith("status", "--health", "--config", wall.config).stdout
    wall.write("nonsense")  # which the service has not read, and would refuse
    assert f"{NAME} (service): ready" in jetsmith("status", "--health", "--config", wall.config).stdout
    wall.configure()
    wall.stop(signal.SIGKILL)
    path = jetsmith.models / ".status" / "infer" / f"{NAME}.json"
    old = json.loads(path.read_text())
    path.write_text(json.dumps({**old, "heartbeat": "2026-01-01T00:00:00.000+00:00"}))
    assert "hung: no sign of life" in jetsmith("status", "--service", code=1).stdout
    jetsmith("status", "--health", "--config", wall.config, code=1)
    path.write_text(json.dumps({**old, "host": "another-container"}))
    assert "demo-detect: ready" in jetsmith("status", "--health", "--config", wall.config).stdout
    path.write_text("{")
    assert "There is no status of a service" in jetsmith("status", "--service", NAME, code=1).stderr
