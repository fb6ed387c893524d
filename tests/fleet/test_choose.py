"""Which devices the words of a command line mean."""

import pytest

from app.errors import FleetError
from app.fleet.choose import choose
from config.fleet import parse_fleet

DEVICES = parse_fleet(
    """
fleet: f
defaults: {preset: cpu, config: config/demo-service.yaml}
groups: {orin: {}}
devices:
  press-1: ssh://a
  press-2: {address: ssh://b, group: orin, labels: {site: hall-2}}
  robot: {address: ssh://c, group: orin}
""",
    "fleet.yaml",
).devices


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ([], ["press-1", "press-2", "robot"]),
        (["robot", "press-1"], ["press-1", "robot"]),
        (["orin"], ["press-2", "robot"]),
        (["site=hall-2", "press-2"], ["press-2"]),
    ],
)
def test_words_choose(words: list[str], names: list[str]) -> None:
    assert [device.name for device in choose(DEVICES, words)] == names


@pytest.mark.parametrize(
    ("word", "close"), [("pres-1", "press-1"), ("site=hall-3", "site=hall-2"), ("site", ""), ("", "")]
)
def test_a_word_that_means_none_is_told(word: str, close: str) -> None:
    with pytest.raises(FleetError) as caught:
        choose(DEVICES, ["robot", word])
    assert (f"Did you mean {close}?" in caught.value.message) is bool(close)
    assert caught.value.hint
