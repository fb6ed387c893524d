"""Files of JSON lines: whole lines only, whatever ends the run; sizes within their limits."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.errors import OutputError
from app.infer.sinks.files import Inputs
from app.infer.sinks.json_lines import JsonLines, LinesFile
from app.infer.sinks.limits import Limits
from app.infer.sinks.polled import PolledStream
from app.infer.sinks.table import Table
from app.types import Task
from tests.infer.doubles import NAMES, film, frame, result_of

ANSWER = result_of(Task.DETECT)
PROJECT_ROOT = Path(__file__).resolve().parents[3]
LIMITS = Limits(rotate_bytes=2_000, keep_bytes=10_000)


def _frames(path: Path) -> list[int]:
    return [json.loads(line)["frame"] for line in path.read_text().splitlines()]


def test_each_line_is_there_at_once_and_a_new_run_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "out.jsonl"
    for _ in range(2):
        sink = JsonLines(LinesFile(path), NAMES)
        for moment in film("a.mp4", 3):
            sink.write(moment, ANSWER)
            assert _frames(path)[-1] == moment.index
        sink.close()

    assert _frames(path) == [0, 1, 2]


def test_an_input_is_not_overwritten(tmp_path: Path) -> None:
    own = tmp_path / "a.jpg"
    own.write_text("mine")
    (tmp_path / "link").symlink_to(own)
    for name in ("a.jpg", "link"):
        with pytest.raises(OutputError, match="read by this run"):
            LinesFile(tmp_path / name, Inputs([own]))

    assert own.read_text() == "mine"


def test_a_run_that_never_ends_rotates_and_keeps_the_newest_within_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    (tmp_path / "out-of-my-own.jsonl").write_text("mine\n" * 5000)
    for _ in range(3):  # it is started again
        sink = JsonLines(LinesFile(path, limits=LIMITS), NAMES)
        for moment in film("camera:0", 40):
            sink.write(moment, ANSWER)
        sink.close()

    parts = sorted(tmp_path.glob("out-2*Z.jsonl"))
    assert len(parts) > 2
    assert sum(part.stat().st_size for part in [*parts, path]) <= LIMITS.keep_bytes
    assert all(part.stat().st_size <= LIMITS.rotate_bytes for part in [*parts, path])
    assert (tmp_path / "out-of-my-own.jsonl").exists()
    kept = [number for part in [*parts, path] for number in _frames(part)]
    assert kept == [number % 40 for number in range(120 - len(kept), 120)]


def test_what_a_kill_left_of_a_line_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text('{"source":"a","frame":0}\n{"source":"a","fra')
    sink = JsonLines(LinesFile(path, limits=LIMITS), NAMES)
    sink.write(frame(), ANSWER)

    assert _frames(path) == [0, 0]


def test_a_file_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("first\nsecond")
    with pytest.raises(OutputError, match="something else"):
        LinesFile(path, limits=LIMITS)

    assert path.read_text() == "first\nsecond"


_FILLS_THE_DISK = """
import resource, signal, sys
from pathlib import Path
from app.errors import OutputError
from app.infer.sinks.json_lines import JsonLines, LinesFile
from app.types import Task
from tests.infer.doubles import NAMES, film, result_of
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, 5_000))
sink = JsonLines(LinesFile(Path(sys.argv[1])), NAMES)
try:
    for moment in film("a.mp4", 100):
        sink.write(moment, result_of(Task.DETECT))
except OutputError as error:
    print(error.message, moment.index)
"""


def test_a_full_disk_is_a_clear_error_and_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", _FILLS_THE_DISK, str(path)],
        capture_output=True,
        text=True,
        cwd=PROJECT_ROOT,
        check=True,
    )

    assert "out.jsonl cannot be written: File too large" in done.stdout
    assert _frames(path) == list(range(int(done.stdout.split()[-1])))


def test_a_write_to_a_reader_that_stands_still_can_be_left() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream, os.fdopen(reading):
        polled = PolledStream(stream)
        polled.write("x" * 1_000_000)
        polled.leave()
        with pytest.raises(BrokenPipeError):
            polled.flush()


def test_a_polled_stream_writes_all_in_order() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading) as reader, os.fdopen(writing, "w") as stream:
        stream.write("first ")
        polled = PolledStream(stream)
        polled.write("größe\n")
        polled.flush()

        assert reader.readline() == "first größe\n"


def test_the_table_shows_a_camera_once_a_second_and_every_picture() -> None:
    stream = io.StringIO()
    table = Table(stream, NAMES)
    for moment in [*film("camera:0", 30), *film("a.mp4", 30), frame("p.jpg"), frame("p.jpg")]:
        table.write(moment, ANSWER)

    rows = [line for line in stream.getvalue().splitlines() if "person" in line]
    assert [row.split()[0] for row in rows] == ["camera:0", "a.mp4", "p.jpg", "p.jpg"]
    assert "a.mp4 0:00.0" in rows[1]
