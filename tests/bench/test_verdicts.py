"""Why it is slower than it should be."""

from dataclasses import replace

import pytest

from app.bench.conditions import Conditions
from app.bench.figures import Figures
from app.bench.verdicts import Model, needed_input, verdicts
from app.power import Clocks, Mode, Power
from app.types import Backend, Precision, Task
from tests.bench.made import CALM, conditions, figures

MODEL = Model(Task.DETECT, (640, 640), Backend.TENSORRT, Precision.FP16, has_gpu=True, frames_on_gpu=True)
ON_CPU = replace(MODEL, backend=Backend.ONNXRUNTIME, has_gpu=False, frames_on_gpu=False)
SQUARE = [(1000, 1000)]
GHZ = 1_000_000_000


def told(
    conditions: Conditions = CALM,
    model: Model = MODEL,
    ours: Figures | None = None,
    frames: list[tuple[int, int]] = SQUARE,
) -> list[str]:
    return [f"{found.what} → {found.remedy}" for found in verdicts(ours or figures(), model, conditions, frames)]


def test_where_all_is_well_nothing_is_said() -> None:
    assert told() == told(model=ON_CPU) == []


@pytest.mark.parametrize(
    ("seen", "line"),
    [
        pytest.param(
            {"power": Power("0", "15W", Mode("2", "MAXN_SUPER"))},
            "the power mode is 15W, and MAXN_SUPER is faster → sudo nvpmodel -m 2",
            id="power mode",
        ),
        pytest.param(
            {"gpu_limit_hz": 612_000_000, "gpu_top_hz": 1_020_000_000},
            "the GPU is held to 612 of 1020 MHz → a faster power mode, then sudo jetson_clocks",
            id="GPU limit",
        ),
        pytest.param(
            {"gpu_hz_at_work": 306_000_000, "gpu_limit_hz": GHZ, "gpu_top_hz": GHZ},
            "the GPU ran at 306 of 1000 MHz that it may → sudo jetson_clocks, on a Jetson",
            id="GPU clock dips",
        ),
        pytest.param(
            {"clocks": Clocks(None, None, None, 1_497_600_000, 1_728_000_000)},
            "the processor is held to 1498 of 1728 MHz → a faster power mode or governor",
            id="processor limit",
        ),
        pytest.param(
            {"throttled": ("cooling by cpufreq-cpu0",)},
            "cooling by cpufreq-cpu0 → better cooling: a fan, more air",
            id="too hot",
        ),
        pytest.param(
            {"throttled": ("the over-current protection stepped in 4 times",)},
            "the over-current protection stepped in 4 times → a stronger power supply, or a lower power mode",
            id="too little power",
        ),
        pytest.param(
            {"swapped_bytes": 120_000_000},
            "120 MB went to and from swap meanwhile → close other programs, or compare fewer: --compare none",
            id="swap",
        ),
        pytest.param(
            {"others_cpus": 1.7, "cpus": 2, "load_average": 9.9},
            "other programs kept 1.7 of 2 processors busy (load 9.9) → close them, and measure again",
            id="other load",
        ),
    ],
)
def test_each_condition_has_its_line(seen: dict[str, object], line: str) -> None:
    assert told(conditions(**seen)) == [line]


@pytest.mark.parametrize(
    "seen",
    [
        {"swapped_bytes": None, "others_cpus": None, "cpus": None, "throttled": None},
        {"swapped_bytes": 4096, "others_cpus": 0.3},
        {"gpu_hz_at_work": 950_000_000, "gpu_limit_hz": GHZ, "gpu_top_hz": GHZ},
        {"power": Power("unknown", "unknown", None)},
    ],
    ids=["unknown", "too little to count", "clock as it should be", "mode not told"],
)
def test_what_is_not_known_or_not_much_is_not_said(seen: dict[str, object]) -> None:
    assert told(conditions(**seen)) == []


def test_the_gravest_comes_first() -> None:
    lines = told(conditions(power=Power("0", "15W", Mode("2", "MAXN")), others_cpus=3.0, swapped_bytes=1 << 30))
    assert [line.split()[0] for line in lines] == ["the", "1074", "other"]


@pytest.mark.parametrize(
    ("ours", "model", "line"),
    [
        pytest.param(figures(8, 4, 1), MODEL, "preparing the frame takes 57% of the time → smaller frames", id="pre"),
        pytest.param(
            figures(1, 4, 9), MODEL, "reading the network's answer takes 60% of the time → a higher", id="post"
        ),
        pytest.param(
            figures(8, 4, 1),
            replace(MODEL, frames_on_gpu=False),
            "preparing the frame takes 57% of the time → frame_path: auto",
            id="the processor does what the GPU could",
        ),
    ],
)
def test_a_stage_beside_the_network_that_dominates(ours: Figures, model: Model, line: str) -> None:
    assert [found[: len(line)] for found in told(ours=ours, model=model)] == [line]


def test_stages_that_take_next_to_nothing_do_not_count() -> None:
    assert told(ours=figures(0.45, 0.01, 0.01)) == []


@pytest.mark.parametrize(
    ("model", "begins"),
    [
        pytest.param(replace(ON_CPU, has_gpu=True), "this engine runs on the processor, and there is a GPU", id="ORT"),
        pytest.param(replace(MODEL, precision=Precision.FP32), "this engine computes in FP32", id="FP32"),
    ],
)
def test_an_engine_that_uses_the_device_badly(model: Model, begins: str) -> None:
    assert [line.partition(" →")[0] for line in told(model=model)] == [begins]


@pytest.mark.parametrize(
    ("input_hw", "frames", "needed"),
    [
        pytest.param((640, 640), [(1080, 1920)], (384, 640), id="a video is flat: 360 rows of 640"),
        pytest.param((640, 640), [(1920, 1080)], (640, 384), id="a phone's stands"),
        pytest.param((640, 640), [(240, 320)], (256, 320), id="small frames are not made larger"),
        pytest.param((640, 640), [(1080, 1920), (1920, 1080)], (640, 640), id="both ways"),
        pytest.param((320, 320), [(4000, 4000)], (320, 320), id="square"),
        pytest.param((640, 640), [(1, 1)], (32, 32), id="a point"),
    ],
)
def test_how_large_an_input_is_needed(
    input_hw: tuple[int, int], frames: list[tuple[int, int]], needed: tuple[int, int]
) -> None:
    assert needed_input(input_hw, frames) == needed


def test_an_input_larger_than_needed_is_said_with_the_right_one() -> None:
    (line,) = told(frames=[(1080, 1920)])
    assert line == "40% of the input 640×640 shows nothing of these frames → jetsmith convert --imgsz 384 640"
    assert told(frames=[(1080, 1920)], model=replace(MODEL, task=Task.CLASSIFY)) == []
