"""What every test may use."""

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings
from PIL import Image

# No deadline for one example: a busy machine is slow now and then. pytest-timeout ends what hangs.
settings.register_profile("jetsmith", deadline=None)
settings.load_profile("jetsmith")

PROJECT_ROOT = Path(__file__).resolve().parents[1]


_PILLOW_OPEN = Image.open


def pytest_runtest_setup() -> None:
    """Ultralytics, once imported, replaces it by one that tries to install a HEIF reader: `infer` never meets that."""
    Image.open = _PILLOW_OPEN


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


@pytest.fixture(scope="session")
def exported(shared_data: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Real weights or a demo model as ONNX at 320×320, raw head; each exported once a session (some ten seconds)."""
    from app.convert.export import ExportOptions, export_onnx
    from app.progress import SilentReporter

    @cache
    def export(name: str) -> Path:
        demo = PROJECT_ROOT / "models" / "demo" / f"{name}.pt"
        weights = demo if demo.is_file() else shared_data(f"weights/{name}.pt")
        options = ExportOptions((320, 320), trust_weights=True)
        return export_onnx(weights, options, tmp_path_factory.mktemp(name), SilentReporter())

    return export


@pytest.fixture(scope="session")
def rtx() -> ModuleType:
    """NVIDIA's own builder, which builds without a GPU; a test skips where it is not installed."""
    module: ModuleType = pytest.importorskip("tensorrt_rtx", reason="pip install tensorrt-rtx to build for real")
    return module


@pytest.fixture
def detector(tmp_path: Path) -> Path:
    """A small graph with a detector's traits."""
    from tests import onnx_graphs

    return onnx_graphs.save(onnx_graphs.detector(), tmp_path / "detector.onnx")
