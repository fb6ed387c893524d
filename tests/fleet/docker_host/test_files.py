"""The archive in which a file goes to a device."""

import io
import tarfile
from pathlib import Path

import pytest

from app.errors import FleetError
from app.fleet.docker_host.files import _archive, owner_of
from tests.fleet.docker_host.samples import file_in, placed


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 3 << 20])
def test_it_is_a_tar_with_the_owner_on_every_folder(tmp_path: Path, size: int) -> None:
    file = placed(file_in(tmp_path, "x" * size))
    with tarfile.open(fileobj=io.BytesIO(b"".join(_archive(file, "1001:1002")))) as tar:
        members = tar.getmembers()
        found = tar.extractfile(members[-1])
        assert found is not None
        assert found.read() == b"x" * size
    assert [member.name for member in members] == [".fleet", ".fleet/arriving", f".fleet/arriving/{file.digest}"]
    assert {(member.uid, member.gid) for member in members} == {(1001, 1002)}
    assert [oct(member.mode) for member in members] == ["0o755", "0o755", "0o644"]


def test_a_file_that_grows_shorter_on_the_way_leaves_a_whole_archive(tmp_path: Path) -> None:
    """Its digest is then another, which the device finds."""
    source = file_in(tmp_path, "x" * (3 << 20))
    chunks = _archive(placed(source), "1:1")
    first = [next(chunks) for _ in range(3)]
    source.write_text("x" * (1 << 20))
    with tarfile.open(fileobj=io.BytesIO(b"".join([*first, *chunks]))) as tar:
        assert tar.getmembers()[-1].size == 3 << 20


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    source = file_in(tmp_path)
    file = placed(source)
    source.unlink()
    with pytest.raises(FleetError, match="cannot be read"):
        list(_archive(file, "1:1"))


@pytest.mark.parametrize(("user", "owner"), [("1000:1000", (1000, 1000)), ("0", (0, 0)), ("1:2", (1, 2))])
def test_who_owns_it(user: str, owner: tuple[int, int]) -> None:
    assert owner_of(user) == owner


@pytest.mark.parametrize("user", ["", "jetson", "1:", ":1", "-1", "1:x", "1:1:1", "9" * 20])
def test_an_owner_is_two_numbers(user: str) -> None:
    with pytest.raises(FleetError) as raised:
        owner_of(user)
    assert "JETSMITH_UID" in raised.value.hint
