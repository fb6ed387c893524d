"""Which module and JetPack this is, and whether jetsmith serves it."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.board import (
    MODULES,
    board_facts,
    dla_cores,
    jetpack_of,
    module_of,
    refusal,
    require_supported,
    tensorrt_python,
)
from app.device import UNKNOWN, Device, Gpu, read_device
from app.errors import BackendUnavailable

BOARDS = Path(__file__).parent / "data" / "boards"


def board(name: str, gpu: Gpu | None = None) -> Device:
    return read_device(BOARDS / name, gpu_probe=lambda: gpu)


def jetson(
    *, module: str = UNKNOWN, soc: str = UNKNOWN, l4t: str = UNKNOWN, gb: float | None = None, gpu: Gpu | None = None
) -> Device:
    ram = None if gb is None else int(gb * 2**30)
    return Device("jetson", module, soc, l4t, UNKNOWN, (), ram, gpu)


@pytest.mark.parametrize(
    ("name", "module", "part", "jetpack", "dla"),
    [
        pytest.param("orin-nano-4gb-jp62", "Jetson Orin Nano 4GB", "p3767-0004", "6.2", 0, id="Orin Nano 4 GB"),
        pytest.param("orin-nano-jp62", "Jetson Orin Nano 8GB", "p3767-0005", "6.2", 0, id="Orin Nano 8 GB"),
        pytest.param("orin-nx-without-model", "Jetson Orin NX 16GB", "p3767-0000", "6.1", 2, id="Orin NX"),
        pytest.param("agx-orin-jp72", "Jetson AGX Orin 64GB", "p3701-0005", "7.2", 2, id="AGX Orin"),
        pytest.param("agx-thor-jp70", "Jetson AGX Thor T5000", "p3834-0008", "7.0", 0, id="Thor"),
        pytest.param("xavier-nx-jp5", "Jetson Xavier NX", "p3668-0000", "5.x", 2, id="Xavier NX"),
        pytest.param("nano-jp4", "Jetson Nano", "p3448-0000", "4.6.6", 0, id="Nano"),
        pytest.param(
            "orin-nano-4gb-container", "Jetson Orin Nano 4GB", "p3767-0004", "6.2", 0, id="container, both copies"
        ),
        pytest.param("orin-nx-container", "Jetson Orin NX 16GB", UNKNOWN, "6.2.1", 2, id="container, by model and RAM"),
        pytest.param("agx-orin-container", "Jetson AGX Orin 64GB", UNKNOWN, "7.2", 2, id="container of JetPack 7.2"),
    ],
)
def test_a_board_is_known_by_its_part_or_its_model_and_memory(
    name: str, module: str, part: str, jetpack: str, dla: int
) -> None:
    device = board(name)
    found = module_of(device)
    assert found is not None
    assert (found.name, device.part, jetpack_of(device.l4t)) == (module, part, jetpack)
    assert dla_cores(device, BOARDS / name) == dla


def test_a_container_that_hides_everything_leaves_unknown_what_is_unknown() -> None:
    device = board("agx-thor-container")
    assert (device.kind, device.module, device.l4t, device.part) == ("jetson", UNKNOWN, UNKNOWN, UNKNOWN)
    assert module_of(device) is None
    assert dla_cores(device, BOARDS / "agx-thor-container") is None
    assert refusal(device) is None
    assert board_facts(device, BOARDS / "agx-thor-container") == {}


@pytest.mark.parametrize(
    ("device", "module"),
    [
        pytest.param(jetson(module="NVIDIA Jetson Orin NX 8GB"), "Jetson Orin NX 8GB", id="the text names the memory"),
        pytest.param(jetson(module="Jetson Orin Nano", gb=3.5), "Jetson Orin Nano 4GB", id="the RAM tells"),
        pytest.param(jetson(module="Jetson Orin Nano"), None, id="two choices"),
        pytest.param(jetson(module="Jetson Orin Nano", gb=30), None, id="a memory that none has"),
        pytest.param(jetson(module="Jetson Xavier NX", gb=15), "Jetson Xavier NX", id="one choice of any memory"),
        pytest.param(jetson(module="A carrier of others"), None, id="a text that names no module"),
        pytest.param(replace(jetson(module="Jetson Orin NX 8GB"), kind="cpu"), None, id="no Jetson"),
    ],
)
def test_a_module_is_named_only_where_one_choice_is_left(device: Device, module: str | None) -> None:
    found = module_of(device)
    assert (found.name if found else None) == module


def test_every_module_of_the_table_is_recognised_by_its_part() -> None:
    for module in MODULES:
        part = module.part if "-" in module.part else f"{module.part}-0000"
        device = Device("jetson", UNKNOWN, module.soc, UNKNOWN, UNKNOWN, (), None, None, part)
        assert module_of(device) == module


@pytest.mark.parametrize(
    ("l4t", "jetpack", "python"),
    [
        pytest.param("32.7.1", "4.6.1", "3.6", id="4.6.1"),
        pytest.param("35.1", "5.0.2", "3.8", id="5.0.2"),
        pytest.param("35.6.4", "5.x", "3.8", id="a JetPack 5 that no table names"),
        pytest.param("36.3.0", "6.0", "3.10", id="6.0"),
        pytest.param("36.4.0", "6.1", "3.10", id="6.1"),
        pytest.param("36.4.7", "6.2.1", "3.10", id="6.2.1"),
        pytest.param("36.9.9", "6.x", "3.10", id="a later JetPack 6"),
        pytest.param("38.2.1", "7.0", "3.12", id="7.0"),
        pytest.param("39.2.1", "7.2.1", "3.12", id="7.2.1"),
        pytest.param("41.0.0", UNKNOWN, None, id="a line to come"),
        pytest.param(UNKNOWN, UNKNOWN, None, id="unknown"),
    ],
)
def test_the_jetpack_is_a_label_of_the_l4t(l4t: str, jetpack: str, python: str | None) -> None:
    assert (jetpack_of(l4t), tensorrt_python(l4t)) == (jetpack, python)


@given(st.one_of(st.text(), st.from_regex(r"[0-9٠-٩]+(\.[0-9]+)*"), st.just("9" * 5000)))
def test_any_l4t_has_a_label_or_none(l4t: str) -> None:
    assert jetpack_of(l4t)


@given(st.text(), st.text(), st.text(), st.one_of(st.none(), st.integers(0, 2**50)))
def test_any_board_is_served_or_refused_in_words(module: str, soc: str, l4t: str, ram: int | None) -> None:
    device = Device("jetson", module or UNKNOWN, soc, l4t, UNKNOWN, (), ram, None)
    found, refused = module_of(device), refusal(device)
    assert found is None or found in MODULES
    assert refused is None or (refused.reason and refused.advice)


@pytest.mark.parametrize(
    "name", ["orin-nano-jp62", "orin-nano-4gb-container", "orin-nx-container", "agx-orin-jp72", "agx-thor-jp70"]
)
def test_orin_and_thor_are_served(name: str) -> None:
    require_supported(board(name))


@pytest.mark.parametrize("name", ["x86-xeon", "raspberry-pi-5"])
def test_what_is_no_jetson_is_not_refused(name: str) -> None:
    assert refusal(board(name)) is None


@pytest.mark.parametrize(
    ("device", "reason", "advice"),
    [
        pytest.param(board("xavier-nx-jp5"), r"L4T 35\.6\.4 \(JetPack 5\.x\).*Python 3\.8;", "last", id="Xavier NX"),
        pytest.param(board("nano-jp4"), r"L4T 32\.7\.6 \(JetPack 4\.6\.6\).*Python 3\.6;", "last", id="Nano"),
        pytest.param(
            jetson(module="NVIDIA Jetson AGX Orin Developer Kit", soc="tegra234", l4t="35.4.1"),
            r"L4T 35\.4\.1.*Python 3\.8;",
            "Install JetPack 6 or 7",
            id="an Orin on JetPack 5 can be upgraded",
        ),
        pytest.param(jetson(soc="tegra194"), r"tegra194\) ends with JetPack 5.*3\.8;", "last", id="by the SoC alone"),
        pytest.param(
            jetson(gpu=Gpu("Xavier", "7.2", 6, True, "11.4", 2**33)),
            "ends with JetPack 5",
            "last",
            id="by the GPU alone, in a container",
        ),
        pytest.param(jetson(l4t="28.2.0"), r"too old; jetsmith needs", "Install JetPack 6", id="older still"),
    ],
)
def test_boards_with_too_old_a_python_are_refused_with_the_reason(device: Device, reason: str, advice: str) -> None:
    with pytest.raises(BackendUnavailable, match=reason) as caught:
        require_supported(device)
    assert advice in caught.value.hint


def test_a_manifest_keeps_what_the_speed_of_a_build_depends_on() -> None:
    assert board_facts(board("orin-nano-jp62"), BOARDS / "orin-nano-jp62") == {
        "module": "Jetson Orin Nano 8GB",
        "part": "p3767-0005",
        "jetpack": "6.2",
        "dla_cores": "0",
        "power_mode": "15W",
        "gpu_mhz": "306",
        "gpu_limit_mhz": "612",
        "cpu_limit_mhz": "1498",
    }
    assert board_facts(board("x86-xeon"), BOARDS / "x86-xeon") == {}
