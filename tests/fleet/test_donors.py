"""Who may give an engine to whom."""

from dataclasses import replace

import pytest

from app.fleet.base import LABEL_WORK, Container, EngineFacts, Observed, Slot
from app.fleet.donors import Donors
from tests.doubles.fleet_host import BOARD, target

ENGINE = EngineFacts("key", "a" * 64, "FP16", "2026-11-23T00:00:00+00:00")
ONE, TWO = target("1", name="one"), target("1", name="two")


def _done() -> Observed:
    converted = Container("exited", labels={LABEL_WORK: ONE.work})
    tried = Container("exited", labels={LABEL_WORK: ONE.proof(ENGINE.sha256)})
    return Observed(containers={Slot.CONVERTER: converted, Slot.VERIFIER: tried}, engine=ENGINE, board=BOARD)


def _with(slot: Slot, container: Container) -> Observed:
    return replace(_done(), containers={**_done().containers, slot: container})


def test_one_that_has_built_and_tried_gives_to_its_like_and_never_to_itself() -> None:
    donors = Donors()
    donors.tell(ONE, _done())
    found = donors.find(TWO, BOARD)
    assert found is not None
    assert found.name == "one"
    assert donors.find(ONE, BOARD) is None
    assert donors.find(target("2", name="two"), BOARD) is None
    assert donors.find(TWO, replace(BOARD, module="Jetson Orin NX 16GB")) is None
    assert donors.find(TWO, replace(BOARD, l4t="36.5.0")) is None


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(Observed(board=BOARD), id="no engine"),
        pytest.param(replace(_done(), board=None), id="unknown kind"),
        pytest.param(_with(Slot.CONVERTER, Container("running", labels={LABEL_WORK: ONE.work})), id="still builds"),
        pytest.param(_with(Slot.CONVERTER, Container("exited", labels={LABEL_WORK: "other"})), id="other work"),
        pytest.param(_with(Slot.VERIFIER, Container("exited", exit_code=1)), id="not tried"),
        pytest.param(_with(Slot.VERIFIER, Container("exited", labels={LABEL_WORK: "other"})), id="another tried"),
    ],
)
def test_who_is_not_done_gives_nothing(seen: Observed) -> None:
    donors = Donors()
    donors.tell(ONE, seen)
    assert donors.find(TWO, BOARD) is None
