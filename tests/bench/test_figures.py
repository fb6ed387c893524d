"""Percentiles, rates and what one thing is against another."""

import pytest

from app.bench.comparison import Compared, compare
from app.bench.figures import Row, Started, figures_of, percentiles, thinned
from tests.bench.made import a_round, figures


def test_three_percentiles() -> None:
    found = percentiles([float(value) for value in range(101)])
    assert (found.p50, found.p90, found.p99) == (50, 90, 99)


def test_rounds_become_one_figure() -> None:
    rounds = [a_round((1, 7, 1), (1, 17, 1)), a_round((2, 5, 2), began_s=10.0)]
    found = figures_of("x", "X", Started(0.5, "", None, None), rounds, 5, watts=6.0)
    assert found.frames == 3
    assert found.stages["preprocess"].p50 == 1
    assert found.stages["inference"].p50 == 7
    assert found.p50 == 10
    assert found.per_second == pytest.approx(3 / 0.040)
    assert found.cpus == pytest.approx(0.5)
    assert found.joules_a_frame == pytest.approx(6.0 * 0.040 / 3)


def test_without_a_sensor_there_is_no_energy() -> None:
    assert figures().joules_a_frame is None


@pytest.mark.parametrize(("count", "most"), [(5, 10), (1000, 10)])
def test_thinned_rows_are_spread(count: int, most: int) -> None:
    rows = [Row(float(index), 0, 0, 0, 0) for index in range(count)]
    kept = thinned(rows, most)
    assert len(kept) == min(count, most)
    assert kept[0] is rows[0]
    assert kept[-1].at_s >= count - max(1, count / most)


@pytest.mark.parametrize(
    ("compared", "words"),
    [
        pytest.param(Compared("end to end", "ms", 40, 15), "2.7× faster", id="the guide's first row"),
        pytest.param(Compared("memory", "MB", 800, 400), "50% less", id="the guide's second row"),
        pytest.param(Compared("end to end", "ms", 15, 40), "2.7× slower", id="slower is said"),
        pytest.param(Compared("throughput", "frames/s", 10, 30, more_is_better=True), "3.0× faster", id="throughput"),
        pytest.param(Compared("start to first detection", "s", 9, 1), "9.0× sooner", id="start"),
        pytest.param(Compared("start to first detection", "s", 1, 9), "9.0× later", id="start, worse"),
        pytest.param(Compared("energy", "mJ", 100, 130), "30% more", id="more energy"),
        pytest.param(Compared("energy", "mJ", 100, 420), "4.2× as much", id="far more energy"),
        pytest.param(Compared("power", "W", 10, 10.2), "the same", id="no difference"),
        pytest.param(Compared("GPU memory", "MB", 700, 0), "none", id="no GPU memory at all"),
        pytest.param(Compared("power", "W", None, None), "", id="nobody tells"),
        pytest.param(Compared("power", "W", 10, None), "", id="half of it is not known"),
    ],
)
def test_a_factor_in_words(compared: Compared, words: str) -> None:
    assert compared.in_words == words


def test_pytorch_against_this_engine() -> None:
    torch = figures(5, 40, 5, name="pytorch", watts=12.0, rss=800_000_000, gpu=700_000_000, start_s=9.0)
    ours = figures(1, 15, 1, watts=6.0, rss=400_000_000, gpu=350_000_000, start_s=0.9)
    lines = {line.metric: line for line in compare(torch, ours, gpu="GPU memory")}
    assert lines["inference, p50"].factor == pytest.approx(40 / 15)
    assert lines["memory, peak"].in_words == lines["GPU memory"].in_words == lines["power"].in_words == "50% less"
    assert lines["energy a frame"].theirs == pytest.approx(12 * 51)
    assert lines["throughput"].factor == pytest.approx(51 / 18)
    assert "GPU memory" not in {line.metric for line in compare(torch, ours, gpu=None)}
