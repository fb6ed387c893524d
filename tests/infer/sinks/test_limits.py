"""What a run that never ends removes: its own oldest files, and nothing else."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from app.errors import OutputError
from app.infer.sinks.annotated import Annotated
from app.infer.sinks.crops import Crops
from app.infer.sinks.json_lines import LinesFile
from app.infer.sinks.limits import Limits, Shelf
from app.types import Task
from tests.infer.doubles import NAMES

LINE = '{"source":"' + "x" * 400 + '"}\n'
LIMITS = Limits(rotate_bytes=500, keep_bytes=2_000)  # 1500 bytes stay
OF = {
    "annotated": ("{}.mp4", "{}.jpg", "{}.png"),
    "crops": ("car/{}.jpg", "person/{}.png"),
    "lines": ("found-{}.jsonl",),
    "other lines": ("found-2-{}.jsonl", "found-{}.jsonl.gz", "found-{}"),
}
OPEN: dict[str, Callable[[Path], object]] = {
    "annotated": lambda folder: Annotated(folder, NAMES, limits=LIMITS),
    "crops": lambda folder: Crops(folder, NAMES, Task.DETECT, limits=LIMITS),
    "lines": lambda folder: LinesFile(folder / "found.jsonl", limits=LIMITS),
}


def _fill(folder: Path, day: int) -> dict[str, list[Path]]:
    """Files of all sinks in one folder; of each, one too many."""
    files: dict[str, list[Path]] = {}
    for sink, patterns in OF.items():
        for number, pattern in enumerate((*patterns, *patterns)):
            name = pattern.format(
                f"202601{day + number:02}T100000.000Z" if "found" in pattern else f"a-202601{day}T100000.00{number}Z"
            )
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"x" * 1_000)
            files.setdefault(sink, []).append(path)
    return files


@pytest.mark.parametrize("sink", OPEN)
def test_sinks_of_one_folder_do_not_remove_what_another_one_wrote(tmp_path: Path, sink: str) -> None:
    files = _fill(tmp_path, 10)
    opened = OPEN[sink](tmp_path)
    if isinstance(opened, LinesFile):
        opened.close()

    assert [path.exists() for path in files[sink]].count(True) == 1
    assert all(path.exists() for other, paths in files.items() if other != sink for path in paths)


def test_a_file_that_somebody_has_removed_is_gone(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, LIMITS, "*", (".mp4",))
    kept = tmp_path / "a-20260101T100000.000Z.mp4"
    kept.write_bytes(b"x" * 1_000)
    shelf.add(tmp_path / "a-20260102T100000.000Z.mp4")
    shelf.add(kept)

    assert kept.exists()


def test_a_video_that_the_sink_before_still_writes_counts_as_large_as_it_becomes(tmp_path: Path) -> None:
    limits = Limits(rotate_bytes=1_000, keep_bytes=5_000)
    old, growing = (tmp_path / f"a-2026010{day}T100000.000Z.mp4" for day in (1, 2))
    old.write_bytes(b"x" * 1_000)
    growing.write_bytes(b"x")
    shelf = Shelf(tmp_path, limits, "*", (".mp4", ".jpg"), (".mp4",))
    growing.write_bytes(b"x" * 2_500)
    for day in (3, 4):
        picture = tmp_path / f"a-2026010{day}T100000.000Z.jpg"
        picture.write_bytes(b"x" * 500)
        shelf.add(picture)

    assert [old.exists(), growing.exists()] == [False, True]

    growing.unlink()
    os.utime(picture, (1, 1))
    shelf.add(picture)
    assert shelf._growing == set()


def test_a_file_that_cannot_be_removed_is_an_error_of_the_sink(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, LIMITS, "*", (".mp4",))
    names = [tmp_path / f"a-2026010{day}T100000.000Z.mp4" for day in (1, 2)]
    for path in names:
        path.write_bytes(b"x" * 1_000)
    shelf.add(names[0])
    names[0].unlink()
    names[0].mkdir()  # no unlink, for nobody

    with pytest.raises(OutputError, match="cannot be removed"):
        shelf.add(names[1])


def test_lines_go_on_where_the_file_was_removed_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "found.jsonl"
    lines = LinesFile(path, limits=LIMITS)
    lines.put(LINE)
    path.unlink()
    lines.put(LINE)
    lines.close()

    assert path.read_text() == LINE


def test_a_file_is_closed_once_where_the_next_one_cannot_be_opened(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    lines = LinesFile(folder / "found.jsonl", limits=LIMITS)
    lines.put(LINE)
    folder.rename(tmp_path / "elsewhere")  # the next one has no folder
    with pytest.raises(OutputError, match="cannot be written"):
        lines.put(LINE)
    lines.close()
    others = os.open(os.devnull, os.O_RDONLY)
    lines.close()  # after an error a sink may be closed again

    os.fstat(others)
    os.close(others)


def test_a_file_that_is_refused_is_not_left_open(tmp_path: Path) -> None:
    (tmp_path / "found.jsonl").write_text("a diary")
    free = os.dup(0)
    os.close(free)
    with pytest.raises(OutputError, match="something else"):
        LinesFile(tmp_path / "found.jsonl", limits=LIMITS)

    again = os.dup(0)
    os.close(again)
    assert again == free
