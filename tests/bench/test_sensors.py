"""Power, heat, clocks and throttling, read from the files of boards; what nobody tells is not made up."""

from pathlib import Path

import pytest

from app.bench import conditions, nvml
from app.bench.load import Load, read_load
from app.bench.nvml import Nvml, opened_nvml
from app.bench.sensors import Sample, Sensors, whole
from app.bench.watch import Watch, between, measured_as, rails, watts
from tests.doubles.nvml_double import NvmlDouble

BOARDS = Path(__file__).parents[1] / "data" / "boards"


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def test_an_orin_nano_measures_its_input() -> None:
    found = Sensors(BOARDS / "orin-nano-jp62").read(0.0)
    assert found.watts == pytest.approx({"VDD_IN": 7.4592, "VDD_CPU_GPU_CV": 2.61664, "VDD_SOC": 1.529728})
    total = whole(found.watts)
    assert total is not None
    assert total[0] == pytest.approx(7.4592)
    assert total[1] == "VDD_IN"


def test_an_agx_orin_has_rails_and_no_input() -> None:
    found = Sensors(BOARDS / "agx-orin-jp72").read(0.0)
    assert set(found.watts) == {"VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0", "VDDQ_VDD2_1V8AO"}
    total = whole(found.watts)
    assert total is not None
    assert total[0] == pytest.approx(5.04768 + 1.37664 + 4.0256 + 0.723456)
    assert total[1] == "sum of VDDQ_VDD2_1V8AO, VDD_CPU_CV, VDD_GPU_SOC, VIN_SYS_5V0"


def test_a_thor_measures_its_input_and_its_gpu_is_not_counted_twice() -> None:
    library = NvmlDouble(milliwatts=20_000)
    found = Sensors(BOARDS / "agx-thor-jp70", Nvml(library, "gpu0")).read(0.0)
    assert set(found.watts) == {"VIN", "VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0"}
    total = whole(found.watts)
    assert total is not None
    assert total[0] == pytest.approx(61.5)
    assert total[1] == "VIN"


def test_a_pc_counts_the_joules_of_its_packages() -> None:
    found = Sensors(BOARDS / "x86-xeon").read(0.0)
    assert found.joules == pytest.approx({"package-0": 48123.456789, "package-1": 47123.456789})
    assert found.watts == {}


def test_where_the_whole_machine_is_counted_its_parts_are_not(tmp_path: Path) -> None:
    for number, name in enumerate(("package-0", "psys")):
        write(tmp_path, f"sys/class/powercap/intel-rapl:{number}/name", f"{name}\n")
        write(tmp_path, f"sys/class/powercap/intel-rapl:{number}/energy_uj", "1000000\n")
    assert Sensors(tmp_path).read(0.0).joules == {"psys": 1.0}


def test_heat_cooling_and_over_current() -> None:
    found = Sensors(BOARDS / "orin-nano-jp62").read(0.0)
    assert found.celsius == {"cpu-thermal": 52.312, "gpu-thermal": 53.781, "tj-thermal": 53.781}  # cv0 is off
    assert found.cooling == frozenset()  # the fan turns, which slows nothing
    assert found.events == {f"hwmon/hwmon0/oc{number}_event_cnt": number**2 - 1 for number in (1, 2, 3)}
    assert found.tells_of_throttling
    assert (found.gpu_hz, found.gpu_limit_hz, found.gpu_top_hz) == (306_000_000, 612_000_000, 1_020_000_000)


def test_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    found = Sensors(tmp_path).read(1.5)
    assert found == Sample(1.5)
    assert whole(found.watts) is None
    assert conditions.throttled([found]) is None
    assert conditions.hottest([found]) is None


def test_values_that_are_none_are_left_out(tmp_path: Path) -> None:
    hwmon = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1"
    for name, text in {"in1_label": "VDD_IN", "in1_input": "", "curr1_input": "12", "in2_label": "\n"}.items():
        write(tmp_path, f"{hwmon}/{name}", text)
    write(tmp_path, "sys/class/thermal/thermal_zone0/type", "cpu-thermal")
    write(tmp_path, "sys/class/thermal/thermal_zone0/temp", "hot")
    found = Sensors(tmp_path).read(0.0)
    assert (found.watts, found.celsius) == ({}, {})


# --- what was seen while it was watched ---


def test_throttling_is_what_grew_or_was_on() -> None:
    first = Sample(
        0, events={"hwmon0/oc3_event_cnt": 8, "thermal_throttle/core_throttle_count": 1}, tells_of_throttling=True
    )
    last = Sample(
        1, cooling=frozenset({"cpufreq-cpu0"}), reasons=frozenset({"its temperature"}), tells_of_throttling=True
    )
    grown = {"hwmon0/oc3_event_cnt": 11, "thermal_throttle/core_throttle_count": 2}
    assert conditions.throttled([first, first]) == ()
    assert conditions.throttled([first, last, Sample(2, events=grown)]) == (
        "the GPU was slowed by its temperature",
        "cooling by cpufreq-cpu0",
        "the over-current protection stepped in 3 times",
        "processors were slowed by heat 1 times",
    )


def test_the_clock_at_work_is_that_of_the_rounds() -> None:
    samples = [Sample(float(at), gpu_hz=hertz) for at, hertz in enumerate([100, 900, 1000, 900, 100])]
    assert conditions.clock_at_work(samples, [(0.5, 3.5)]) == 900
    assert conditions.clock_at_work(samples, [(7.0, 8.0)]) is None


def test_power_is_measured_in_the_rounds_of_a_program_alone() -> None:
    drawn = [5.0, 5.0, 10.0, 12.0, 20.0, 20.0, 20.0]
    samples = [Sample(float(at), watts={"VDD_IN": value, "VDD_SOC": 1.0}) for at, value in enumerate(drawn)]
    assert watts(samples, [(1.5, 3.5)]) == pytest.approx(11.0)
    assert watts(samples, [(0.0, 1.0), (3.5, 6.5)]) == pytest.approx((5.0 * 1 + 20.0 * 3) / 4)
    assert watts(samples, [(20.0, 21.0)]) is None
    assert measured_as(samples) == "VDD_IN"


def test_counters_are_power_by_their_growth() -> None:
    samples = [Sample(float(at), watts={"GPU": 50.0}, joules={"package-0": 100.0 + 30 * at}) for at in range(4)]
    assert rails(samples) == pytest.approx({"GPU": 50.0, "package-0": 30.0})
    assert watts(samples, [(0.0, 3.0)]) == pytest.approx(80.0)
    wrapped = [Sample(0.0, joules={"package-0": 262143.0}), Sample(1.0, joules={"package-0": 5.0})]
    assert rails(wrapped) == {}


def test_a_watch_reads_while_others_work() -> None:
    with Watch(Sensors(BOARDS / "orin-nano-jp62"), 0.0, every_s=0.001) as watch:
        while len(watch.samples) < 5:
            pass
    assert len(between(watch.samples, 0.0, float("inf"))) == len(watch.samples) >= 6
    assert [sample.at_s for sample in watch.samples] == sorted(sample.at_s for sample in watch.samples)


# --- NVML ---


def test_a_card_tells_by_nvml(tmp_path: Path) -> None:
    library = NvmlDouble(milliwatts=123_400, celsius=61, reasons=0x24, mhz=1500, top_mhz=1980)
    found = Sensors(tmp_path, Nvml(library, "gpu0")).read(0.0)
    assert found.watts == {"GPU": 123.4}
    assert found.celsius == {"GPU": 61.0}
    assert (found.gpu_hz, found.gpu_limit_hz, found.gpu_top_hz) == (1_500_000_000, None, 1_980_000_000)
    assert found.reasons == frozenset({"its power limit", "its temperature"})


@pytest.mark.parametrize(
    ("library", "is_there"),
    [
        pytest.param(None, False, id="no binding"),
        pytest.param(NvmlDouble(loads=False), False, id="no driver"),
        pytest.param(NvmlDouble(gpus=0), False, id="no card"),
        pytest.param(NvmlDouble(used=700_000_000), True, id="a card"),
    ],
)
def test_nvml_is_used_where_it_is(library: NvmlDouble | None, is_there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvml, "_library", lambda: library)
    with opened_nvml() as found:
        assert (found is not None) is is_there
        if found is not None:
            assert found.memory_used() == 700_000_000
            assert found.read().watts is None
    assert library is None or library.open == 0


# --- load and swap ---


def test_load_is_read(tmp_path: Path) -> None:
    write(
        tmp_path, "proc/stat", "cpu  100 20 30 4000 500 6 7 8 9 0\ncpu0 50 10 15 0 0 0 0 0\ncpu1 50 10 15 0 0 0 0 0\n"
    )
    write(tmp_path, "proc/loadavg", "13.24 10.54 8.65 16/270 879\n")
    write(tmp_path, "proc/vmstat", "nr_free_pages 5\npswpin 10\npswpout 30\n")
    write(tmp_path, "proc/meminfo", "MemTotal: 8 kB\nMemAvailable: 5000 kB\nSwapTotal: 4000 kB\nSwapFree: 1000 kB\n")
    found = read_load(tmp_path)
    assert found.cpus == 2
    assert found.busy_s == pytest.approx(1.71)  # at 100 ticks a second
    assert (found.average, found.swapped_bytes, found.swap_used_bytes) == (13.24, 40 * 4096, 3000 * 1024)
    assert found.available_bytes == 5_120_000


def test_a_proc_that_tells_nothing(tmp_path: Path) -> None:
    assert read_load(tmp_path) == Load(None, None, None, None, None, None)


def at(busy_s: float | None, swapped: int | None = 0) -> Load:
    return Load(2, busy_s, None, swapped, None, None)


def test_what_others_took_is_what_was_not_ours() -> None:
    assert conditions.others_cpus(at(100.0), at(130.0), 20.0, 10.0) == pytest.approx(1.0)
    assert conditions.others_cpus(at(100.0), at(109.0), 20.0, 10.0) == 0.0  # within what ticks can tell
    assert conditions.others_cpus(at(0.0), at(0.0), 20.0, 10.0) is None  # a sandbox's
    assert conditions.others_cpus(at(None), at(5.0), 20.0, 10.0) is None
    assert conditions.swapped(at(0.0, 4096), at(0.0, 12288)) == 8192
    assert conditions.swapped(at(0.0, None), at(0.0, 12288)) is None
