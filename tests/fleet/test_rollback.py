"""The way back, on a device in memory: it goes to what ran before, once; whatever kills it, the next one ends it."""

from dataclasses import replace

import pytest

from app.errors import FleetError
from app.fleet.base import LABEL_SPEC, Container, Observed, Slot, StepKind
from app.fleet.course import Back
from app.fleet.device_run import Job
from app.fleet.plan import Plan
from app.fleet.rollback import plan_back
from tests.doubles.fleet_host import FakeHost, Killed, World, target
from tests.fleet.test_plan import WATCH, run
from tests.fleet.test_rollout import run as roll_out

BACK = Back(target().device)
THERE = [StepKind.START, StepKind.SWITCH]


def roll_back(world: World) -> Plan:
    host = FakeHost(world)
    made = BACK.plan(host.observe(WATCH))
    assert not made.error, made.error
    for step in made.steps:
        BACK.execute(host, step, WATCH)
    return made


def kinds(made: Plan) -> list[StepKind]:
    return [step.kind for step in made.steps]


def changed() -> World:
    world = World()
    run(world, "1")
    run(world, "2")
    return world


def runs(world: World) -> str:
    current = world.seen.containers[Slot.CURRENT]
    assert current.is_healthy
    assert Slot.NEXT not in world.seen.containers
    return next(version for version in "123" if target(version).infer == current.label(LABEL_SPEC))


def test_what_ran_before_runs_again_and_an_infer_ran_all_the_time() -> None:
    world = changed()
    assert kinds(roll_back(world)) == THERE
    assert runs(world) == "1"
    assert world.dark == []


def test_a_second_one_changes_nothing() -> None:
    world = changed()
    roll_back(world)
    assert roll_back(world).is_done
    assert runs(world) == "1"


def test_apply_goes_forward_again_and_back_once_more() -> None:
    world = changed()
    roll_back(world)
    run(world, "2")
    assert runs(world) == "2"
    roll_back(world)
    assert runs(world) == "1"


@pytest.mark.parametrize("left", range(8))
def test_whatever_kills_it_the_next_one_completes_it(left: int) -> None:
    world = changed()
    world.left = left
    try:
        roll_back(world)
    except Killed:
        assert left < 7
    world.left = None
    roll_back(world)
    roll_back(world)
    assert runs(world) == "1"
    assert world.dark == []


@pytest.mark.parametrize("left", range(24))
def test_a_change_that_was_killed_is_undone(left: int) -> None:
    """What ran before it runs; where it was already complete, the change is taken back."""
    world = World()
    run(world, "1")
    world.left = left
    try:
        run(world, "2")
    except Killed:
        world.left = None
        if BACK.plan(FakeHost(world).observe(WATCH)).error:  # nothing of it has touched the infer yet
            assert Slot.NEXT not in world.seen.containers
        else:
            roll_back(world)
    else:
        world.left = None
        roll_back(world)
    assert runs(world) == "1"


def test_one_that_fails_leaves_what_runs_and_the_way_back() -> None:
    world = changed()
    world.unhealthy.add(target("1").infer)
    with pytest.raises(FleetError):
        roll_back(world)
    FakeHost(world).restore(WATCH)
    assert runs(world) == "2"
    assert world.seen.containers[Slot.PREVIOUS].label(LABEL_SPEC) == target("1").infer


def test_the_run_over_a_fleet_brings_back_what_ran_when_it_fails() -> None:
    world = changed()
    world.unhealthy.add(target("1").infer)
    (outcome,) = roll_out([Job(BACK, lambda: FakeHost(world))])
    assert outcome.error == "the new infer is unhealthy"
    assert [done.step.kind for done in outcome.done] == [*THERE, StepKind.RESTORE]
    assert runs(world) == "2"


def test_a_stopped_infer_that_was_rolled_back_to_is_started() -> None:
    world = changed()
    roll_back(world)
    current = world.seen.containers[Slot.CURRENT]
    world.seen = replace(
        world.seen, containers={**world.seen.containers, Slot.CURRENT: replace(current, state="exited")}
    )
    assert kinds(roll_back(world)) == [StepKind.RESTORE]
    assert runs(world) == "1"


@pytest.mark.parametrize("slots", [(), (Slot.CURRENT,), (Slot.NEXT,)])
def test_where_nothing_ran_before_there_is_no_way_back(slots: tuple[Slot, ...]) -> None:
    made = plan_back(Observed(containers={slot: Container("running", created="2026") for slot in slots}))
    assert "no way back" in made.error
    assert made.hint


def test_an_unreachable_device_is_told_as_it_is() -> None:
    assert plan_back(Observed(error="no route", hint="Is it on?")) == Plan(error="no route", hint="Is it on?")
