"""Is a checkpoint what its name says, and can it be converted: told before anything is exported."""

import json

import pytest

from app.catalog import official_names, parse_model_name
from app.convert import traits
from app.convert.traits import Traits, require_colour, require_expected, require_names
from app.errors import WeightsError, WeightsMismatch
from app.types import Task

COUNTS: dict[str, int] = json.loads(traits._COUNTS.read_text())


def test_every_official_model_is_counted() -> None:
    assert set(COUNTS) == {str(name) for name in official_names()}


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_an_official_model_is_itself_with_any_number_of_classes(name: str) -> None:
    wanted = parse_model_name(name)
    for factor in (0.9, 1.0, 1.1):
        require_expected(wanted, Traits(wanted.task, f"{wanted.family}.yaml", round(COUNTS[name] * factor)), "x.pt")


@pytest.mark.parametrize(
    ("name", "holds", "words"),
    [
        ("yolov8x", "yolov8n", "yolov8x has 68.2 million parameters, but the file holds 3.2 million, about as yolov8n"),
        ("yolo11n-pose", "yolo11s-pose", "about as yolo11s-pose"),
        ("yolo11m-seg", "yolo11l-seg", "about as yolo11l-seg"),
        ("yolov10b", "yolov10l", "about as yolov10l"),
        ("yolov5nu", "yolov5xu", "about as yolov5xu"),
        ("yolo26n-cls", "yolo26l-cls", "about as yolo26l-cls"),
    ],
)
def test_another_size_than_the_name_says_is_refused(name: str, holds: str, words: str) -> None:
    wanted = parse_model_name(name)
    with pytest.raises(WeightsMismatch, match=words) as caught:
        require_expected(wanted, Traits(wanted.task, "Detect", COUNTS[holds]), "x.pt")
    assert caught.value.message.startswith("x.pt is not what base_model says")
    assert "base_model" in caught.value.hint


def test_a_file_without_an_official_name_and_a_demo_model_may_be_of_any_size() -> None:
    require_expected(None, Traits(Task.DETECT, "Detect", 1), "x.pt")
    require_expected(parse_model_name("demo-pose"), Traits(Task.POSE, "Pose", 400_000), "x.pt")


@pytest.mark.parametrize("facts", [None, {}, [], {"task": "x", "family": "", "parameters": 1}, {"task": "pose"}])
def test_a_manifest_that_does_not_tell_tells_nothing(facts: object) -> None:
    assert Traits.of_facts(facts) is None


def test_traits_pass_through_a_manifest() -> None:
    known = Traits(Task.OBB, "yolo11n-obb.yaml", 2_690_403)
    assert Traits.of_facts(json.loads(json.dumps(known.facts()))) == known


@pytest.mark.parametrize(("channels", "words"), [(1, "grey pictures"), (4, "pictures of 4 channels")])
def test_only_colour_pictures_are_served(channels: int, words: str) -> None:
    require_colour(3, "x.pt")
    with pytest.raises(WeightsError, match=words) as caught:
        require_colour(channels, "x.pt")
    assert "channels: 3" in caught.value.hint


@pytest.mark.parametrize("names", [0, 3, 5])
def test_every_class_has_a_name(names: int) -> None:
    require_names(4, 4, "x.pt")
    with pytest.raises(WeightsError, match=rf"tells 4 classes apart, but names {names}"):
        require_names(names, 4, "x.pt")
