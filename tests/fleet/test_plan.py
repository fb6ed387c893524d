"""The plan, against a device in memory: done twice it is empty, and whatever kills it, the next one completes it."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import FleetError
from app.fleet.base import LABEL, LABEL_SPEC, BoardFacts, Container, EngineFacts, Observed, Role, Slot, Spec, StepKind
from app.fleet.course import Apply
from app.fleet.plan import DEADLINES, Plan, plan
from tests.doubles.fleet_host import BOARD, FakeHost, Killed, World, target


class Patient:
    def update(self, message: str, percent: float | None = None) -> None:
        return None

    def remaining_s(self) -> float:
        return 1.0


WATCH = Patient()


def run(world: World, version: str, *, stop_infer: bool = False) -> Plan:
    host = FakeHost(world)
    made = plan(target(version), host.observe(WATCH), stop_infer=stop_infer)
    assert not made.error
    for step in made.steps:
        Apply(target(version)).execute(host, step, WATCH)
    return made


def kinds(made: Plan) -> list[StepKind]:
    return [step.kind for step in made.steps]


def is_right(world: World, version: str) -> bool:
    containers = world.seen.containers
    current = containers[Slot.CURRENT]
    return (
        Slot.NEXT not in containers
        and current.is_healthy
        and current.label(LABEL_SPEC) == target(version).infer
        and world.seen.engine is not None
        and world.seen.engine.sha256 == f"engine-{target(version).work}"
    )


def test_a_bare_device_gets_everything_in_this_order() -> None:
    world = World()
    image, file = [StepKind.IMAGE] * 2, [StepKind.FILES] * 2
    last = [StepKind.CONVERT, StepKind.VERIFY, StepKind.START, StepKind.SWITCH]
    assert kinds(run(world, "1")) == [*image, StepKind.PROBE, *file, *last]
    assert is_right(world, "1")


@pytest.mark.parametrize("stop_infer", [False, True])
def test_a_second_plan_is_empty(stop_infer: bool) -> None:
    world = World()
    run(world, "1", stop_infer=stop_infer)
    assert run(world, "1", stop_infer=stop_infer).is_done


def test_a_change_keeps_the_old_infer_until_the_new_engine_is_tried_and_then_for_the_way_back() -> None:
    world = World()
    run(world, "1")
    old = world.seen.containers[Slot.CURRENT]
    made = run(world, "2")
    assert kinds(made)[-4:] == [StepKind.CONVERT, StepKind.VERIFY, StepKind.START, StepKind.SWITCH]
    assert world.seen.containers[Slot.PREVIOUS].labels == old.labels
    assert world.seen.containers[Slot.PREVIOUS].state == "exited"
    assert world.dark == []


def test_infer_is_stopped_for_the_conversion_where_that_is_allowed() -> None:
    world = World()
    run(world, "1")
    made = run(world, "2", stop_infer=True)
    assert kinds(made).index(StepKind.STOP_INFER) < kinds(made).index(StepKind.CONVERT)
    assert world.dark
    assert is_right(world, "2")


def test_infer_comes_back_after_a_conversion_that_changed_nothing_of_it() -> None:
    world = World()
    run(world, "1")
    world.seen = replace(world.seen, engine=None)
    assert kinds(run(world, "1", stop_infer=True))[-1] is StepKind.RESTORE
    assert is_right(world, "1")


@settings(max_examples=120, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["1", "2", "3"]), st.booleans()), max_size=5),
    st.booleans(),
)
def test_killed_at_any_moments_the_next_one_completes_and_no_infer_is_lost(
    kills: list[tuple[int, str, bool]], begun: bool
) -> None:
    world = World()
    if begun:
        run(world, "1")
    allowed = False
    for moment, version, stop_infer in kills:
        world.left, allowed = moment, allowed or stop_infer
        try:
            run(world, version, stop_infer=stop_infer)
        except Killed:
            assert allowed or not world.dark, world.done
    world.left = None
    run(world, "2")
    assert is_right(world, "2"), world.done
    assert plan(target("2"), FakeHost(world).observe(WATCH)).is_done
    assert allowed or not world.dark, world.done


@pytest.mark.parametrize("after", ["2", "1", "3"], ids=["the-same", "back", "another"])
def test_killed_after_each_single_thing_that_is_done(after: str) -> None:
    whole = World()
    run(whole, "1")
    before = len(whole.done)
    run(whole, "2")
    for moment in range(len(whole.done) - before):
        world = World()
        run(world, "1")
        world.left = moment
        with pytest.raises(Killed):
            run(world, "2")
        world.left = None
        run(world, after)
        assert is_right(world, after)
        assert world.dark == [], (moment, world.done)


@pytest.mark.parametrize("kind", [kind for kind in StepKind if kind not in (StepKind.RESTORE, StepKind.STOP_INFER)])
def test_a_step_that_fails_leaves_the_old_infer_and_is_done_again(kind: StepKind) -> None:
    world = World()
    run(world, "1")
    if kind is StepKind.PROBE:
        world.seen = replace(world.seen, images=frozenset())
    world.fails[kind] = "no"
    with pytest.raises(FleetError):
        run(world, "2")
    assert world.seen.containers[Slot.CURRENT].label(LABEL_SPEC) == target("1").infer
    assert world.dark == []
    world.fails.clear()
    run(world, "2")
    assert is_right(world, "2")


FULL = {
    "docker": Observed(runtimes=("runc",)),
    "clock": Observed(runtimes=("nvidia",), clock_off_s=-90000),
    "jetpack": Observed(runtimes=("nvidia",), board=replace(BOARD, l4t="39.2.0")),
    "disk": Observed(runtimes=("nvidia",), board=BoardFacts("36.4.3", "x", 1 << 30, 1)),
    "dead": Observed(error="no answer", hint="Is it switched on?"),
}


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("docker", "no runtime nvidia"),
        ("clock", "90000 s behind"),
        ("jetpack", "has JetPack 7.2"),
        ("disk", "1.0 GiB"),
        ("dead", "no answer"),
    ],
)
def test_what_cannot_be_served_is_told_with_a_remedy_and_not_touched(state: str, told: str) -> None:
    made = plan(target(), FULL[state])
    assert told in made.error
    assert made.hint
    assert made.steps == ()
    assert not made.is_done


def test_a_full_disk_is_emptied_by_what_takes_tagged_images_as_well() -> None:
    assert "docker image prune --all --filter label=" in plan(target(), FULL["disk"]).hint


def finished() -> Observed:
    world = World()
    run(world, "1")
    return FakeHost(world).observe(WATCH)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        pytest.param({"engine": None}, "the engine is gone", id="engine-gone"),
        pytest.param(
            {"engine": EngineFacts("id", "another", "FP16", "")}, "not tried with this image", id="another-engine"
        ),
        pytest.param({"files": {}}, "is not there", id="files-gone"),
        pytest.param({"images": frozenset()}, "sent from this machine", id="images-gone"),
        pytest.param({"containers": {}}, "no infer is there", id="containers-gone"),
    ],
)
def test_whatever_is_missing_is_named(changed: dict[str, object], reason: str) -> None:
    made = plan(target(), replace(finished(), **changed))  # type: ignore[arg-type]
    assert any(reason in step.reason for step in made.steps), made


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        (Container("running", health="starting"), [StepKind.SWITCH]),
        (Container("running", health="unhealthy"), [StepKind.START, StepKind.SWITCH]),
        (Container("exited", exit_code=1), [StepKind.RESTORE]),
    ],
)
def test_an_infer_that_is_not_well_is_mended(container: Container, expected: list[StepKind]) -> None:
    seen = finished()
    ill = replace(container, labels={LABEL_SPEC: target().infer})
    made = plan(target(), replace(seen, containers={**seen.containers, Slot.CURRENT: ill}))
    assert kinds(made) == expected


def test_a_running_conversion_for_the_same_work_is_followed() -> None:
    seen = finished()
    last = replace(seen.containers[Slot.CONVERTER], state="running")
    made = plan(target(), replace(seen, containers={**seen.containers, Slot.CONVERTER: last}))
    assert "followed" in made.steps[0].reason


def test_images_come_from_the_registry_where_one_is_named() -> None:
    wanted = target()
    wanted = replace(wanted, device=replace(wanted.device, registry="r.example/"))
    assert "pulled from r.example/" in plan(wanted, Observed(runtimes=("nvidia",))).steps[0].reason


def test_another_fleets_device_is_not_taken_over() -> None:
    wanted = target()
    specs = {role: Spec(role, {**spec.arguments, "labels": {LABEL: "ours"}}) for role, spec in wanted.specs.items()}
    wanted, seen = replace(wanted, specs=specs), finished()
    theirs = {slot: replace(one, labels={**one.labels, LABEL: "production"}) for slot, one in seen.containers.items()}
    made = plan(wanted, replace(seen, containers=theirs))
    assert "it belongs to the fleet production, not to ours" in made.error
    ours = {slot: replace(one, labels={**one.labels, LABEL: "ours"}) for slot, one in seen.containers.items()}
    assert plan(wanted, replace(seen, containers=ours)).is_done


def test_another_name_of_the_same_is_no_change() -> None:
    spec = Spec(Role.INFER, {"image": "a:1", "labels": {LABEL: "f"}, "user": "1000"})
    assert Spec(Role.INFER, {"image": "r/a:2", "labels": {LABEL: "g"}, "user": "1000"}).digest == spec.digest
    assert Spec(Role.INFER, {"image": "a:1", "labels": {LABEL: "f"}, "user": "1001"}).digest != spec.digest


def test_each_step_has_a_deadline() -> None:
    assert set(DEADLINES) == set(StepKind)


def test_each_digest_depends_on_what_it_shall() -> None:
    one = target()
    files = tuple(replace(file, digest="other") for file in one.files)
    assert replace(one, files=files).work != one.work
    assert replace(one, files=files).infer == one.infer
    other = replace(one, images={**one.images, Role.CONVERTER: target("2").images[Role.CONVERTER]})
    assert (other.work != one.work, other.infer == one.infer, other.proof("e") == one.proof("e")) == (True, True, True)
