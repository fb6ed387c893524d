"""Power modes and clocks, read from files."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.device import UNKNOWN
from app.power import Clocks, Mode, Power, fastest_mode, parse_modes, read_clocks, read_power

BOARDS = Path(__file__).parent / "data" / "boards"


@pytest.mark.parametrize(
    ("board", "power", "is_below"),
    [
        pytest.param("orin-nano-jp62", Power("0", "15W", Mode("2", "MAXN_SUPER")), True, id="15 W of three modes"),
        pytest.param("agx-orin-jp72", Power("0", "MAXN", Mode("0", "MAXN")), False, id="the fastest is mode 0"),
        pytest.param("agx-thor-jp70", Power("1", "120W", Mode("0", "MAXN")), True, id="120 W"),
        pytest.param("orin-nano-4gb-jp62", Power("0", "10W", Mode("0", "10W")), False, id="no MAXN: most watts"),
        pytest.param("agx-orin-container", Power(UNKNOWN, UNKNOWN, None), False, id="files not mounted"),
    ],
)
def test_the_power_mode_is_read(board: str, power: Power, is_below: bool) -> None:
    found = read_power(BOARDS / board)
    assert found == power
    assert found.is_below_fastest is is_below


def test_a_mode_without_its_table_has_a_number_and_no_name(tmp_path: Path) -> None:
    status = tmp_path / "var/lib/nvpmodel/status"
    status.parent.mkdir(parents=True)
    status.write_text("pmode:0002\nfmode:quiet\n")
    assert read_power(tmp_path) == Power("2", UNKNOWN, None)


@pytest.mark.parametrize(
    ("names", "fastest"),
    [
        pytest.param(["MAXN", "MODE_15W"], "MAXN", id="MAXN"),
        pytest.param(["MAXN", "25W", "MAXN_SUPER"], "MAXN_SUPER", id="MAXN_SUPER above MAXN"),
        pytest.param(["7W", "15W"], "15W", id="watts"),
        pytest.param(["MODE_10W_DESKTOP", "MODE_20W_6CORE"], "MODE_20W_6CORE", id="watts in a longer name"),
        pytest.param(["QUIET", "LOUD"], None, id="names that tell nothing"),
        pytest.param([], None, id="no modes"),
    ],
)
def test_the_fastest_mode_is_known_by_its_name(names: list[str], fastest: str | None) -> None:
    found = fastest_mode([Mode(str(number), name) for number, name in enumerate(names)])
    assert (found.name if found else None) == fastest


def test_clocks_are_read_in_hertz() -> None:
    assert read_clocks(BOARDS / "orin-nano-jp62") == Clocks(
        306_000_000, 612_000_000, 1_020_000_000, 1_497_600_000, 1_728_000_000
    )
    assert read_clocks(BOARDS / "agx-thor-jp70").gpu_top_hz == 1_575_000_000
    assert read_clocks(BOARDS / "nano-jp4").gpu_limit_hz == 921_600_000


def test_clocks_that_are_hidden_are_not_made_up(tmp_path: Path) -> None:
    assert read_clocks(tmp_path) == Clocks(None, None, None, None, None)
    node = tmp_path / "sys/class/devfreq/17000000.gpu"
    node.mkdir(parents=True)
    (node / "cur_freq").write_text("<not counted>\n")
    (node / "available_frequencies").write_text("9" * 5000)
    assert read_clocks(tmp_path) == Clocks(None, None, None, None, None)


def test_other_devfreq_nodes_are_no_gpu(tmp_path: Path) -> None:
    node = tmp_path / "sys/class/devfreq/15340000.vic"
    node.mkdir(parents=True)
    (node / "cur_freq").write_text("115200000\n")
    assert read_clocks(tmp_path).gpu_now_hz is None


@given(st.one_of(st.text(), st.from_regex(r"< POWER_MODEL ID=[0-9٠-٩]+ NAME=.+ >")))
def test_any_table_of_modes_can_be_read(conf: str) -> None:
    modes = parse_modes(conf)
    assert all(mode.number.isascii() and mode.number.isdigit() for mode in modes)
    assert fastest_mode(modes) in [None, *modes]
