"""One engine built and verified, or, where accuracy is lost and that was allowed, one of a higher precision."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.convert.build import Built
from app.errors import AccuracyLost
from app.progress import Reporter
from app.types import Precision

_UPWARDS = (Precision.INT8, Precision.FP16, Precision.FP32)

Build = Callable[[Precision, Path], Built]
Verify = Callable[[Built], dict[str, Any]]


@dataclass(frozen=True)
class Attempts:
    """What the precisions to try are: the wanted one, and with `fall_back` all above it up to the `highest`."""

    wanted: Precision
    fall_back: bool
    highest: Precision = Precision.FP32

    def run(self, build: Build, verify: Verify, work: Path, reporter: Reporter) -> tuple[Built, dict[str, Any]]:
        """
        Build and verify in `work`; the figures name what was tried in vain.

        Raises:
            AccuracyLost: the last precision that was to be tried is not accurate either.
        """
        refused: dict[str, str] = {}
        last = self.highest if self.fall_back else self.wanted
        ladder = _UPWARDS[_UPWARDS.index(self.wanted) : _UPWARDS.index(last) + 1]
        for precision, higher in zip(ladder, (*ladder[1:], None), strict=True):
            folder = work if precision is self.wanted else work / precision.value.lower()
            folder.mkdir(exist_ok=True)
            built = build(precision, folder)
            try:
                figures = verify(built)
            except AccuracyLost as error:
                if higher is None or built.precision is Precision.FP32:  # a backend may have built FP32 all along
                    raise
                refused[built.precision.value] = error.message
                reporter.warn(
                    f"{built.precision.value} loses too much accuracy, {higher.value} is built instead. {error.message}"
                )
            else:
                return built, {**figures, **({"refused": refused} if refused else {})}
        raise AssertionError("the last precision either returned or raised")
