"""`jetsmith infer` on a camera and on a long video, ended by signals: what was begun is finished, and told."""

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.command import Jetsmith
from tests.doubles.cameras import MjpegCamera
from tests.infer.videos import write_video

MODEL = ("--model", "demo-detect")


@pytest.fixture
def jetsmith(detecting: Jetsmith) -> Jetsmith:
    return detecting


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("av")
    return write_video(tmp_path_factory.mktemp("video") / "long.mp4", 3000)


def _stopped(jetsmith: Jetsmith, number: int, tmp_path: Path, source: object) -> tuple[int, list[dict[str, Any]], str]:
    """Exit code, records and messages of a run that got a signal after a few frames."""
    lines, said = tmp_path / "lines", tmp_path / "said"
    with lines.open("w") as out, said.open("w") as err:
        command = ["env", "--default-signal=HUP,INT", *jetsmith.command("infer", *MODEL, source)]
        program = subprocess.Popen(command, env=jetsmith.env, cwd=jetsmith.home, stdout=out, stderr=err)
    deadline = time.monotonic() + 60
    while lines.read_text().count("\n") < 3:
        assert time.monotonic() < deadline, said.read_text()
        assert program.poll() is None, said.read_text()
        time.sleep(0.02)
    program.send_signal(number)
    code = program.wait(60)
    return code, [json.loads(line) for line in lines.read_text().splitlines()], said.read_text()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=["INT", "TERM", "HUP"]
)
def test_a_signal_ends_a_camera_after_the_frame_at_hand(
    jetsmith: Jetsmith, number: int, code: int, tmp_path: Path
) -> None:
    with MjpegCamera(credentials="user:geheim") as camera:
        ended, records, said = _stopped(jetsmith, number, tmp_path, camera.url)

    assert ended == code
    indexes = [record["frame"] for record in records]
    assert indexes == sorted(indexes)
    assert f"\n{len(indexes)} frames in " in said
    assert "; interrupted" in said
    assert "geheim" not in said
    assert {record["source"] for record in records} == {f"http://127.0.0.1:{camera.port}/live"}


def test_a_stopped_video_has_no_gap(jetsmith: Jetsmith, video: Path, tmp_path: Path) -> None:
    code, records, said = _stopped(jetsmith, signal.SIGTERM, tmp_path, video)

    indexes = [record["frame"] for record in records]
    assert code == 143
    assert indexes == list(range(len(indexes)))
    assert len(indexes) < 3000
    assert f"\n{len(indexes)} frames in " in said


def test_four_videos_at_once_lose_no_frame(jetsmith: Jetsmith, tmp_path: Path) -> None:
    pytest.importorskip("av")
    for number in range(4):
        write_video(tmp_path / f"v{number}.mp4", 40 + number)

    done = jetsmith("infer", *MODEL, *(tmp_path / f"v{number}.mp4" for number in range(4)))

    frames: dict[str, list[int]] = {}
    for record in map(json.loads, done.stdout.splitlines()):
        frames.setdefault(Path(record["source"]).name, []).append(record["frame"])
    assert frames == {f"v{number}.mp4": list(range(40 + number)) for number in range(4)}
    assert "4 sources …" in done.stderr, "the progress"


def test_paths_from_a_pipe_and_flags_that_choose_frames(jetsmith: Jetsmith, video: Path) -> None:
    done = subprocess.run(
        jetsmith.command("infer", *MODEL, "-", "--stride", "10", "--duration", "4"),
        input=f"{video}\nmissing.jpg\n",
        env=jetsmith.env,
        cwd=jetsmith.home,
        capture_output=True,
        text=True,
        check=False,
    )

    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 3
    assert [record["frame"] for record in records[:-1]] == list(range(0, 100, 10))
    assert records[-1]["error"] == "no such file"


@pytest.mark.parametrize(
    "flag", [("--fps", "0"), ("--fps", "nan"), ("--stride", "0"), ("--stride", "1.5"), ("--duration", "-1")]
)
def test_flags_that_make_no_sense_are_refused(jetsmith: Jetsmith, flag: tuple[str, str]) -> None:
    assert flag[0] in jetsmith("infer", "x.mp4", *flag, code=2).stderr
