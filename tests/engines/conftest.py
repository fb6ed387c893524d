from pathlib import Path

import pytest

from app.engines.store import EngineStore


@pytest.fixture
def store(tmp_path: Path) -> EngineStore:
    return EngineStore(tmp_path / "models" / "engines")
