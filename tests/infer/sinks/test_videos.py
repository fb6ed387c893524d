"""Annotated videos: as many frames at the same times, and they play whatever ended the process."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import av
import pytest

from app.errors import OutputError
from app.infer.frame import Kind
from app.infer.sinks import video
from app.infer.sinks.annotated import Annotated
from app.infer.sinks.fragments import FragmentFile
from app.infer.sinks.limits import Limits
from app.types import Task
from tests.infer.doubles import NAMES, film, frame, result_of

ANSWER = result_of(Task.DETECT)
PROJECT_ROOT = Path(__file__).resolve().parents[3]


def _times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [round(float(image.time or 0), 3) for image in container.decode(video=0)]


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _film(folder: Path, *frames: object, limits: Limits | None = None, inputs: tuple[Path, ...] = ()) -> Annotated:
    sink = Annotated(folder, NAMES, inputs, limits)
    for moment in frames:
        sink.write(moment, ANSWER)  # type: ignore[arg-type]
    return sink


def test_a_video_has_its_name_rate_and_times(tmp_path: Path) -> None:
    _film(tmp_path, *film("in/way.avi", 12, rate=12.5)).close()

    assert _names(tmp_path) == ["way.mp4"]
    assert _times(tmp_path / "way.mp4") == [round(index / 12.5, 3) for index in range(12)]
    with av.open(str(tmp_path / "way.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert float(stream.average_rate or 0) == pytest.approx(12.5)
        assert (stream.width, stream.height) == (120, 100)


def test_pictures_stay_pictures_among_videos(tmp_path: Path) -> None:
    mixed = [*film("a.mp4", 3), frame("a.png"), *film("b.mp4", 3), *film("a.mp4", 5)[3:]]
    _film(tmp_path, *mixed).close()

    assert _names(tmp_path) == ["a.mp4", "a.png", "b.mp4"]
    assert [len(_times(tmp_path / name)) for name in ("a.mp4", "b.mp4")] == [5, 3]


def test_a_frame_of_another_size_or_a_source_from_the_start_begins_another_video(tmp_path: Path) -> None:
    larger = [replace(moment, pixels=frame(height=61, width=41).image) for moment in film("a.mp4", 9)[4:]]
    _film(tmp_path, *film("a.mp4", 4), *larger, *film("a.mp4", 2)).close()

    assert _names(tmp_path) == ["a-2.mp4", "a-3.mp4", "a.mp4"]
    assert [len(_times(tmp_path / name)) for name in _names(tmp_path)] == [5, 2, 4]


def test_a_camera_keeps_real_time_and_its_address_is_a_safe_name(tmp_path: Path) -> None:
    began = datetime(2026, 1, 1, tzinfo=timezone.utc)
    offsets = [0.0, 0.04, 0.5, 0.54, 200.0]  # a dropped stretch, and a loss of minutes
    frames = [
        replace(
            frame("rtsp://10.0.0.7:554/live/../1"), index=index, moment=began + timedelta(seconds=at), kind=Kind.LIVE
        )
        for index, at in enumerate(offsets)
    ]
    _film(tmp_path, *frames).close()

    assert _names(tmp_path) == ["10.0.0.7-554-live-..-1-2.mp4", "10.0.0.7-554-live-..-1.mp4"]
    assert _times(tmp_path / "10.0.0.7-554-live-..-1.mp4") == offsets[:4]


def test_a_video_that_is_over_is_finished_before_the_run_is(tmp_path: Path) -> None:
    sink = _film(tmp_path, *film("a.mp4", 5), *film("b.mp4", 300))

    assert len(_times(tmp_path / "a.mp4")) == 5
    assert list(sink._films) == ["b.mp4"]
    sink.close()


def test_an_input_is_not_overwritten(tmp_path: Path) -> None:
    own = tmp_path / "a.mp4"
    own.write_text("mine")
    _film(tmp_path, *film("a.mp4", 2), inputs=(own,)).close()

    assert own.read_text() == "mine"
    assert len(_times(tmp_path / "a-2.mp4")) == 2


def test_a_run_that_never_ends_begins_new_videos_and_drops_the_oldest(tmp_path: Path) -> None:
    noisy = film("camera:0", 500, noise=True)
    limits = Limits(rotate_bytes=150_000, keep_bytes=1_000_000)
    _film(tmp_path, *noisy, limits=limits).close()

    videos = sorted(tmp_path.iterdir())
    assert len(videos) > 2
    assert sum(path.stat().st_size for path in videos) <= 1_000_000
    assert all(_times(path)[0] == 0 for path in videos)


def test_without_an_encoder_for_h264_it_is_mpeg_4(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "_ENCODERS", ("no-such-encoder", "mpeg4"))
    _film(tmp_path, *film("a.mp4", 30)).close()

    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].codec_context.codec_tag == "mp4v"
    assert len(_times(tmp_path / "a.mp4")) == 30


def test_without_any_encoder_the_error_lists_what_was_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "_ENCODERS", ("no-such-encoder",))
    with pytest.raises(OutputError, match="no-such-encoder"):
        _film(tmp_path, *film("a.mp4", 1))

    assert _names(tmp_path) == []


def test_without_pyav_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = Annotated(tmp_path, NAMES)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(OutputError, match="PyAV") as caught:
        sink.write(film("a.mp4", 1)[0], ANSWER)

    assert "jetsmith[draw]" in caught.value.hint


def test_a_full_disk_is_a_clear_error_and_what_is_there_plays(tmp_path: Path) -> None:
    program = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n" + _WRITES_FOR_EVER
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, cwd=PROJECT_ROOT, check=False
    )

    assert "way.mp4 cannot be written: File too large" in done.stderr.splitlines()[-1]
    assert len(_times(tmp_path / "way.mp4")) > 20


_WRITES_FOR_EVER = """
import sys
from pathlib import Path
from app.infer.sinks.annotated import Annotated
from app.types import Task
from tests.infer.doubles import NAMES, film, result_of
sink = Annotated(Path(sys.argv[1]), NAMES)
for moment in film("way.mp4", 100_000, noise=True):
    sink.write(moment, result_of(Task.DETECT))
"""


def test_a_fragment_is_in_the_file_whole_or_not_at_all(tmp_path: Path) -> None:
    _film(tmp_path, *film("a.mp4", 80, noise=True)).close()
    whole = (tmp_path / "a.mp4").read_bytes()
    file = FragmentFile(tmp_path / "b.mp4")
    assert not (tmp_path / "b.mp4").exists()
    ends = set()
    for start in range(0, len(whole), 1000):
        file.write(whole[start : start + 1000])
        ends.add(_last_box((tmp_path / "b.mp4").read_bytes()))
    file.close()

    assert ends <= {b"", b"ftyp", b"moov", b"mdat", b"mfra"}
    assert (tmp_path / "b.mp4").read_bytes() == whole


def _last_box(data: bytes) -> bytes:
    at, kind = 0, b""
    while at < len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        at += size
    assert at == len(data)
    return kind


def test_a_killed_process_leaves_a_video_that_plays(tmp_path: Path) -> None:
    program = subprocess.Popen([sys.executable, "-c", _WRITES_FOR_EVER, str(tmp_path)], cwd=PROJECT_ROOT)
    written = tmp_path / "way.mp4"
    deadline = time.monotonic() + 60
    while not (written.exists() and written.stat().st_size > 300_000) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(program.pid, signal.SIGKILL)
    program.wait()

    times = _times(written)
    assert len(times) > 20
    assert times == sorted(times)
    assert _names(tmp_path) == ["way.mp4"]
