"""The key of an engine, and what is said of two keys that differ."""

import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.device import UNKNOWN, Device, Gpu
from app.engines.identity import Change, Identity, in_words, platform_of
from app.types import Backend
from tests.engines.samples import PLATFORM, RECIPE, WEIGHTS, identity

DEVICE = Device(
    kind="jetson",
    module="NVIDIA Jetson Orin Nano Developer Kit",
    soc="tegra234",
    l4t="36.4.3",
    cpu_model="ARM Cortex-A78AE",
    cpu_features=("asimd", "asimddp"),
    ram_bytes=8 * 10**9,
    gpu=Gpu("Orin", "8.7", 8, True, "12.6", 8 * 10**9),
)


@pytest.mark.parametrize("component", [*RECIPE, *PLATFORM])
def test_each_component_alone_changes_the_key_and_is_named(component: str) -> None:
    was, now = identity(), identity(**{component: "another"})
    assert was.key != now.key
    old = {**RECIPE, **PLATFORM}[component]
    assert was.changes(now) == [Change(component, old, "another")]
    assert now.changes(was) == [Change(component, "another", old)]


@pytest.mark.parametrize(
    "now",
    [
        pytest.param(Identity({**RECIPE, "dla_core": "0"}, PLATFORM), id="recipe"),
        pytest.param(Identity(RECIPE, {**PLATFORM, "dla_core": "0"}), id="platform"),
    ],
)
def test_a_component_that_is_added_changes_the_key_and_is_named(now: Identity) -> None:
    assert identity().key != now.key
    assert in_words(identity().changes(now)) == "DLA core none → 0"


def test_another_format_of_jetsmith_changes_the_key() -> None:
    was = identity()
    now = replace(was, format=was.format + 1)
    assert was.key != now.key
    assert in_words(was.changes(now)) == f"jetsmith's engine format {was.format} → {now.format}"


def test_the_same_is_the_same_in_any_order() -> None:
    same = Identity(dict(reversed(RECIPE.items())), dict(reversed(PLATFORM.items())))
    assert same.key == identity().key
    assert same.changes(identity()) == []


def test_a_component_does_not_pass_for_one_of_the_other_part() -> None:
    assert Identity({"x": "1"}, {}).key != Identity({}, {"x": "1"}).key


def test_the_key_is_the_same_in_every_process() -> None:
    code = "from tests.engines.samples import identity; print(identity().key)"
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        )
        assert done.stdout.strip() == identity().key


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(Change("precision", "FP16", "FP32"), "precision FP16 → FP32", id="precision"),
        pytest.param(Change("tensorrt", "10.3.0", "10.16.2"), "TensorRT 10.3.0 → 10.16.2", id="library"),
        pytest.param(Change("weights", WEIGHTS, "8b" * 32), "weights 31e20dde3def → 8b8b8b8b8b8b", id="digest"),
        pytest.param(Change("imgsz", "640x640", "320x320"), "input size 640x640 → 320x320", id="size"),
        pytest.param(Change("l4t", UNKNOWN, "36.4.3"), "L4T unknown → 36.4.3", id="unknown fact"),
        pytest.param(
            Change("cpu_features", "avx avx2 fma", "avx2 avx512f fma"),
            "CPU features +avx512f −avx",
            id="instruction sets",
        ),
    ],
)
def test_a_change_is_said_in_words(change: Change, words: str) -> None:
    assert str(change) == words


_parts = st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=4)


@given(_parts, _parts, _parts, _parts)
def test_keys_are_equal_if_and_only_if_nothing_changed(
    recipe: dict[str, str], platform: dict[str, str], other: dict[str, str], others: dict[str, str]
) -> None:
    one, two = Identity(recipe, platform), Identity(other, others)
    assert (one.key == two.key) == (not one.changes(two)) == (not two.changes(one))


def test_a_tensorrt_engine_depends_on_the_gpu_and_its_software() -> None:
    platform = platform_of(DEVICE, Backend.TENSORRT, {"tensorrt": "10.3.0.30", "onnxruntime": "1.23.2"})
    assert platform == {
        "backend": "tensorrt",
        "tensorrt": "10.3.0.30",
        "cuda": "12.6",
        "compute_capability": "8.7",
        "gpu": "Orin",
        "sm_count": "8",
        "module": "NVIDIA Jetson Orin Nano Developer Kit",
        "l4t": "36.4.3",
    }
    assert platform_of(DEVICE, Backend.TENSORRT, {"cuda": "12.2"})["cuda"] == "12.2"


def test_an_onnxruntime_engine_depends_on_the_cpu() -> None:
    platform = platform_of(DEVICE, Backend.ONNXRUNTIME, {"onnxruntime": "1.23.2"})
    assert platform == {
        "backend": "onnxruntime",
        "onnxruntime": "1.23.2",
        "cpu": "ARM Cortex-A78AE",
        "cpu_features": "asimd asimddp",
    }


def test_what_is_not_known_is_unknown() -> None:
    bare = Device("cpu", UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, (), None, None)
    for backend in Backend:
        platform = platform_of(bare, backend, {})
        assert set(platform.values()) == {backend.value, UNKNOWN}
