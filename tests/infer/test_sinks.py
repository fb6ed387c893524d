import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.errors import OutputError
from app.infer.sinks.json_lines import JsonLines
from app.infer.sinks.table import Table
from app.text import printable
from app.types import Task
from tests.infer.doubles import NAMES, failure, frame, result_of

PROJECT_ROOT = Path(__file__).resolve().parents[2]


def test_one_json_object_a_line_in_ascii_at_once() -> None:
    stream = io.StringIO()
    sink = JsonLines(stream, NAMES)
    sink.write(frame("größe\udce9\n.jpg"), result_of(Task.DETECT))
    first = stream.getvalue()
    sink.fail(failure("bad.jpg"))

    assert first.isascii()
    assert first.count("\n") == 1
    assert json.loads(first)["source"] == "größe\udce9\n.jpg"
    assert [json.loads(line).get("error") for line in stream.getvalue().splitlines()] == [
        None,
        "the file is empty (0 bytes)",
    ]


def test_the_table_shows_each_picture_as_it_is_done() -> None:
    stream = io.StringIO()
    table = Table(stream, NAMES)
    table.write(frame("a.jpg"), result_of(Task.DETECT))
    head, first = stream.getvalue().splitlines()
    table.fail(failure("bad.jpg"))
    table.write(frame("b.jpg"), result_of(Task.CLASSIFY))
    _, _, bad, last, *_ = stream.getvalue().splitlines()

    assert head.split() == ["picture", "size", "found", "time"]
    assert "120×100" in first
    assert "person 0.91 · Größe 0.50" in first
    assert "52 ms" in first
    assert "the file is empty" in bad
    assert "3 0.60 · bicycle 0.20" in last


def test_names_cannot_steer_the_terminal_nor_break_the_table() -> None:
    stream = io.StringIO()
    Table(stream, {0: "[red]x\x1b[2J"}).write(frame("[bold]\x1b]0;title\x07\udce9.jpg"), result_of(Task.DETECT))

    assert "\x1b" not in stream.getvalue()
    assert "[bold]" in stream.getvalue()
    assert "[red]x" in stream.getvalue()


def test_a_table_in_a_terminal_of_few_letters_is_no_error() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    Table(stream, NAMES).write(frame("größe.jpg"), result_of(Task.DETECT))

    assert b"person 0.91" in raw.getvalue()


def test_long_paths_show_their_end() -> None:
    stream = io.StringIO()
    Table(stream, NAMES).write(frame("/very/long" * 20 + "/picture-7.jpg"), result_of(Task.DETECT))

    assert "/picture-7.jpg" in stream.getvalue()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("Größe 图片", "Größe 图片", id="letters of any script"),
        pytest.param("a\tb\n", "a\\tb\\n", id="control characters"),
        pytest.param("\udce9", "\\udce9", id="a byte that is no UTF-8"),
    ],
)
def test_printable(text: str, expected: str) -> None:
    assert printable(text) == expected


def test_a_full_disk_is_a_clear_error() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("/dev/full is not there")
    with (
        Path("/dev/full").open("w") as stream,
        pytest.raises(OutputError, match="cannot be written: No space left"),
    ):
        JsonLines(stream, NAMES).fail(failure())


_ENDLESS_RUN = """
import sys
from app.infer.ahead import Reading
from app.infer.pipeline import End, run
from app.infer.sinks.json_lines import JsonLines
from app.infer.sinks.table import Table
from app.types import Task
from tests.doubles.reporters import ListReporter
from tests.infer.doubles import NAMES, FakeModel, frame, result_of
from tests.infer.given import Given

def frames():
    while True:
        yield frame()

model = FakeModel(lambda image: result_of(Task.DETECT))
reporter = ListReporter()
summary = run(Reading([Given(frames())], reporter), lambda: model, [{sink}(sys.stdout, NAMES)], reporter)
sys.stderr.write(f"{{summary.end.value}} {{summary.exit_code}}")
"""


@pytest.mark.parametrize("sink", ["JsonLines", "Table"])
def test_a_reader_that_goes_away_ends_the_run_quietly(sink: str) -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", _ENDLESS_RUN.format(sink=sink)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=PROJECT_ROOT,
        env=dict(os.environ),
    )
    assert program.stdout is not None
    assert program.stderr is not None
    with program.stdout, program.stderr:
        assert program.stdout.readline()
        program.stdout.close()
        said = program.stderr.read()

    assert program.wait(timeout=30) == 0
    assert said == b"unread 0"
