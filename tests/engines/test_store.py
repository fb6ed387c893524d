"""Publishing, finding, and refusing what is not whole."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from app.engines import engine as engine_module
from app.engines.engine import Engine, alias_for, check, manifest_path
from app.engines.identity import in_words
from app.engines.manifest import FORMAT
from app.engines.store import EngineStore, Found, Miss
from app.errors import EngineDamaged, EngineNotFound, EngineStale, StoreError
from app.types import Backend
from tests.engines.samples import PLATFORM, SLUG, default_alias, everything, identity, publish, record


def test_a_published_engine_is_found_and_its_alias_leads_to_it(store: EngineStore) -> None:
    engine = publish(store)
    key = identity().key
    assert engine.path == store.root / SLUG / f"yolo11n-pose-fp16-{key[:12]}.engine"
    assert engine.path.read_bytes() == b"a plan"
    assert store.find(identity()) == Found(engine)
    alias = default_alias(store)
    assert str(alias.readlink()) == f"engines/{SLUG}/{engine.path.name}"
    assert store.resolve_alias(alias) == engine
    assert engine.metadata.task.value == "pose"
    assert everything(store.root.parent) == {
        "yolo11n-pose.engine",
        f"engines/{SLUG}/{engine.path.name}",
        f"engines/{SLUG}/{engine.path.stem}.json",
    }


def test_the_whole_models_folder_can_be_moved(store: EngineStore, tmp_path: Path) -> None:
    publish(store)
    shutil.move(tmp_path / "models", tmp_path / "elsewhere")
    moved = EngineStore(tmp_path / "elsewhere" / "engines")
    assert isinstance(moved.find(identity()), Found)
    assert moved.resolve_alias(tmp_path / "elsewhere" / "yolo11n-pose.engine").manifest.size == 6


def test_an_empty_store_says_that_nothing_was_built(store: EngineStore) -> None:
    miss = store.find(identity(), alias=default_alias(store))
    assert miss == Miss("No engine has been built for this model yet.")
    assert store.engines() == []
    assert store.plan_prune() == store.sweep() == []
    assert not store.root.exists()


def test_a_miss_says_what_changed_since_the_engine_of_the_alias(store: EngineStore) -> None:
    publish(store)
    publish(store, identity(precision="FP32"), alias=store.root.parent / "other.engine")
    miss = store.find(identity(tensorrt="10.16.2"), alias=default_alias(store))
    assert isinstance(miss, Miss)
    assert miss.reason == "Changed since the last build: TensorRT 10.3.0 → 10.16.2."
    assert miss.nearest == identity()


def test_a_miss_without_alias_compares_with_the_newest_of_the_same_weights(store: EngineStore) -> None:
    publish(store)
    publish(store, identity(weights="a" * 64), alias=store.root.parent / "yolov8n.engine")
    miss = store.find(identity(imgsz="320x320", precision="INT8"))
    assert isinstance(miss, Miss)
    assert in_words(miss.changes) == "input size 640x640 → 320x320, precision FP16 → INT8"
    assert store.find(identity(weights="b" * 64)) == Miss("No engine has been built for this model yet.")


def test_both_engines_stay_when_a_setting_goes_back_and_forth(store: EngineStore) -> None:
    first, second = publish(store), publish(store, identity(precision="INT8"))
    assert store.resolve_alias(default_alias(store)) == second
    found = store.find(identity())
    assert found == Found(first)
    store.link(first, default_alias(store))
    assert store.resolve_alias(default_alias(store)) == first


def test_linking_to_where_it_already_leads_writes_nothing(store: EngineStore) -> None:
    engine = publish(store)
    before = default_alias(store).lstat()
    store.link(engine, default_alias(store))
    assert default_alias(store).lstat().st_ino == before.st_ino


def test_linking_to_an_engine_that_was_pruned_meanwhile_is_refused(store: EngineStore) -> None:
    engine = publish(store)
    default_alias(store).unlink()
    store.prune(store.plan_prune())
    with pytest.raises(EngineDamaged):
        store.link(engine, default_alias(store))
    assert not os.path.lexists(default_alias(store))


# --- engines that are not whole ---


def truncate(engine: Engine) -> None:
    os.truncate(engine.path, 3)


def empty(engine: Engine) -> None:
    os.truncate(engine.path, 0)


def flip(engine: Engine) -> None:
    data = bytearray(engine.path.read_bytes())
    data[2] ^= 1
    engine.path.write_bytes(data)


def lose(engine: Engine) -> None:
    engine.path.unlink()


def swap_for_a_link(engine: Engine) -> None:
    elsewhere = engine.path.parents[3] / "secret"
    engine.path.rename(elsewhere)
    engine.path.symlink_to(elsewhere)


def lose_the_manifest(engine: Engine) -> None:
    manifest_path(engine.path).unlink()


def garble_the_manifest(engine: Engine) -> None:
    manifest_path(engine.path).write_bytes(b"\x00\xffgarbage")


def empty_the_manifest(engine: Engine) -> None:
    os.truncate(manifest_path(engine.path), 0)


def point_the_manifest_elsewhere(engine: Engine) -> None:
    other = engine.path.with_name(f"other-fp16-{engine.identity.short_key}.engine")
    other.write_bytes(engine.path.read_bytes())
    path = manifest_path(engine.path)
    path.write_text(path.read_text().replace(engine.path.name, other.name))


def take_the_manifest_of_another(engine: Engine) -> None:
    path = manifest_path(engine.path)
    values = json.loads(path.read_text())
    values["identity"]["recipe"]["precision"] = "FP32"
    values["key"] = identity(precision="FP32").key
    path.write_text(json.dumps(values))


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        pytest.param(truncate, "it has 3 bytes instead of 6", id="truncated"),
        pytest.param(empty, "it has 0 bytes instead of 6", id="zero length"),
        pytest.param(flip, "its content was altered", id="one bit flipped"),
        pytest.param(lose, "is gone", id="engine gone"),
        pytest.param(lose_the_manifest, "no such manifest", id="manifest gone"),
        pytest.param(garble_the_manifest, "no manifest", id="manifest of garbage"),
        pytest.param(empty_the_manifest, "no manifest", id="empty manifest"),
        pytest.param(point_the_manifest_elsewhere, "another name", id="manifest names another file"),
        pytest.param(take_the_manifest_of_another, "another name", id="manifest of another engine"),
    ],
)
def test_what_is_not_whole_is_a_miss_an_error_and_mended_by_a_build(
    store: EngineStore, harm: Callable[[Engine], None], reason: str
) -> None:
    engine = publish(store)
    harm(engine)
    miss = store.find(identity(), alias=default_alias(store))
    assert isinstance(miss, Miss)
    if harm is not lose_the_manifest:
        assert reason in miss.reason
    expected = EngineNotFound if harm is lose else EngineDamaged
    with pytest.raises(expected, match=reason) as caught:
        store.resolve_alias(default_alias(store), hint="Build the engine anew with `jetsmith convert`.")
    assert "jetsmith convert" in caught.value.hint
    mended = publish(store)
    assert store.resolve_alias(default_alias(store)) == mended
    assert store.find(identity()) == Found(mended)


def test_an_engine_that_became_a_link_out_of_the_store_is_refused(store: EngineStore) -> None:
    swap_for_a_link(publish(store))
    assert isinstance(store.find(identity()), Miss)
    with pytest.raises(StoreError, match="did not make"):
        store.resolve_alias(default_alias(store))


def test_a_shelf_that_leads_out_of_the_store_is_refused(store: EngineStore, tmp_path: Path) -> None:
    publish(store)
    (store.root / SLUG).rename(tmp_path / "elsewhere")
    (store.root / SLUG).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="leads out of the engine store"):
        store.find(identity())
    default_alias(store).unlink()
    with pytest.raises(StoreError, match="leads out of the engine store"):
        publish(store)
    assert store.plan_prune() == []


def test_a_manifest_of_a_newer_jetsmith_is_a_miss_and_a_stale_engine(store: EngineStore) -> None:
    engine = publish(store)
    path = manifest_path(engine.path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": FORMAT + 1}))
    miss = store.find(identity())
    assert isinstance(miss, Miss)
    assert "newer jetsmith" in miss.reason
    with pytest.raises(EngineStale, match="newer jetsmith"):
        store.resolve_alias(default_alias(store))


# --- what infer asks ---


def test_no_engine_is_an_error_that_says_what_to_type(store: EngineStore) -> None:
    with pytest.raises(EngineNotFound, match=r"no engine at .*yolo11n-pose\.engine") as caught:
        store.resolve_alias(default_alias(store), hint="Run `jetsmith convert`.")
    assert caught.value.hint == "Run `jetsmith convert`."


def test_an_engine_of_the_users_own_is_neither_taken_nor_overwritten(store: EngineStore) -> None:
    alias = default_alias(store)
    alias.parent.mkdir(parents=True)
    alias.write_bytes(b"my own engine")
    for attempt in (
        lambda: store.resolve_alias(alias),
        lambda: store.preflight(alias),
        lambda: publish(store),
    ):
        with pytest.raises(StoreError, match="did not make") as caught:
            attempt()
        assert "model_path" in caught.value.hint
    assert alias.read_bytes() == b"my own engine"
    assert not (store.root / SLUG).exists()


def test_a_link_of_the_users_own_is_left_alone(store: EngineStore, tmp_path: Path) -> None:
    alias = default_alias(store)
    alias.parent.mkdir(parents=True)
    alias.symlink_to(tmp_path / "mine.engine")
    with pytest.raises(StoreError, match="did not make"):
        publish(store)
    assert str(alias.readlink()) == str(tmp_path / "mine.engine")


def test_check_names_what_differs_in_platform_and_recipe(store: EngineStore) -> None:
    engine = publish(store)
    check(engine, PLATFORM)
    check(engine, PLATFORM, {"precision": "FP16", "imgsz": "640x640"})
    with pytest.raises(EngineStale, match=r"TensorRT 10\.3\.0 → 10\.16\.2, L4T 36\.4\.3 → 39\.2\.0") as caught:
        check(engine, {**PLATFORM, "tensorrt": "10.16.2", "l4t": "39.2.0"}, hint="Run `jetsmith convert`.")
    assert caught.value.hint == "Run `jetsmith convert`."
    with pytest.raises(EngineStale, match="precision FP16 → INT8"):
        check(engine, PLATFORM, {"precision": "INT8"})


@pytest.mark.parametrize(
    ("model_path", "backend", "alias"),
    [
        pytest.param("models/a.engine", Backend.TENSORRT, "models/a.engine", id="TensorRT"),
        pytest.param("models/a.engine", Backend.TENSORRT_RTX, "models/a.rtx", id="RTX"),
        pytest.param("models/a.engine", Backend.ONNXRUNTIME, "models/a.ort.onnx", id="ONNX Runtime"),
        pytest.param("a.v2.ort.onnx", Backend.TENSORRT, "a.v2.engine", id="from ONNX Runtime, dots in the stem"),
        pytest.param("a.pt", Backend.TENSORRT, "a.engine", id="from another ending"),
    ],
)
def test_an_alias_is_the_stem_with_the_suffix_of_the_backend(model_path: str, backend: Backend, alias: str) -> None:
    assert alias_for(Path(model_path), backend) == Path(alias)


@pytest.mark.parametrize("name", ["мой модель.engine", "..engine", "-x.engine", "a b\n.engine", "x" * 200 + ".engine"])
def test_any_alias_gives_a_safe_stored_name(store: EngineStore, name: str) -> None:
    engine = publish(store, alias=store.root.parent / name)
    assert engine_module.STORED_NAME.fullmatch(engine.path.name)
    assert store.resolve_alias(store.root.parent / name) == engine
    assert store.plan_prune() == []


def test_what_lies_outside_a_workspace_is_not_published(store: EngineStore, tmp_path: Path) -> None:
    outside = tmp_path / "built.engine"
    outside.write_bytes(b"a plan")
    with pytest.raises(StoreError, match="no built engine"):
        store.publish(outside, record(), device_slug=SLUG, alias=default_alias(store))
    with store.workspace(identity()) as work:
        (work / "empty").touch()
        with pytest.raises(StoreError, match="no built engine"):
            store.publish(work / "empty", record(), device_slug=SLUG, alias=default_alias(store))
    assert outside.exists()


@pytest.mark.parametrize(
    ("slug", "alias"),
    [
        pytest.param("../up", "a.engine", id="shelf upwards"),
        pytest.param("/abs", "a.engine", id="absolute shelf"),
        pytest.param(".work", "a.engine", id="hidden shelf"),
        pytest.param(SLUG, "a.rtx", id="alias of another backend"),
    ],
)
def test_a_wrong_place_is_a_bug_of_the_caller(store: EngineStore, slug: str, alias: str) -> None:
    with store.workspace(identity()) as work:
        (work / "x").write_bytes(b"plan")
        with pytest.raises(ValueError, match="Cannot publish"):
            store.publish(work / "x", record(), device_slug=slug, alias=store.root.parent / alias)


def test_a_workspace_is_gone_after_success_and_after_an_error(store: EngineStore) -> None:
    with store.workspace(identity()) as work:
        (work / "sub").mkdir()
        (work / "sub" / "file").write_text("x")
    with pytest.raises(ZeroDivisionError), store.workspace(identity()) as work:
        _ = 1 / 0
    assert everything(store.root) == set()


@pytest.mark.parametrize("gone", [False, True])
def test_a_link_into_another_store_is_ours_and_is_replaced(store: EngineStore, tmp_path: Path, gone: bool) -> None:
    other = EngineStore(tmp_path / "moved" / "engines")
    alias = tmp_path / "ssd" / "yolo11n-pose.engine"
    theirs = publish(other, alias=alias)
    if gone:
        (tmp_path / "moved").rename(tmp_path / "elsewhere")
    with pytest.raises(EngineNotFound, match="points into another engine store") as caught:
        store.resolve_alias(alias, hint="Run `jetsmith convert`.")
    assert caught.value.hint == "Run `jetsmith convert`."
    store.preflight(alias)
    ours = publish(store, alias=alias)
    assert store.resolve_alias(alias) == ours
    assert theirs.path.exists() != gone


def test_every_user_may_read_what_a_careful_user_built(store: EngineStore, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        engine = publish(store, alias=tmp_path / "ssd" / "yolo11n-pose.engine")
    finally:
        os.umask(before)
    for path in (engine.path, manifest_path(engine.path)):
        assert path.stat().st_mode & 0o777 == 0o644
    for folder in (engine.path.parent, store.root, store.root.parent, store.root / ".aliases", tmp_path / "ssd"):
        assert folder.stat().st_mode & 0o055 == 0o055
