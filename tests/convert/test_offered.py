"""An engine that another device of the same kind has built: verified here, or left."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from app.convert.offered import BUILT_ELSEWHERE, FOLDER
from tests.command import Jetsmith

MODEL = ("--model", "demo-detect", "--imgsz", "64", "64")


@pytest.fixture(scope="module")
def donor(tmp_path_factory: pytest.TempPathFactory, ready_exports: Callable[..., Path]) -> Jetsmith:
    root = tmp_path_factory.mktemp("donor")
    (root / "home").mkdir()
    jetsmith = Jetsmith(root / "models", root / "home", exports=ready_exports(64, "demo-detect"))
    jetsmith("convert", *MODEL)
    return jetsmith


@pytest.fixture
def taker(tmp_path: Path, donor: Jetsmith) -> Jetsmith:
    """With the donor's engine laid ready for it."""
    (tmp_path / "home").mkdir()
    jetsmith = replace(donor, models=tmp_path / "models", home=tmp_path / "home")
    (engine,) = donor.engines()
    folder = jetsmith.models / FOLDER / str(donor.manifest()["key"])
    folder.mkdir(parents=True)
    for path in engine.parent.iterdir():
        shutil.copyfile(path, folder / path.name)
    return jetsmith


def test_it_is_verified_here_and_not_built(taker: Jetsmith, donor: Jetsmith) -> None:
    said = taker("convert", *MODEL).stderr
    assert "it is verified, not built" in said
    assert "build onnxruntime engine" not in said
    assert "verify on 16 pictures: done" in said
    manifest = taker.manifest()
    assert manifest["sha256"] == donor.manifest()["sha256"]
    assert manifest["build"]["built_on"] == BUILT_ELSEWHERE
    assert manifest["verification"]["pictures"] == 16
    assert not list((taker.models / FOLDER).iterdir())


def test_one_that_was_altered_is_left_and_an_own_one_built(taker: Jetsmith) -> None:
    (offered,) = (path for path in (taker.models / FOLDER).rglob("*") if path.suffix == ".onnx")
    whole = offered.read_bytes()
    offered.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    said = taker("convert", *MODEL).stderr
    assert "the engine that another device built is not taken" in said
    assert "its content was altered" in said
    assert "build onnxruntime engine: done" in said
    assert "built_on" not in taker.manifest()["build"]
    assert not list((taker.models / FOLDER).iterdir())


def test_one_of_another_identity_is_not_even_looked_at(taker: Jetsmith) -> None:
    (folder,) = (taker.models / FOLDER).iterdir()
    folder.rename(folder.with_name("0" * 64))
    assert "another device" not in taker("convert", *MODEL).stderr
    assert (taker.models / FOLDER / ("0" * 64)).is_dir()
