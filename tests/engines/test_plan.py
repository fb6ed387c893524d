"""The bare plan for NVIDIA's own tools."""

from dataclasses import replace
from pathlib import Path

import pytest

from app.cli import main
from app.engines.engine import Engine
from app.engines.header import write_header
from app.engines.plan import export_plan
from app.engines.store import EngineStore
from app.errors import EngineDamaged, EngineError, OutputError
from tests.engines.samples import PLATFORM, identity, publish

PLAN = b"ftrt" + bytes(range(256)) * 40


@pytest.fixture
def engine(store: EngineStore) -> Engine:
    return publish(store, content=write_header({"task": "pose", "names": {"0": "person"}}) + PLAN)


def test_the_plan_is_what_follows_the_header(engine: Engine, tmp_path: Path) -> None:
    assert export_plan(engine, tmp_path / "a.plan") == len(PLAN)
    assert (tmp_path / "a.plan").read_bytes() == PLAN


def test_a_file_that_is_there_is_not_written_over(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "a.plan").write_bytes(b"mine")
    with pytest.raises(OutputError, match="there already"):
        export_plan(engine, tmp_path / "a.plan")
    assert (tmp_path / "a.plan").read_bytes() == b"mine"


def test_an_engine_that_was_altered_is_not_passed_on(engine: Engine, tmp_path: Path) -> None:
    engine.path.write_bytes(engine.path.read_bytes()[:-1] + b"x")
    with pytest.raises(EngineDamaged, match="altered"):
        export_plan(engine, tmp_path / "a.plan")
    assert not (tmp_path / "a.plan").exists()


@pytest.mark.parametrize("name", ["gone/a.plan", "file/a.plan"])
def test_a_place_that_cannot_be_written_is_named(name: str, engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot be written to .*a\.plan"):
        export_plan(engine, tmp_path / name)


def test_an_onnx_engine_has_no_plan(engine: Engine, tmp_path: Path) -> None:
    onnx = identity(backend="onnxruntime")
    assert set(PLATFORM) == set(onnx.platform)
    with pytest.raises(EngineError, match="no TensorRT plan"):
        export_plan(replace(engine, manifest=replace(engine.manifest, identity=onnx)), tmp_path / "a.plan")


def test_the_command(
    engine: Engine,
    store: EngineStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("JETSMITH_MODELS_DIR", str(store.root.parent))
    out = tmp_path / "a.plan"
    assert main(["engines", "export", "yolo11n-pose", "--plan", str(out)]) == 0
    assert out.read_bytes() == PLAN
    assert "the bare plan of" in capsys.readouterr().out
    assert main(["engines", "export", "nothing", "--plan", str(out)]) == 1
