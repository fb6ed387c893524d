"""What every test may use."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import settings
from PIL import Image

from tests.command import PROJECT_ROOT, Jetsmith
from tests.exporter import Exporter

# No deadline for one example: a busy machine is slow now and then. pytest-timeout ends what hangs.
settings.register_profile("jetsmith", deadline=None)
settings.load_profile("jetsmith")

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
def exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exporter]:
    exporter = Exporter(tmp_path_factory.mktemp("exporter"))
    yield exporter
    exporter.close()


@pytest.fixture(scope="session")
def exported(exporter: Exporter, shared_data: Callable[[str], Path]) -> Callable[..., Path]:
    """Real weights or a demo model as ONNX, each exported once a session; options are those of ExportOptions."""
    from app.convert.export import ExportOptions

    def export(name: str, imgsz: tuple[int, int] = (320, 320), **options: Any) -> Path:
        demo = PROJECT_ROOT / "models" / "demo" / f"{name}.pt"
        weights = demo if demo.is_file() else shared_data(f"weights/{name}.pt")
        return exporter.export(weights, ExportOptions(imgsz, trust_weights=True, **options)).onnx

    return export


@pytest.fixture(scope="session")
def ready_exports(exporter: Exporter, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """For `Jetsmith.exports`: a folder with the graphs of these demo models, of square inputs of this side."""
    from app.convert.export import ExportOptions
    from app.engines.files import sha256_of

    folder = tmp_path_factory.mktemp("ready")

    def ready(side: int, *names: str) -> Path:
        for name in names:
            weights = PROJECT_ROOT / "models" / "demo" / f"{name}.pt"
            made = exporter.export(weights, ExportOptions((side, side), trust_weights=True))
            base = folder / f"{sha256_of(weights)}-{side}x{side}"
            shutil.copy(made.onnx, base.with_suffix(".onnx"))
            base.with_suffix(".json").write_text(json.dumps(made.traits.facts()))
        return folder

    return ready


@pytest.fixture
def jetsmith(tmp_path: Path) -> Jetsmith:
    """`jetsmith …` with a home that is empty, and a models folder that is not there yet."""
    (tmp_path / "home").mkdir()
    return Jetsmith(tmp_path / "models", tmp_path / "home")


@pytest.fixture(scope="session")
def detecting(ready_exports: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Jetsmith:
    """With `demo-detect` converted for 64×64 and never verified; for tests that leave its models as they are."""
    root = tmp_path_factory.mktemp("detecting")
    (root / "home").mkdir()
    jetsmith = Jetsmith(root / "models", root / "home", exports=ready_exports(64, "demo-detect"))
    jetsmith("convert", "--model", "demo-detect", "--imgsz", "64", "64", "--skip-verify")
    return jetsmith


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
