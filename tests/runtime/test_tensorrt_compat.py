import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.device import Gpu
from app.errors import BackendUnavailable
from app.runtime import tensorrt_compat as compat
from app.types import Backend
from tests.doubles.pycuda_double import CudaDouble
from tests.doubles.tensorrt_double import Severity, tensorrt_double

ORIN = Gpu("Orin", "8.7", 8, True, "12.6", 8 * 2**30)
HOPPER = Gpu("NVIDIA H100", "9.0", 132, False, "13.0", 80 * 2**30)
ADA = Gpu("NVIDIA RTX 4090", "8.9", 128, False, "12.8", 24 * 2**30)


def _without(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide a package, whether it is installed here or not."""
    found = compat._is_installed
    monkeypatch.setattr(compat, "_is_installed", lambda package: package != name and found(package))


def _empty_package(name: str) -> ModuleType:
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None)
    return module


def _rtx_with_capabilities(cuda: CudaDouble) -> ModuleType:
    module = tensorrt_double(cuda, name="tensorrt_rtx")
    members = dict.fromkeys(("NONE", "CURRENT", "SM75", "SM86", "SM89", "SM120"))
    vars(module)["ComputeCapability"] = SimpleNamespace(**members)
    vars(module)["ComputeCapability"].__dir__ = lambda: list(members)
    return module


def test_tensorrt_counts_where_it_imports_and_a_gpu_answers(tensorrt: None) -> None:
    assert compat.unavailable(Backend.TENSORRT, gpu_probe=lambda: ORIN) is None
    assert compat.version(Backend.TENSORRT) == "10.3.0"


def test_no_package_no_gpu_no_pycuda_each_have_their_reason(tensorrt: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert compat.unavailable(Backend.TENSORRT, gpu_probe=lambda: None) == "no NVIDIA GPU answers"
    _without("pycuda", monkeypatch)
    assert "pycuda" in (compat.unavailable(Backend.TENSORRT, gpu_probe=lambda: ORIN) or "")
    _without("tensorrt", monkeypatch)
    assert compat.unavailable(Backend.TENSORRT, gpu_probe=lambda: ORIN) == "is not installed"


def test_stubs_for_type_checkers_do_not_count(tensorrt: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", _empty_package("tensorrt"))
    assert "no version" in (compat.unavailable(Backend.TENSORRT, gpu_probe=lambda: ORIN) or "")


def test_rtx_counts_only_on_gpus_that_it_serves(cuda: CudaDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", _rtx_with_capabilities(cuda))
    assert compat.unavailable(Backend.TENSORRT_RTX, gpu_probe=lambda: ADA) is None
    reason = compat.unavailable(Backend.TENSORRT_RTX, gpu_probe=lambda: HOPPER)
    assert reason is not None
    assert "H100 (SM 9.0)" in reason
    assert "SM120" in reason


def test_the_real_rtx_serves_ada_and_no_hopper() -> None:
    rtx = pytest.importorskip("tensorrt_rtx")
    assert compat.unsupported_gpu(rtx, ADA) is None
    assert compat.unsupported_gpu(rtx, HOPPER) is not None
    assert compat.unsupported_gpu(rtx, ORIN) is not None
    assert compat.capability(rtx, "SM86") == rtx.ComputeCapability.SM86


@pytest.mark.parametrize(
    ("error", "message", "hint"),
    [
        pytest.param(
            ImportError("libnvdla_compiler.so: cannot open shared object file: No such file or directory"),
            "libnvdla_compiler.so",
            "nvidia-l4t-dla-compiler",
            id="host-library",
        ),
        pytest.param(ImportError("libcudart.so.12: no"), "libcudart.so.12", "python3-libnvinfer", id="library"),
        pytest.param(
            ModuleNotFoundError("No module named 'tensorrt'", name="tensorrt"),
            "is not installed",
            "python3-libnvinfer",
            id="absent",
        ),
    ],
)
def test_a_failed_import_says_what_to_do(
    error: ImportError, message: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str) -> ModuleType:
        raise error

    monkeypatch.setattr("importlib.import_module", fail)
    with pytest.raises(BackendUnavailable, match=message) as caught:
        compat.load(Backend.TENSORRT)
    assert hint in caught.value.hint


def test_the_logger_collects_errors_once_and_forgets_them_when_told(tensorrt: None) -> None:
    ours: Any = compat.logger(compat.load(Backend.TENSORRT))
    compat.MESSAGES.take_errors()
    for severity in Severity:
        ours.log(severity, f"{severity.name.lower()} text ")
    ours.log(Severity.ERROR, "error text")
    assert compat.MESSAGES.take_errors() == ["internal_error text", "error text"]
    assert compat.MESSAGES.take_errors() == []


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("start"), st.sampled_from("abcd"), st.sampled_from([None, *"abcd"]), st.integers(-1, 9)),
        st.tuples(st.just("step"), st.sampled_from("abcd"), st.integers(0, 12)),
        st.tuples(st.just("finish"), st.sampled_from("abcd")),
    ),
    max_size=60,
)


@given(EVENTS)
def test_progress_only_grows_whatever_the_builder_announces(events: list[tuple[object, ...]]) -> None:
    shown: list[float] = []
    progress = compat.BuildProgress(shown.append)
    calls: dict[object, Callable[..., None]] = {
        "start": progress.start,
        "step": progress.step,
        "finish": progress.finish,
    }
    for kind, *arguments in events:
        calls[kind](*arguments)
    assert shown == sorted(set(shown))
    assert all(0 < fraction <= 1 for fraction in shown)


def test_a_phase_fills_one_step_of_its_parent() -> None:
    shown: list[float] = []
    progress = compat.BuildProgress(shown.append)
    progress.start("build", None, 4)
    progress.step("build", 0)
    progress.start("tactics", "build", 2)
    progress.step("tactics", 0)
    progress.finish("tactics")
    progress.step("build", 1)
    progress.finish("build")
    assert shown == [0.25, 0.375, 0.5, 1.0]


def test_a_library_without_monitors_is_built_without_one(tensorrt: None) -> None:
    assert compat.progress_monitor(compat.load(Backend.TENSORRT), lambda fraction: None) is None
