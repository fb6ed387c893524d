"""What lies in the store, and what may go."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from app.engines.engine import manifest_path
from app.engines.store import EngineStore, Found
from tests.engines.samples import SLUG, default_alias, everything, identity, publish

LEAVE = """
import os, signal, sys
from pathlib import Path
from app.engines.store import EngineStore
from tests.engines.samples import identity
store = EngineStore(Path(sys.argv[1]))
with store.lock(identity()), store.workspace(identity()) as work:
    (work / "half.onnx").write_bytes(b"x" * 1000)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_while_building(store: EngineStore) -> None:
    subprocess.run([sys.executable, "-c", LEAVE, str(store.root)], check=False)


def test_the_list_says_what_points_where_and_what_is_wrong(store: EngineStore) -> None:
    whole, broken = publish(store), publish(store, identity(precision="INT8"))
    store.link(whole, default_alias(store))
    (store.root.parent / "mine.engine").symlink_to("yolo11n-pose.engine")
    os.truncate(broken.path, 2)
    rows = {entry.path: entry for entry in store.engines()}
    assert rows[whole.path].engine == whole
    assert rows[whole.path].aliases == (store.root.parent / "mine.engine", default_alias(store))
    assert rows[whole.path].problem == ""
    assert rows[broken.path].engine is None
    assert rows[broken.path].aliases == ()
    assert "2 bytes instead of 6" in rows[broken.path].problem


def test_prune_removes_what_nothing_points_to_and_only_that(store: EngineStore) -> None:
    kept, gone = publish(store), publish(store, identity(precision="INT8"))
    store.link(kept, default_alias(store))
    (store.root / SLUG / "notes.txt").write_text("the user's own")
    (store.root / "README.txt").write_text("the user's own")
    before = everything(store.root.parent)
    plan = store.plan_prune()
    assert everything(store.root.parent) == before
    assert [(set(item.paths), item.why) for item in plan] == [
        ({gone.path, manifest_path(gone.path)}, "nothing points to it")
    ]
    assert plan[0].size == sum(path.stat().st_size for path in plan[0].paths)
    assert store.prune(plan) == plan
    assert before - everything(store.root.parent) == {
        f"engines/{SLUG}/{gone.path.name}",
        f"engines/{SLUG}/{manifest_path(gone.path).name}",
    }
    assert store.find(identity()) == Found(kept)
    assert store.plan_prune() == []


def test_prune_keeps_what_came_into_use_after_the_plan(store: EngineStore) -> None:
    publish(store)
    other = publish(store, identity(precision="INT8"))
    store.link(publish(store), default_alias(store))
    plan = store.plan_prune()
    assert len(plan) == 1
    store.link(other, default_alias(store))
    assert store.prune(plan) == []
    assert other.path.exists()


def test_prune_keeps_what_an_alias_outside_the_models_folder_points_to(store: EngineStore, tmp_path: Path) -> None:
    alias = tmp_path / "ssd" / "yolo11n-pose.engine"
    engine = publish(store, alias=alias)
    assert store.resolve_alias(alias) == engine
    assert [entry.aliases for entry in store.engines()] == [(alias,)]
    assert store.plan_prune() == []
    alias.unlink()
    assert sorted(item.why for item in store.plan_prune()) == ["its alias is gone", "nothing points to it"]
    store.prune(store.plan_prune())
    assert everything(store.root) == set()
    assert not (store.root / SLUG).exists()


def test_a_damaged_engine_that_an_alias_points_to_is_kept(store: EngineStore) -> None:
    engine = publish(store)
    manifest_path(engine.path).unlink()
    assert store.plan_prune() == store.sweep() == []
    assert engine.path.exists()


def test_what_is_left_of_an_engine_that_an_alias_points_to_is_kept(store: EngineStore) -> None:
    engine = publish(store)
    engine.path.unlink()
    assert store.plan_prune() == store.sweep() == []
    assert [(entry.path, entry.aliases) for entry in store.engines()] == [(engine.path, (default_alias(store),))]
    assert "is gone" in store.engines()[0].problem


def test_what_a_killed_build_leaves_is_swept_and_what_a_live_one_uses_is_not(store: EngineStore) -> None:
    engine = publish(store)
    clean = everything(store.root.parent)
    killed_while_building(store)
    assert len(everything(store.root.parent) - clean) == 3  # guard, half an ONNX, lock
    with store.lock(identity(batch="2")), store.workspace(identity(batch="2")) as work:
        (work / "file").write_text("in use")
        live = everything(store.root.parent)
        plan = store.plan_prune()
        assert {item.why for item in plan} == {
            "left by a process that was killed",
            "lock of a process that was killed",
        }
        assert sum(item.size for item in plan) >= 1000
        assert len(store.sweep()) == 2
        assert (work / "file").read_text() == "in use"
        assert len(live - everything(store.root.parent)) == 3
    assert everything(store.root.parent) == clean
    assert store.find(identity()) == Found(engine)


def test_half_engines_that_nothing_points_to_are_swept(store: EngineStore) -> None:
    first, second = publish(store), publish(store, identity(batch="2"))
    default_alias(store).unlink()
    first.path.unlink()
    manifest_path(second.path).unlink()
    assert len(store.sweep()) == 2
    assert everything(store.root.parent) == set()


def test_a_link_that_was_never_put_in_place_is_swept(store: EngineStore) -> None:
    publish(store)
    clean = everything(store.root.parent)
    (store.root.parent / ".yolo11n-pose.engine.jetsmith-new").symlink_to("nowhere")
    assert len(store.sweep()) == 1
    assert everything(store.root.parent) == clean


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_a_workspace_of_another_user_is_left_to_that_user() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        store = EngineStore(Path(folder, "models", "engines"))
        publish(store)
        work = store.root / ".work" / "0123456789ab-theirs"
        work.mkdir(0o700)
        (store.root / ".locks" / "0123456789ab.lock").touch(0o600)
        os.seteuid(65534)
        try:
            assert store.sweep() == []
            assert len(store.engines()) == 1
            assert store.plan_prune() == []
        finally:
            os.seteuid(0)
        assert work.is_dir()
