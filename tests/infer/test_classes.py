import pytest

from app.errors import ModelError
from app.infer.classes import resolve_classes

NAMES = {0: "person", 1: "Traffic Light", 2: "7", 3: "Bus", 4: "bus", 7: "cat, wild"}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        pytest.param([0, "person"], (0,), id="a number and its name are one class"),
        pytest.param(["traffic light"], (1,), id="any case"),
        pytest.param(["bus"], (4,), id="exactly, where names differ only in case"),
        pytest.param(["7"], (7,), id="digits are a number"),
        pytest.param(["cat, wild", 3], (3, 7), id="sorted; a comma in a name"),
    ],
)
def test_numbers_and_names(wanted: list[int | str], expected: tuple[int, ...]) -> None:
    assert resolve_classes(wanted, NAMES) == expected


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        pytest.param(["persn"], "Did you mean 'person'", id="nearest"),
        pytest.param([5], "It knows: 0 person, 1 Traffic Light", id="a gap in the numbers"),
        pytest.param(["-1"], "It knows", id="negative"),
        pytest.param(["BUS"], "its number: 3, 4", id="not clear"),
        pytest.param([], "It knows", id="none"),
    ],
)
def test_an_unknown_class_is_an_error_that_names_the_known(wanted: list[int | str], says: str) -> None:
    with pytest.raises(ModelError) as error:
        resolve_classes(wanted, NAMES)

    assert says in error.value.hint
