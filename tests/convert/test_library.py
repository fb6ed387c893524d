"""TensorRT is looked for without being loaded, and loaded in a process of its own where something is to be built."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from app.convert import library_child, pipeline
from app.convert.child import Channel
from app.convert.library import try_library
from app.convert.options import ConvertOptions
from app.convert.weights import WeightsRequest
from app.device import Gpu
from app.errors import BackendUnavailable, BuildFailed
from app.progress import SilentReporter
from app.runtime import tensorrt_compat as compat
from app.types import Backend, Head, Precision
from tests.command import PROJECT_ROOT
from tests.doubles.pycuda_double import CudaDouble
from tests.doubles.reporters import ListReporter
from tests.doubles.tensorrt_dla_double import tensorrt_with_builder

ORIN = Gpu("Orin", "8.7", 8, True, "12.6", 8 * 2**30)


@pytest.fixture
def rtx() -> ModuleType:
    module: ModuleType = pytest.importorskip("tensorrt_rtx", reason="pip install tensorrt-rtx to load it for real")
    return module


def _job(version: str, **changes: Any) -> dict[str, Any]:
    job = {"backend": "tensorrt", "version": version, "precision": "FP16", "head": "raw", "dla_core": None}
    return {**job, **changes}


def _install(monkeypatch: pytest.MonkeyPatch, version: str = "10.3.0") -> None:
    monkeypatch.setattr(compat, "_loggers", {})
    monkeypatch.setitem(sys.modules, "tensorrt", tensorrt_with_builder(CudaDouble(), version=version)[0])


def test_nvidias_own_library_loads_in_a_process_of_its_own(rtx: ModuleType) -> None:
    for head in (Head.RAW, Head.END2END):
        reporter = SilentReporter()
        try_library(Backend.TENSORRT_RTX, rtx.__version__, reporter, precision=Precision.INT8, head=head)


def test_a_head_that_it_cannot_read_is_refused_before_the_export(rtx: ModuleType) -> None:
    with pytest.raises(BuildFailed, match=r"head: nms.*NonZero plugin") as caught:
        try_library(Backend.TENSORRT_RTX, rtx.__version__, SilentReporter(), precision=Precision.FP16, head=Head.NMS)
    assert "model_source.head to raw" in caught.value.hint


def test_tensorrt_reads_that_head(monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch)
    assert library_child.try_to_load(_job("10.3.0", head="nms"), Channel(0)) == {}


def test_a_library_that_calls_itself_otherwise_than_its_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch)
    with pytest.raises(BackendUnavailable, match=r"calls itself 10\.3\.0 once it is loaded, and 10\.7\.0"):
        library_child.try_to_load(_job("10.7.0"), Channel(0))


def test_a_library_that_is_not_there_is_told_from_the_child() -> None:
    if compat._is_installed("tensorrt"):
        pytest.skip("it is there")
    with pytest.raises(BackendUnavailable, match="tensorrt is not installed") as caught:
        try_library(Backend.TENSORRT, "10.3.0", SilentReporter(), precision=Precision.FP16)
    assert "python3-libnvinfer" in caught.value.hint


class Broken:
    """A TensorRT 10.3.0 whose libraries are missing, on an Orin with pycuda."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        missing = "raise ImportError('libnvdla_compiler.so: cannot open shared object file')\n"
        for name, source in {
            "tensorrt": "from tensorrt_bindings import *\nfrom tensorrt_bindings import __version__\n",
            "tensorrt_bindings": f"{missing}\n__version__ = '10.3.0'\n",
            "pycuda": "",
        }.items():
            (folder / name).mkdir(parents=True)
            (folder / name / "__init__.py").write_text(source)
        monkeypatch.syspath_prepend(folder)
        monkeypatch.setenv("PYTHONPATH", str(folder))
        monkeypatch.setattr(compat.unavailable, "__kwdefaults__", {"gpu_probe": lambda: ORIN, "loading": True})
        monkeypatch.setattr(compat, "_is_installed", lambda package: package in ("tensorrt", "pycuda"))
        self.models = folder.parent / "models"

    def prepare(self, backend: Backend | None, reporter: SilentReporter) -> Any:
        weights = PROJECT_ROOT / "models" / "demo" / "demo-detect.pt"
        request = WeightsRequest(weights, None, "https://example.invalid", self.models / "weights.json")
        alias = self.models / "demo.engine"
        options = ConvertOptions(request, None, alias, self.models / "engines", (64, 64), backend)
        return pipeline._prepared(options, reporter)


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Broken:
    return Broken(tmp_path / "site", monkeypatch)


def test_a_start_with_nothing_to_build_does_not_load_it(broken: Broken, monkeypatch: pytest.MonkeyPatch) -> None:
    found: Any = object()
    monkeypatch.setattr(pipeline, "_look", lambda *_: found)
    notes = ListReporter()
    job, engine = broken.prepare(None, notes)
    assert (job.identity.platform["tensorrt"], engine) == ("10.3.0", found)
    assert notes.notes == ["backend: tensorrt (the best there is)"]
    assert "tensorrt_bindings" not in sys.modules


def test_where_something_must_be_built_auto_goes_on_to_what_works(broken: Broken) -> None:
    notes = ListReporter()
    job, engine = broken.prepare(None, notes)
    assert (job.identity.backend, engine) == (Backend.ONNXRUNTIME, None)
    assert "libnvdla_compiler.so" in next(note for note in notes.notes if note.startswith("backend: onnxruntime"))


def test_what_was_asked_for_is_refused_with_the_reason(broken: Broken) -> None:
    with pytest.raises(BackendUnavailable, match=r"libnvdla_compiler\.so") as caught:
        broken.prepare(Backend.TENSORRT, ListReporter())
    assert "nvidia-l4t-dla-compiler" in caught.value.hint
    assert not list(broken.models.rglob("*.engine"))
