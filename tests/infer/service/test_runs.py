"""`jetsmith infer SOURCE` with every sink at once: what is written, and what is left when it is ended or killed."""

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from tests.command import SCENES, Jetsmith
from tests.infer.service.camera import Camera
from tests.infer.service.ground import MODEL, Wall

SCENE = SCENES / "detect" / "scene-1.jpg"


def _frames_in(video: Path) -> int:
    with av.open(str(video)) as container:
        return sum(1 for _ in container.decode(video=0))


def _records(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _all_sinks(folder: Path) -> tuple[object, ...]:
    return (
        *("--model", MODEL, "--track", "--output", folder / "r.jsonl"),
        *("--save", folder / "save", "--crops", folder / "crops"),
    )


@pytest.fixture
def jetsmith(wall: Wall) -> Jetsmith:
    return wall.jetsmith


def test_all_sinks_at_once(jetsmith: Jetsmith, video_of: Callable[[int], Path], tmp_path: Path) -> None:
    pytest.importorskip("trackers", reason="the extra track is not installed")
    done = jetsmith("infer", SCENE, video_of(60), *_all_sinks(tmp_path))

    assert done.stdout == ""  # the file has them
    records = _records(tmp_path / "r.jsonl")
    assert [record["frame"] for record in records] == [0, *range(60)]
    assert "seconds" not in records[0]
    assert records[26]["seconds"] == 1.0
    assert _frames_in(tmp_path / "save" / "way-60.mp4") == 60
    assert (tmp_path / "save" / "scene-1.jpg").exists()
    objects = records[0]["detections"]
    assert isinstance(objects, list)
    assert len([*(tmp_path / "crops").rglob("scene-1-*.jpg")]) == len(objects) > 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_what_is_there_is_whole_however_it_ends(
    jetsmith: Jetsmith, video_of: Callable[[int], Path], tmp_path: Path, number: signal.Signals
) -> None:
    video = video_of(3000)
    sinks = ("--model", MODEL, "--output", tmp_path / "r.jsonl", "--save", tmp_path / "save")
    # In the background, as CI may run, SIGINT is ignored, and jetsmith respects that.
    command = ["env", "--default-signal=INT", *jetsmith.command("infer", video, *sinks)]
    run = subprocess.Popen(command, env=jetsmith.env, stderr=subprocess.PIPE)
    written, lines = tmp_path / "save" / video.name, tmp_path / "r.jsonl"
    deadline = time.monotonic() + 60
    while not (lines.exists() and lines.stat().st_size > 20_000 and written.stat().st_size > 1000):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    run.send_signal(number)
    _, said = run.communicate(timeout=60)

    frames = [record["frame"] for record in _records(lines)]
    assert frames == [*range(len(frames))]
    drawn = _frames_in(written)
    if number == signal.SIGKILL:
        assert 0 < drawn <= len(frames) + 10
    else:
        assert run.returncode == 128 + number
        assert drawn == len(frames)
        assert f"{len(frames)} frames" in said.decode()


@pytest.mark.slow
def test_a_reader_that_stands_still_holds_up_neither_the_camera_nor_the_end(
    jetsmith: Jetsmith, camera: Camera, tmp_path: Path
) -> None:
    camera.get_lost()
    camera.picture = SCENE.read_bytes()  # with objects, whose records fill the pipe
    camera.come_back()
    arguments = ("infer", camera.address, "--model", MODEL, "--save", tmp_path)
    run = subprocess.Popen(
        jetsmith.command(*arguments), env=jetsmith.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert run.stdout is not None
    assert run.stderr is not None
    with run.stdout, run.stderr:
        deadline = time.monotonic() + 120
        while sum(_frames_in(video) for video in tmp_path.glob("*.mp4")) < 300:
            assert time.monotonic() < deadline
            time.sleep(0.5)
        run.send_signal(signal.SIGTERM)
        assert run.wait(30) == 128 + signal.SIGTERM
        said = run.stderr.read().decode()

    assert "standard output:" in said
    assert f"frames of {camera.address} left out" in said
    (video,) = tmp_path.glob("*.mp4")
    assert _frames_in(video) >= 300


def test_an_output_that_is_an_input_is_refused(jetsmith: Jetsmith, tmp_path: Path) -> None:
    own = tmp_path / "own.jpg"
    own.write_bytes(SCENE.read_bytes())
    said = jetsmith("infer", own, "--model", MODEL, "--output", own, code=1).stderr

    assert "is read by this run" in said
    assert own.read_bytes() == SCENE.read_bytes()


def test_a_full_disk_ends_the_run_with_a_message(jetsmith: Jetsmith, tmp_path: Path) -> None:
    save = tmp_path / "save"
    said = jetsmith("infer", SCENE, "--model", MODEL, "--output", "/dev/full", "--save", save, code=1).stderr

    assert "/dev/full cannot be written: No space left on device" in said
    assert "hint:" in said
