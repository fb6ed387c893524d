"""What a service does when a change goes wrong: it goes on and tells of it, or ends with the error."""

import io
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from app.engines.engine import Engine
from app.errors import EngineError, OutputError
from app.infer.pipeline import Predictor
from app.infer.service.outlets import Outlets
from app.infer.service.plan import ModelPlan, Plan, SinkPlan
from app.infer.service.report import Report
from app.infer.service.service import Service, Signals
from app.infer.service.switch import Loaded, Switch
from app.infer.sinks.limits import Limits
from app.infer.sources.base import Selection
from app.types import Task
from tests.doubles.reporters import ListReporter
from tests.infer.doubles import FakeModel, encoded, photo, result_of

NO_SINKS = SinkPlan(jsonl=None, save=None, crops=None, track=False, limits=Limits(1_000, 10_000))
PICTURE = np.zeros((4, 4, 3), np.uint8)


def _model(name: str, closed: list[str], error: Exception | None = None) -> ModelPlan:
    """Its engine cannot be closed, where an error is given."""

    @contextmanager
    def opened(engine: Engine) -> Iterator[Predictor]:
        yield FakeModel(lambda image: result_of(Task.DETECT))
        closed.append(name)
        if error is not None:
            raise error

    engine = cast(Engine, SimpleNamespace(path=Path(name)))
    return ModelPlan((name,), Path(), lambda: engine, opened)


def _run(folder: Path, plans: list[ModelPlan], until: Callable[[ListReporter], bool]) -> ListReporter:
    """Reload from each plan to the next one, and stop."""
    (folder / "a.png").write_bytes(encoded(photo(), "PNG"))
    first, *later = (Plan("wall", (str(folder / "a.png"),), Selection(), NO_SINKS, model) for model in plans)
    signals, reporter = Signals(threading.Event(), threading.Event()), ListReporter()
    waiting = iter(later)

    def load() -> Plan:
        plan = next(waiting)
        threading.Timer(0.5, signals.reload.set if plan is not later[-1] else watch.start).start()
        return plan

    def stop() -> None:
        while not until(reporter) and not signals.stop.wait(0.05):
            pass
        signals.stop.set()

    watch = threading.Thread(target=stop, daemon=True)
    service = Service(first, load, io.StringIO(), reporter, Report(folder / "wall.json", reporter))
    signals.reload.set()
    service.run(signals)
    return reporter


def test_an_engine_that_cannot_be_closed_is_told_and_the_next_change_is_heeded(tmp_path: Path) -> None:
    closed: list[str] = []
    plans = [_model("a", closed, EngineError("the GPU is gone")), _model("b", closed), _model("c", closed)]
    reporter = _run(tmp_path, plans, lambda _: "b" in closed)

    assert closed == ["a", "b", "c"]
    assert reporter.warnings == ["a could not be closed: the GPU is gone"]


def test_a_bug_in_a_change_ends_the_service(tmp_path: Path) -> None:
    closed: list[str] = []
    with pytest.raises(ValueError, match="a bug"):
        _run(tmp_path, [_model("a", closed, ValueError("a bug")), _model("b", closed)], lambda _: False)

    assert closed == ["a", "b"]


def test_an_engine_in_use_stays_open(tmp_path: Path) -> None:
    closed: list[str] = []
    plan = _model("a", closed)
    loaded = Loaded(plan.find(), plan)
    with loaded.used():
        assert not loaded.close(0.05)
        assert closed == []

    assert loaded.close()
    assert closed == ["a"]


def test_a_thread_that_reads_never_uses_an_engine_that_was_closed_meanwhile() -> None:
    closed: list[str] = []
    first, second = (Loaded(plan.find(), plan) for plan in (_model("a", closed), _model("b", closed)))
    switch = Switch(first)

    @contextmanager
    def late() -> Iterator[None]:
        """Another engine takes over, and this one is closed, just before its user is counted."""
        first.used = used  # type: ignore[method-assign]
        switch.turn(second).close()
        with used():
            yield

    used, first.used = first.used, late  # type: ignore[method-assign]
    answered: list[str] = []
    for name, loaded in (("a", first), ("b", second)):
        cast(FakeModel, loaded.model).predict_batch = lambda images, name=name: answered.append(name)  # type: ignore
    switch.predict_batch([PICTURE])

    assert closed == ["a"]
    assert answered == ["b"]


def test_pictures_among_the_folders_of_crops_are_refused(tmp_path: Path) -> None:
    plan = replace(NO_SINKS, save=tmp_path / "save", crops=tmp_path)
    metadata = FakeModel(lambda image: result_of(Task.DETECT)).metadata
    with pytest.raises(OutputError, match="lies in"):
        Outlets(plan, metadata, sys.stdout, ListReporter())
