"""INT8 → FP16 → FP32, where accuracy is lost."""

from pathlib import Path
from typing import Any

import pytest

from app.convert.attempts import Attempts
from app.convert.build import Built
from app.errors import AccuracyLost, VerificationFailed
from app.progress import SilentReporter
from app.types import Precision
from tests.doubles.reporters import ListReporter


def _build(precision: Precision, folder: Path) -> Built:
    engine = folder / "engine"
    assert not engine.exists()
    engine.touch()
    return Built(engine, precision, {})


def _verify(*bad: Precision) -> Any:
    def verify(built: Built) -> dict[str, Any]:
        if built.precision in bad:
            raise AccuracyLost(f"{built.precision.value} is off by 9 px")
        return {"box_px_p95": 0.1}

    return verify


def test_an_accurate_engine_needs_one_attempt(tmp_path: Path) -> None:
    reporter = ListReporter()
    built, figures = Attempts(Precision.INT8, True).run(_build, _verify(), tmp_path, reporter)
    assert (built.precision, figures, reporter.warnings) == (Precision.INT8, {"box_px_p95": 0.1}, [])


def test_it_falls_back_step_by_step_and_says_so_loudly(tmp_path: Path) -> None:
    reporter = ListReporter()
    verify = _verify(Precision.INT8, Precision.FP16)
    built, figures = Attempts(Precision.INT8, True).run(_build, verify, tmp_path, reporter)
    assert built.precision is Precision.FP32
    assert figures["refused"] == {"INT8": "INT8 is off by 9 px", "FP16": "FP16 is off by 9 px"}
    assert len(reporter.warnings) == 2
    assert "INT8 loses too much accuracy, FP16 is built instead" in reporter.warnings[0]


@pytest.mark.parametrize(
    ("attempts", "bad"),
    [
        pytest.param(Attempts(Precision.INT8, False), (Precision.INT8,), id="not-allowed"),
        pytest.param(Attempts(Precision.FP16, True), (Precision.FP16, Precision.FP32), id="fp32-is-wrong-too"),
    ],
)
def test_what_is_wrong_to_the_end_is_an_error(attempts: Attempts, bad: tuple[Precision, ...], tmp_path: Path) -> None:
    with pytest.raises(AccuracyLost, match="off by 9 px"):
        attempts.run(_build, _verify(*bad), tmp_path, SilentReporter())


def test_a_backend_that_builds_fp32_anyhow_is_not_asked_again(tmp_path: Path) -> None:
    def build(_: Precision, folder: Path) -> Built:
        return _build(Precision.FP32, folder)

    with pytest.raises(AccuracyLost):
        Attempts(Precision.INT8, True).run(build, _verify(Precision.FP32), tmp_path, SilentReporter())


def test_a_crash_is_no_loss_of_accuracy(tmp_path: Path) -> None:
    def verify(_: Built) -> dict[str, Any]:
        raise VerificationFailed("killed")

    with pytest.raises(VerificationFailed, match="killed"):
        Attempts(Precision.INT8, True).run(_build, verify, tmp_path, SilentReporter())
