"""Many devices in memory: who goes first, who is skipped, what a hanging or failing one does to the others."""

import threading
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone

import pytest

from app.errors import FleetError
from app.fleet import device_run, rollout
from app.fleet.base import LABEL_SPEC, Done, Holder, Observed, Outcome, Slot, StepKind, Target
from app.fleet.course import Apply
from app.fleet.device_run import Job
from app.fleet.host import Watch
from app.fleet.rollout import Options, Rollout
from tests.doubles.fleet_host import FakeHost, World, target


@dataclass
class Heard:
    order: list[str] = field(default_factory=list)
    steps: list[Done] = field(default_factory=list)

    def step(self, device: str, what: str, message: str, percent: float | None) -> None:
        return None

    def done(self, device: str, done: Done) -> None:
        self.steps.append(done)

    def finished(self, outcome: Outcome) -> None:
        self.order.append(outcome.device.name)


def job(world: World, name: str = "d", version: str = "1", *, sleep: float = 0.0, stop_infer: bool = False) -> Job:
    return Job(Apply(target(version, name=name), stop_infer), lambda: FakeHost(world, lambda what: time.sleep(sleep)))


def jobs(worlds: list[World], version: str = "1") -> list[Job]:
    return [job(world, f"d{number}", version) for number, world in enumerate(worlds)]


def run(some: list[Job], **options: object) -> list[Outcome]:
    return list(Rollout(some, Heard(), Options(**options)).run())  # type: ignore[arg-type]


def failing() -> World:
    return World(fails={StepKind.CONVERT: "no memory"})


def test_all_are_brought_there_and_a_second_run_does_nothing() -> None:
    worlds = [World() for _ in range(5)]
    first, second = run(jobs(worlds), parallel=2), run(jobs(worlds))
    assert all(outcome.is_good and outcome.done for outcome in first)
    assert all(outcome.is_good and not outcome.done for outcome in second)
    assert all(world.seen.holder is None for world in worlds)


def test_a_failed_device_says_what_and_what_to_do_and_the_others_go_on() -> None:
    outcomes = run(jobs([World(), failing(), World()]))
    assert [outcome.error for outcome in outcomes] == ["", "no memory", ""]
    assert outcomes[1].hint == "Mend it."
    assert outcomes[1].done[-1].error == "no memory"


def test_it_is_completed_after_mending() -> None:
    world = failing()
    run(jobs([world]))
    world.fails.clear()
    (outcome,) = run(jobs([world]))
    assert outcome.is_good
    assert StepKind.IMAGE not in [done.step.kind for done in outcome.done]  # what was done is not done again


def test_a_canary_that_fails_ends_it() -> None:
    worlds = [failing(), World(), World(), World()]
    outcomes = run(jobs(worlds), canary=2)
    assert [outcome.skipped for outcome in outcomes] == ["", "", *["a device of the canary failed"] * 2]
    assert worlds[2].done == []


def test_the_canary_is_done_before_the_others() -> None:
    heard = Heard()
    Rollout(jobs([World() for _ in range(6)]), heard, Options(canary=1)).run()
    assert heard.order[0] == "d0"


@pytest.mark.parametrize(("most", "skipped"), [(0, 3), (1, 2), (None, 0)])
def test_more_failures_than_allowed_end_it(most: int | None, skipped: int) -> None:
    outcomes = run(jobs([failing(), failing(), World(), World()]), parallel=1, max_failures=most)
    assert sum(bool(outcome.skipped) for outcome in outcomes) == skipped


def test_one_that_cannot_be_opened_is_one_failure() -> None:
    def dead() -> FakeHost:
        raise FleetError("no route to host", hint="Is it on?")

    outcomes = run([Job(Apply(target(name="dead")), dead), *jobs([World()])])
    assert [(outcome.error, outcome.is_good) for outcome in outcomes] == [("no route to host", False), ("", True)]


def test_one_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout, "_GRACE_S", 0.0)
    never = threading.Event()

    def wait(what: str) -> None:
        never.wait(30)

    hanging = Job(Apply(target(name="silent")), lambda: FakeHost(World(), wait))
    outcomes = run([hanging, *jobs([World()])], device_s=0.5)
    never.set()
    assert "did not answer" in outcomes[0].error
    assert outcomes[1].is_good


def test_bringing_back_is_waited_for_beyond_the_devices_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout, "_GRACE_S", 1.0)

    class Slow(FakeHost):
        def switch(self, watch: Watch) -> None:
            self._state(Slot.CURRENT, "exited")
            while watch.remaining_s() > 0:
                time.sleep(0.02)

        def restore(self, watch: Watch) -> None:
            time.sleep(3.0)
            super().restore(watch)

    world = World()
    run(jobs([world]))
    (outcome,) = run([Job(Apply(target("2")), lambda: Slow(world))], device_s=1.0)

    assert "switch took longer" in outcome.error
    assert world.seen.containers[Slot.CURRENT].is_running


def test_a_device_that_somebody_holds_is_not_touched() -> None:
    world = World()
    until = datetime.now(timezone.utc) + timedelta(minutes=2)
    world.seen = replace(world.seen, holder=Holder("eve@desk", "other", until))
    (outcome,) = run(jobs([world]))
    assert "eve@desk" in outcome.error
    assert world.done == []
    assert world.seen.holder is not None


def test_a_lock_whose_holder_was_killed_runs_out() -> None:
    world = World()
    world.seen = replace(world.seen, holder=Holder("eve@desk", "other", datetime.now(timezone.utc)))
    (outcome,) = run(jobs([world]))
    assert outcome.is_good


def test_the_lock_is_prolonged_while_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_run, "RENEW_S", -1.0)
    locks: Counter[str] = Counter()

    class Counting(FakeHost):
        def lock(self, holder: Holder, watch: Watch) -> None:
            locks[holder.token] += 1
            super().lock(holder, watch)

        def convert(self, target: Target, watch: Watch) -> None:
            assert watch.remaining_s() > 0
            super().convert(target, watch)

    (outcome,) = run([Job(Apply(target()), lambda: Counting(World()))])
    assert outcome.is_good
    assert list(locks.values()) == [2]


def test_the_old_infer_comes_back_when_a_step_fails_after_it_was_stopped() -> None:
    world = World()
    run([job(world, stop_infer=True)])
    world.fails[StepKind.CONVERT] = "no memory"
    (outcome,) = run([job(world, version="2", stop_infer=True)])
    assert outcome.error == "no memory"
    assert world.seen.containers[Slot.CURRENT].is_healthy
    assert world.seen.containers[Slot.CURRENT].label(LABEL_SPEC) == target("1").infer


def test_an_infer_that_does_not_become_healthy_gives_way_to_the_old_one() -> None:
    world = World()
    run(jobs([world]))
    world.unhealthy.add(target("2").infer)
    (outcome,) = run(jobs([world], "2"))
    assert outcome.error == "the new infer is unhealthy"
    assert world.seen.containers[Slot.CURRENT].label(LABEL_SPEC) == target("1").infer
    assert world.seen.containers[Slot.CURRENT].is_running
    assert Slot.NEXT not in world.seen.containers
    assert world.dark == []


def test_an_order_to_stop_leaves_no_device_without_infer() -> None:
    stop = threading.Event()

    class Stopping(FakeHost):
        def convert(self, target: Target, watch: Watch) -> None:
            stop.set()
            watch.remaining_s()

        def restore(self, watch: Watch) -> None:
            assert watch.remaining_s() > 0
            super().restore(watch)

    world = World()
    run(jobs([world]))
    one = Job(Apply(target("2"), stop_infer=True), lambda: Stopping(world))
    (outcome,) = Rollout([one], Heard(), stop=stop).run()
    assert "stopped during convert" in outcome.error
    assert world.seen.containers[Slot.CURRENT].is_healthy


def test_a_stopped_run_begins_no_more() -> None:
    stop = threading.Event()
    stop.set()
    worlds = [World(), World()]
    outcomes = Rollout(jobs(worlds), Heard(), stop=stop).run()
    assert [outcome.skipped for outcome in outcomes] == ["the run was stopped"] * 2
    assert all(world.done == [] for world in worlds)


def test_time_that_is_over_stops_a_step() -> None:
    class Slow(FakeHost):
        def verify(self, target: Target, watch: Watch) -> None:
            while watch.remaining_s() > 0:
                time.sleep(0.02)

    world = World()
    (outcome,) = run([Job(Apply(target()), lambda: Slow(world))], device_s=1.0)
    assert "verify took longer" in outcome.error
    assert world.seen.holder is None


def test_a_bug_is_told_and_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    class Buggy(FakeHost):
        def observe(self, watch: Watch) -> Observed:
            raise ZeroDivisionError

    told: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append(args.exc_type))
    outcomes = run([Job(Apply(target()), lambda: Buggy(World())), *jobs([World()])])
    assert outcomes[0].error == "jetsmith itself failed"
    assert outcomes[1].is_good
    assert told == [ZeroDivisionError]
