"""What a machine says of itself, from files and from the CUDA driver."""

import ctypes
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.device import (
    UNKNOWN,
    Device,
    Gpu,
    parse_cpuinfo,
    parse_l4t,
    parse_memory,
    probe_gpu,
    read_device,
)

BOARDS = Path(__file__).parent / "data" / "boards"
ORIN_GPU = Gpu("Orin", "8.7", 8, True, "12.6", 7 * 2**30)
A78AE_FEATURES = ("asimd", "asimddp", "asimdhp", "fphp")


def no_gpu() -> None:
    return None


def gpu(name: str, capability: str, sm_count: int = 8, *, integrated: bool = True) -> Gpu:
    return Gpu(name, capability, sm_count, integrated, "12.6", 2**33)


@pytest.mark.parametrize(
    ("board", "graphics", "kind", "l4t", "module", "slug"),
    [
        pytest.param(
            "orin-nano-jp62",
            ORIN_GPU,
            "jetson",
            "36.4.3",
            "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
            "orin-nano-8gb-sm87",
            id="Orin Nano, JetPack 6.2",
        ),
        pytest.param(
            "agx-orin-jp72",
            gpu("Orin", "8.7", 16),
            "jetson",
            "39.2.0",
            "NVIDIA Jetson AGX Orin Developer Kit",
            "agx-orin-64gb-sm87",
            id="AGX Orin, JetPack 7.2",
        ),
        pytest.param(
            "agx-thor-jp70",
            gpu("NVIDIA Thor", "11.0", 20),
            "jetson",
            "38.2.0",
            "NVIDIA Jetson AGX Thor Developer Kit",
            "agx-thor-128gb-sm110",
            id="Thor, JetPack 7.0",
        ),
        pytest.param(
            "xavier-nx-jp5",
            gpu("Xavier", "7.2", 6),
            "jetson",
            "35.6.4",
            "NVIDIA Jetson Xavier NX Developer Kit",
            "xavier-nx-8gb-sm72",
            id="Xavier NX, JetPack 5",
        ),
        pytest.param(
            "orin-nx-container",
            ORIN_GPU,
            "jetson",
            "36.4.7",
            "NVIDIA Jetson Orin NX Engineering Reference Developer Kit",
            "orin-nx-16gb-sm87",
            id="device tree masked, model file mounted",
        ),
        pytest.param(
            "orin-nx-without-model",
            ORIN_GPU,
            "jetson",
            "36.4.0",
            "NVIDIA Jetson Orin NX 16GB",
            "orin-nx-16gb-sm87",
            id="module by its board id",
        ),
        pytest.param(
            "raspberry-pi-5", None, "cpu", UNKNOWN, UNKNOWN, "cpu-arm-cortex-a76", id="an ARM board of others"
        ),
        pytest.param("x86-xeon", None, "cpu", UNKNOWN, UNKNOWN, "cpu-intel-xeon-platinum-8481c", id="a server"),
        pytest.param(
            "x86-xeon",
            gpu("NVIDIA H100 80GB HBM3", "9.0", 132, integrated=False),
            "gpu",
            UNKNOWN,
            UNKNOWN,
            "nvidia-h100-80gb-hbm3-sm90",
            id="a server with a GPU",
        ),
        pytest.param(
            "raspberry-pi-5",
            gpu("NVIDIA GB10", "12.1"),
            "gpu",
            UNKNOWN,
            UNKNOWN,
            "nvidia-gb10-sm121",
            id="an integrated GPU that is no Jetson's",
        ),
    ],
)
def test_a_board_is_recognised(board: str, graphics: Gpu | None, kind: str, l4t: str, module: str, slug: str) -> None:
    device = read_device(BOARDS / board, gpu_probe=lambda: graphics)
    assert (device.kind, device.l4t, device.module, device.slug) == (kind, l4t, module, slug)
    assert device.gpu == graphics


def test_an_empty_root_makes_up_nothing(tmp_path: Path) -> None:
    device = read_device(tmp_path, gpu_probe=no_gpu)
    assert device == Device("cpu", UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, (), None, None)
    assert device.slug == "cpu-unknown"


def test_a_jetson_that_hides_its_files_is_known_by_its_gpu_and_takes_given_facts(tmp_path: Path) -> None:
    bare = read_device(tmp_path, gpu_probe=lambda: ORIN_GPU)
    assert (bare.kind, bare.module, bare.l4t, bare.slug) == ("jetson", UNKNOWN, UNKNOWN, "jetson-sm87")
    told = read_device(tmp_path, gpu_probe=lambda: ORIN_GPU, l4t="36.4.3", module="NVIDIA Jetson Orin NX 8GB")
    assert (told.l4t, told.module, told.slug) == ("36.4.3", "NVIDIA Jetson Orin NX 8GB", "orin-nx-8gb-sm87")


def test_files_win_over_given_facts() -> None:
    device = read_device(BOARDS / "orin-nano-jp62", gpu_probe=no_gpu, l4t="1.2.3", module="a toaster")
    assert device.l4t == "36.4.3"
    assert "Orin Nano" in device.module


def test_an_unreadable_file_is_an_unknown_fact(tmp_path: Path) -> None:
    (tmp_path / "proc" / "cpuinfo").mkdir(parents=True)  # reading it raises IsADirectoryError
    assert read_device(tmp_path, gpu_probe=no_gpu).cpu_model == UNKNOWN


def test_only_features_that_kernels_are_chosen_by_count() -> None:
    before = (BOARDS / "x86-xeon/proc/cpuinfo").read_text()
    after = before.replace("user_shstk", "ibpb_exit_to_user la57").replace("0xffffffff", "0x2b000620")
    assert parse_cpuinfo(before) == parse_cpuinfo(after)
    model, features = parse_cpuinfo(before)
    assert model == "Intel Xeon Platinum 8481C"
    assert {"avx2", "avx512f", "amx_int8"} <= set(features)
    assert not {"user_shstk", "rdrand"} & set(features)
    assert parse_cpuinfo(before.replace(" avx512_vnni", ""))[1] != features


def test_the_cores_of_a_mixed_cpu_are_all_named_and_share_their_features() -> None:
    text = (
        "processor: 0\nFeatures: fp asimd asimddp\nCPU implementer: 0x41\nCPU part: 0xd08\n\n"
        "processor: 1\nFeatures: fp asimd\nCPU implementer: 0x41\nCPU part: 0x999\n"
    )
    assert parse_cpuinfo(text) == ("ARM Cortex-A72 + ARM core 0x41:0x999", ("asimd",))
    assert parse_cpuinfo((BOARDS / "orin-nano-jp62/proc/cpuinfo").read_text()) == (
        "ARM Cortex-A78AE",
        A78AE_FEATURES,
    )


@pytest.mark.parametrize(
    ("text", "l4t"),
    [
        pytest.param("# R36 (release), REVISION: 4.3, GCID: 1", "36.4.3", id="JetPack 6"),
        pytest.param("# R32 (release), REVISION: 7.6, GCID: 1", "32.7.6", id="JetPack 4"),
        pytest.param("# R39 (release), REVISION: 2.0", "39.2.0", id="nothing after it"),
        pytest.param("R36.4.3", UNKNOWN, id="another format"),
        pytest.param("", UNKNOWN, id="empty"),
    ],
)
def test_l4t_is_read_or_unknown(text: str, l4t: str) -> None:
    assert parse_l4t(text) == l4t


@given(st.one_of(st.text(), st.from_regex(r"# R[0-9٠-٩]+ \(release\), REVISION: [0-9٠-٩.]+.*")))
def test_any_release_text_gives_numbers_or_unknown(text: str) -> None:
    l4t = parse_l4t(text)
    assert l4t == UNKNOWN or all(part.isascii() and part.isdigit() for part in l4t.split("."))


@given(st.lists(st.tuples(st.sampled_from(["flags", "Features", "model name", "CPU part", ""]), st.text()), max_size=8))
def test_any_cpuinfo_gives_a_model_and_known_features(fields: list[tuple[str, str]]) -> None:
    model, features = parse_cpuinfo("\n".join(f"{key}\t: {value}" for key, value in fields))
    assert model
    assert list(features) == sorted(set(features))


@given(st.text())
def test_any_meminfo_is_a_number_or_unknown(text: str) -> None:
    assert parse_memory(text) is None or isinstance(parse_memory(f"MemTotal: 12 kB\n{text}"), int)


@given(st.text(), st.text(), st.sampled_from(["jetson", "gpu", "cpu"]), st.integers(0, 2**50))
def test_any_device_has_a_safe_folder_name(name: str, model: str, kind: str, ram: int) -> None:
    graphics = gpu(model, "8.7") if kind != "cpu" else None
    slug = Device(kind, name, UNKNOWN, UNKNOWN, model, (), ram, graphics).slug
    assert 0 < len(slug) <= 60
    assert slug[0].isalnum()
    assert set(slug) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-")
    if graphics:
        assert slug.endswith("sm87")


class FakeDriver:
    """libcuda as its header describes it: 0 is success, results go through pointers."""

    def __init__(self, *, init: int = 0, devices: int = 1, broken_attribute: int | None = None) -> None:
        self.init, self.devices, self.broken = init, devices, broken_attribute
        self.attributes = {16: 8, 18: 1, 75: 8, 76: 7}

    def cuInit(self, flags: int) -> int:
        return self.init

    def cuDeviceGet(self, device: Any, ordinal: int) -> int:
        device._obj.value = 0
        return 0 if ordinal < self.devices else 101

    def cuDeviceGetName(self, name: Any, size: int, device: ctypes.c_int) -> int:
        name.value = b"Orin"
        return 0

    def cuDeviceTotalMem_v2(self, memory: Any, device: ctypes.c_int) -> int:
        memory._obj.value = 7 * 2**30
        return 0

    def cuDriverGetVersion(self, version: Any) -> int:
        version._obj.value = 12060
        return 0

    def cuDeviceGetAttribute(self, value: Any, which: int, device: ctypes.c_int) -> int:
        value._obj.value = self.attributes[which]
        return 1 if which == self.broken else 0


def test_the_driver_is_asked_for_its_first_device() -> None:
    assert probe_gpu(lambda name: FakeDriver()) == ORIN_GPU


@pytest.mark.parametrize(
    "driver",
    [
        pytest.param(FakeDriver(init=100), id="no device at cuInit"),
        pytest.param(FakeDriver(devices=0), id="no device visible"),
        pytest.param(FakeDriver(broken_attribute=16), id="an attribute cannot be read"),
    ],
)
def test_a_driver_without_a_usable_device_is_no_gpu(driver: FakeDriver) -> None:
    assert probe_gpu(lambda name: driver) is None


def test_no_driver_library_is_no_gpu() -> None:
    assert probe_gpu(lambda name: ctypes.CDLL("libjetsmith-is-not-there.so.1")) is None


@pytest.mark.gpu
def test_the_real_driver_answers() -> None:
    found = probe_gpu()
    assert found is not None
    assert found.name != UNKNOWN
    assert found.sm_count > 0
    assert float(found.compute_capability) >= 5
    assert found.memory_bytes > 2**30
