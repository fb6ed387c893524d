"""`jetsmith engines`: how an engine is named."""

from pathlib import Path

import pytest

from app.cli import main
from app.engines.store import EngineStore
from tests.engines.samples import PLATFORM, WEIGHTS, identity, publish


@pytest.mark.parametrize("suffix", [".engine", ".ort.onnx"])
@pytest.mark.parametrize("with_suffix", [True, False])
def test_an_engine_is_found_by_its_alias(
    suffix: str,
    with_suffix: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("JETSMITH_MODELS_DIR", str(tmp_path))
    wanted = identity() if suffix == ".engine" else identity(backend="onnxruntime")
    assert PLATFORM["backend"] == "tensorrt"
    publish(EngineStore(tmp_path / "engines"), wanted, alias=tmp_path / f"best{suffix}")
    assert main(["engines", "show", f"best{suffix}" if with_suffix else "best"]) == 0
    assert WEIGHTS in capsys.readouterr().out
