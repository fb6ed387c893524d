"""Kills, crowds, full disks, read-only disks, and folders of others."""

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from app.engines.store import EngineStore, Found
from app.errors import StoreError
from tests.engines.samples import SLUG, default_alias, everything, identity, publish, record

CROWD = """
import sys, time
from pathlib import Path
from app.engines.store import EngineStore, Found
from tests.engines.samples import default_alias, identity, publish, record, SLUG
store = EngineStore(Path(sys.argv[1]))
wanted = identity()
assert not isinstance(store.find(wanted), Found)
print("ready", flush=True)
sys.stdin.readline()
with store.lock(wanted, waiting=lambda holder: print("waits for", holder.pid, flush=True)):
    if not isinstance(store.find(wanted), Found):
        print("builds", flush=True)
        time.sleep(0.5)
        with store.workspace(wanted) as work:
            (work / "built").write_bytes(b"plan")
            store.publish(work / "built", record(), device_slug=SLUG, alias=default_alias(store))
assert store.resolve_alias(default_alias(store)).manifest.size == 4
print("done", flush=True)
"""


def kills(*arguments: str) -> int:
    done = subprocess.run(
        [sys.executable, "-m", "tests.engines.kills", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_a_kill_at_any_step_is_followed_by_a_clean_build(tmp_path: Path) -> None:
    assert kills("each", str(tmp_path)) > 100


def test_kills_at_random_moments_are_followed_by_clean_builds(tmp_path: Path) -> None:
    assert kills("random", str(tmp_path), "30") == 30


@pytest.mark.slow
def test_many_kills_at_random_moments(tmp_path: Path) -> None:
    assert kills("random", str(tmp_path), "500") == 500


def test_four_at_once_build_once(store: EngineStore) -> None:
    crowd = [
        subprocess.Popen(
            [sys.executable, "-c", CROWD, str(store.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for process in crowd:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    outputs = []
    for process in crowd:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in crowd:
        outputs.append(process.communicate()[0])
    builders = [process.pid for process, output in zip(crowd, outputs, strict=True) if "builds" in output]
    assert len(builders) == 1
    assert all("done" in output for output in outputs)
    assert sum(f"waits for {builders[0]}" in output for output in outputs) == 3
    assert len(everything(store.root.parent)) == 3


def mount(*arguments: str) -> None:
    try:
        done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no `mount` here")
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(file: BinaryIO) -> None:
    while True:
        file.write(bytes(4096))


def test_a_full_disk_is_said_and_leaves_the_old_engine(small_disk: Path) -> None:
    store = EngineStore(small_disk / "models" / "engines")
    engine = publish(store)
    before = everything(small_disk)
    filler = small_disk / "filler"
    with store.workspace(identity(batch="2")) as work, filler.open("wb", buffering=0) as file:
        built = work / "built"
        built.write_bytes(b"a plan")
        with pytest.raises(OSError, match="No space left"):
            fill(file)
        with pytest.raises(StoreError, match=r"No space left on device \(0\.0 MiB are free\)") as caught:
            store.publish(built, record(identity(batch="2")), device_slug=SLUG, alias=default_alias(store))
        assert "engines prune" in caught.value.hint
    filler.unlink()
    assert everything(small_disk) == before
    assert store.resolve_alias(default_alias(store)) == engine


def test_a_full_disk_can_be_pruned(small_disk: Path) -> None:
    store = EngineStore(small_disk / "models" / "engines")
    publish(store)
    publish(store, identity(batch="2"))
    with (small_disk / "filler").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        fill(file)
    assert len(store.prune(store.plan_prune())) == 1


def test_a_read_only_store_is_read_and_refused_to_writers(small_disk: Path) -> None:
    store = EngineStore(small_disk / "models" / "engines")
    engine = publish(store)
    before = everything(small_disk)
    mount("-o", "remount,ro", str(small_disk))
    assert store.find(identity()) == Found(engine)
    assert store.resolve_alias(default_alias(store)) == engine
    assert len(store.engines()) == 1
    assert store.sweep() == store.plan_prune() == []
    store.link(engine, default_alias(store))
    for attempt in (
        lambda: publish(store, identity(batch="2")),
        lambda: store.preflight(default_alias(store)),
        lambda: store.link(engine, default_alias(store).with_name("other.engine")),
    ):
        with pytest.raises(StoreError, match="Read-only file system") as caught:
            attempt()
        assert "writable" in caught.value.hint
    assert everything(small_disk) == before


@pytest.fixture
def folder_of_another() -> Iterator[Path]:
    """A folder that this process may read and not write, also where the tests run as root."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        publish(EngineStore(folder / "models" / "engines"))
        folder.chmod(0o755)
        places = [folder / "models", *(path for path in (folder / "models").rglob("*") if path.is_dir())]
        for place in places:
            place.chmod(0o555)
        user = os.geteuid()
        try:
            if user == 0:
                os.seteuid(65534)
            yield folder
        finally:
            os.seteuid(user)
            for place in places:
                place.chmod(0o755)


def test_a_folder_of_another_user_is_named_with_the_way_out(folder_of_another: Path) -> None:
    store = EngineStore(folder_of_another / "models" / "engines")
    assert isinstance(store.find(identity()), Found)
    owner = folder_of_another.stat().st_uid
    with pytest.raises(StoreError, match=f"belongs to user {owner}, and this process runs as user") as caught:
        publish(store, identity(batch="2"))
    assert "sudo chown -R" in caught.value.hint
    assert f"JETSMITH_UID={owner}" in caught.value.hint


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP], ids=["as on FAT", "as on some network disks"])
def test_a_file_system_without_links_is_found_out_before_the_build(
    store: EngineStore, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: str) -> None:
        raise OSError(number, os.strerror(number), str(self))

    monkeypatch.setattr(Path, "symlink_to", refuse)  # a FAT disk cannot be mounted in most test machines
    with pytest.raises(StoreError, match="has no symbolic links") as caught:
        store.preflight(default_alias(store))
    assert "ext4" in caught.value.hint
    assert everything(store.root.parent) == set()


def test_the_preflight_leaves_nothing(store: EngineStore) -> None:
    store.preflight(default_alias(store))
    assert everything(store.root.parent) == set()
