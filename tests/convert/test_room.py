"""What is said of a disk that looks too small for a conversion."""

from pathlib import Path
from typing import NamedTuple

import pytest

from app.convert.room import room_watched
from app.errors import ExportFailed
from app.progress import SilentReporter
from tests.doubles.reporters import ListReporter


class Usage(NamedTuple):
    free: int


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "a.pt"
    path.write_bytes(b"0" * 1_000_000)
    return path


@pytest.mark.parametrize(("free", "said"), [(5_999_999, True), (6_000_000, False)])
def test_what_is_free_and_what_is_needed_is_told_where_it_matters(
    free: int, said: bool, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(free))
    listener = ListReporter()
    with pytest.raises(ExportFailed) as caught, room_watched(weights.parent, weights, listener):
        raise ExportFailed("could not be written", hint="make room")
    expected = f"6.0 MB are free on the disk of {weights.parent}, and this conversion takes about 6.0 MB"
    assert listener.warnings == ([expected] if said else [])
    assert caught.value.message == (f"could not be written ({expected})" if said else "could not be written")
    assert caught.value.hint == "make room"


def test_an_estimate_stops_nothing(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(0))
    with room_watched(weights.parent, weights, SilentReporter()):
        pass
