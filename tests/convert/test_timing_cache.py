"""Timings that builds share: a double of TensorRT's cache, which combines, refuses and forgets as the real one does."""

import inspect
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.convert.build_tensorrt import build
from app.convert.timing_cache import COLD, DROPPED, WARM, attach, cached_timings, keep
from app.engines.cache import Cached
from app.engines.store import EngineStore
from app.runtime import tensorrt_compat as compat
from tests import onnx_graphs
from tests.convert.test_build_tensorrt import _Builder8
from tests.doubles.reporters import ListChannel

SLUG = "orin-nano-8gb-sm87"


class TimingCache:
    def __init__(self, device: str, timings: set[str]) -> None:
        self.device, self.timings = device, timings

    def combine(self, input_cache: "TimingCache", ignore_mismatch: bool) -> bool:
        fits = input_cache.device == self.device
        self.timings |= input_cache.timings if fits else set()
        return fits

    def serialize(self) -> bytes:
        return json.dumps([self.device, sorted(self.timings)]).encode()


class Config:
    """As much of IBuilderConfig; `build` measures something."""

    def __init__(self, device: str = "sm87") -> None:
        self.device = device
        self.cache: TimingCache | None = None

    def create_timing_cache(self, serialized_timing_cache: bytes) -> TimingCache:
        if not serialized_timing_cache:
            return TimingCache(self.device, set())
        try:
            device, timings = json.loads(serialized_timing_cache)
        except ValueError:  # as the real one: an error in the log, and an empty cache
            compat.MESSAGES.add("Failed to deserialize timing cache", is_error=True, is_warning=False)
            return TimingCache(self.device, set())
        return TimingCache(device, set(timings))

    def set_timing_cache(self, cache: TimingCache, ignore_mismatch: bool) -> bool:
        if cache.device != self.device:
            return False
        self.cache = cache
        return True

    def get_timing_cache(self) -> TimingCache | None:
        return self.cache

    def build(self, *timings: str) -> None:
        assert self.cache is not None
        self.cache.timings |= set(timings)


@pytest.fixture
def cached(tmp_path: Path) -> Cached:
    return Cached(tmp_path / "models" / "engines", SLUG, "tensorrt-10.3.0.timing")


def _build(cached: Cached, *timings: str, device: str = "sm87") -> tuple[str, set[str], list[str]]:
    """The state, what was known before, and the warnings."""
    config: Any = Config(device)
    listener = ListChannel()
    state = attach(config, cached, listener)
    assert config.cache is not None
    known = set(config.cache.timings)
    config.build(*timings)
    keep(config, cached, state == DROPPED, listener)
    return state, known, listener.warnings


def test_the_second_build_is_warm_and_knows_what_the_first_measured(cached: Cached) -> None:
    assert _build(cached, "conv 3x3") == (COLD, set(), [])
    assert _build(cached, "conv 1x1") == (WARM, {"conv 3x3"}, [])
    assert _build(cached)[1] == {"conv 3x3", "conv 1x1"}


def test_two_builds_at_once_both_keep_what_they_measured(cached: Cached) -> None:
    one: Any
    other: Any
    one, other = Config(), Config()
    for config in (one, other):
        attach(config, cached, ListChannel())
    one.build("a")
    other.build("b")
    for config in (one, other):
        keep(config, cached, False, ListChannel())
    assert _build(cached)[1] == {"a", "b"}


@pytest.mark.parametrize("content", [b'["sm72", ["conv"]]', b"another format"])
def test_what_does_not_fit_is_dropped_with_a_warning_and_replaced(content: bytes, cached: Cached) -> None:
    cached.update(lambda known: content)
    state, known, warnings = _build(cached, "conv 3x3")
    assert (state, known) == (DROPPED, set())
    assert "does not fit" in warnings[0]
    assert str(cached.path) in warnings[0]
    assert compat.MESSAGES.take_errors() == []
    assert _build(cached) == (WARM, {"conv 3x3"}, [])


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-3], lambda data: b"", lambda data: data[:40] + b"x" + data[41:]]
)
def test_a_damaged_file_never_reaches_the_library(damage: Any, cached: Cached) -> None:
    _build(cached, "conv 3x3")
    cached.path.write_bytes(damage(cached.path.read_bytes()))
    assert cached.read() is None
    assert _build(cached) == (COLD, set(), [])


def test_a_store_that_cannot_be_written_costs_a_warning(tmp_path: Path) -> None:
    (tmp_path / "engines").write_text("no folder")
    state, _, warnings = _build(Cached(tmp_path / "engines", SLUG, "a.timing"), "conv")
    assert state == COLD
    assert "was not kept" in warnings[-1]


def test_it_is_no_engine_and_no_litter(cached: Cached, tmp_path: Path) -> None:
    _build(cached, "conv 3x3")
    store = EngineStore(tmp_path / "models" / "engines")
    assert (store.engines(), store.plan_prune(), store.sweep()) == ([], [], [])
    assert cached.path.is_file()
    partial = cached.path.with_name(f".{cached.path.name}.part")
    partial.write_bytes(b"left by a kill")
    _build(cached, "conv 1x1")
    assert sorted(cached.path.parent.iterdir()) == [cached.path]


@pytest.mark.parametrize("name", ["", "../outside", "a/b", ".hidden"])
def test_a_name_leads_nowhere_else(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Cannot cache"):
        Cached(tmp_path, SLUG, name)
    with pytest.raises(ValueError, match="Cannot cache"):
        Cached(tmp_path, name, "a.timing")


def test_each_version_and_device_has_its_own() -> None:
    trt = SimpleNamespace(__name__="tensorrt", __version__="10.3.0")
    found = cached_timings({"store": "/models/engines", "device_slug": SLUG}, trt)
    assert found is not None
    assert found.path == Path("/models/engines/.cache", SLUG, "tensorrt-10.3.0.timing")
    assert cached_timings({}, trt) is None


def test_tensorrt_for_rtx_has_none_for_its_calls_do_nothing() -> None:
    rtx = pytest.importorskip("tensorrt_rtx")
    assert cached_timings({"store": "/models/engines", "device_slug": SLUG}, rtx) is None


@pytest.mark.parametrize("name", ["create_timing_cache", "set_timing_cache", "get_timing_cache"])
def test_the_double_is_called_as_the_real_one(name: str) -> None:
    rtx = pytest.importorskip("tensorrt_rtx")
    real = re.findall(r"(\w+): ", str(getattr(rtx.IBuilderConfig, name).__doc__).split("->")[0])
    assert real == list(inspect.signature(getattr(Config, name)).parameters)


def test_a_build_says_whether_it_was_warm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = onnx_graphs.save(onnx_graphs.detector(), tmp_path / "detector.onnx")
    states = []
    for _ in range(2):
        library, timing = _Builder8().library(), Config()
        config = library.Builder(None).create_builder_config()
        for name in ("create_timing_cache", "set_timing_cache", "get_timing_cache"):
            setattr(config, name, getattr(timing, name))
        monkeypatch.setattr(compat, "load", lambda backend, library=library: library)
        monkeypatch.setattr(compat, "_loggers", {})
        job = {
            "onnx": str(graph),
            "engine": str(tmp_path / "engine.engine"),
            "backend": "tensorrt",
            "precision": "FP32",
            "store": str(tmp_path / "engines"),
            "device_slug": SLUG,
        }
        states.append(build(job, ListChannel())["facts"]["timing_cache"])
    assert states == [COLD, WARM]
