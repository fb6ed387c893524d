"""What every test may use."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# No deadline for one example: a busy machine is slow now and then. pytest-timeout ends what hangs.
settings.register_profile("jetsmith", deadline=None)
settings.load_profile("jetsmith")

PROJECT_ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Real weights and pictures that are not part of the project; a test skips where they are absent."""
    root = Path(os.environ.get("JETSMITH_TEST_DATA", PROJECT_ROOT.parent / "shared"))

    def find(relative: str) -> Path:
        path = root / relative
        if not path.exists():
            pytest.skip(f"{relative} is not there: point JETSMITH_TEST_DATA at the folder that holds it")
        return path

    return find
