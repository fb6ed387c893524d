"""`jetsmith engines check`: what a fleet asks of an engine before a service may take it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import Jetsmith

MODEL = ("--model", "demo-detect")


@pytest.fixture(scope="module")
def jetsmith(tmp_path_factory: pytest.TempPathFactory, ready_exports: Callable[..., Path]) -> Jetsmith:
    root = tmp_path_factory.mktemp("checked")
    (root / "home").mkdir()
    jetsmith = Jetsmith(root / "models", root / "home", exports=ready_exports(64, "demo-detect"))
    jetsmith("convert", *MODEL, "--imgsz", "64", "64")
    return jetsmith


def test_an_engine_is_loaded_and_run_and_named_by_its_digest(jetsmith: Jetsmith) -> None:
    manifest = jetsmith.manifest()
    told = json.loads(jetsmith("engines", "check", *MODEL, "--json").stdout)
    assert (told["sha256"], told["engine"]) == (manifest["sha256"], manifest["engine"])
    assert told["milliseconds"] > 0
    assert jetsmith("engines", "check", *MODEL, "--sha256", told["sha256"]).stdout
    assert "is another engine" in jetsmith("engines", "check", *MODEL, "--sha256", "0" * 64, code=1).stderr
    assert manifest["engine"] in jetsmith("engines", "check", *MODEL).stdout


def test_what_cannot_run_is_an_error(jetsmith: Jetsmith) -> None:
    missing = jetsmith("engines", "check", "--model", "demo-pose", "--json", code=1)
    assert "jetsmith convert" in missing.stderr
    (engine,) = jetsmith.engines()
    whole = engine.read_bytes()
    engine.chmod(0o644)
    engine.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    altered = jetsmith("engines", "check", *MODEL, "--json", code=1)
    assert "its content was altered" in altered.stderr
    engine.write_bytes(whole)


def test_an_engine_that_computes_no_numbers_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    from app.cli import engines_check
    from app.errors import ModelError
    from app.types import GpuMemory, TensorSpec
    from config.settings import load_settings

    class Runner:
        inputs = (TensorSpec("images", (1, 3, 8, 8), np.dtype("float32")),)
        answer = np.array([1.0, np.nan])

        def __enter__(self) -> "Runner":
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def infer(self, feeds: object) -> dict[str, object]:
            return {"output0": self.answer}

    def opened(path: Path, backend: object, memory: GpuMemory) -> Runner:
        return Runner()

    monkeypatch.setattr(engines_check, "open_runner", opened)
    engine = type("Engine", (), {"path": tmp_path / "a.engine", "backend": "tensorrt"})()
    with pytest.raises(ModelError, match="no numbers: output0"):
        engines_check._require_numbers(engine, load_settings())
    Runner.answer = np.array([1.0])
    engines_check._require_numbers(engine, load_settings())
