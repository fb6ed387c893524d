"""How large inner tensors grow on pictures."""

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.convert import calibration
from app.convert.calibration import Histogram, calibrate
from app.errors import PrecisionFailed
from app.runtime.onnxruntime import OnnxRuntimeRunner
from app.vision.preprocess import letterbox_into


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    random = np.random.default_rng(3)
    paths = [tmp_path / f"{index}.png" for index in range(3)]
    for path in paths:
        cv2.imwrite(str(path), random.integers(0, 256, (64, 64, 3), np.uint8))
    return paths


@given(st.lists(st.just(0.0) | st.floats(2**-20, 1000, width=32), min_size=1, max_size=60), st.integers(1, 4))
def test_percentiles_are_right_to_a_bin_in_whatever_portions_values_come(values: list[float], portions: int) -> None:
    histogram = Histogram()
    for portion in np.array_split(np.array(values, np.float32), portions):
        histogram.add(portion)
    assert histogram.counts.sum() == len(values)
    largest = max(values)
    assert largest * 0.999 <= histogram.percentile(100) <= largest * 1.001 + 1e-30
    middle = np.percentile(values, 50, method="inverted_cdf")
    assert abs(histogram.percentile(50) - middle) <= largest / 1000


def test_the_sign_does_not_count_and_zeros_have_no_range() -> None:
    histogram = Histogram()
    histogram.add(np.zeros(5, np.float32))
    assert histogram.percentile(99) == 0
    histogram.add(np.array([-4, 1], np.float32))
    assert histogram.percentile(100) == pytest.approx(4, rel=1e-3)


def test_rare_giants_leave_few_steps_to_the_rest() -> None:
    random = np.random.default_rng(0)
    even, spiky = Histogram(), Histogram()
    values = random.normal(0, 1, 100_000).astype(np.float32)
    even.add(values)
    spiky.add(np.append(values, 200).astype(np.float32))
    assert even.decibels(even.percentile(100)) > 30 > spiky.decibels(spiky.percentile(100))


def test_ranges_are_the_largest_input_of_each_layer(
    detector: Path, pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "PERCENT", 100.0)
    monkeypatch.setattr(calibration, "_AT_ONCE", 1)  # a pass for each tensor
    fractions: list[float] = []
    ranges = calibrate(detector, pictures, tmp_path, fractions.append, pytest.fail)
    assert set(ranges) == {"body", "mix"}
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    largest = 0.0
    model = onnx.shape_inference.infer_shapes(onnx.load(detector))
    graph = calibration._with_outputs(model, ["stem_act"], tmp_path / "listening.onnx")
    with OnnxRuntimeRunner(graph) as runner:
        for path in pictures:
            slot = np.zeros((1, 3, 64, 64), np.float32)
            picture = cv2.imread(str(path))
            letterbox_into(slot[0], np.asarray(picture, np.uint8))
            largest = max(largest, float(np.abs(runner.infer({"images": slot})["stem_act"]).max()))
    assert ranges["body"] == pytest.approx(largest, rel=1e-3)
    assert not (tmp_path / "calibration.onnx").exists()


def test_pictures_that_cannot_be_read_are_named_and_left_out(
    detector: Path, pictures: list[Path], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    warnings: list[str] = []
    assert calibrate(detector, [*pictures, bad], tmp_path, lambda _: None, warnings.append)
    assert len(warnings) == 1
    assert "bad.png" in warnings[0]
    with pytest.raises(PrecisionFailed, match="None of the 1 calibration pictures"):
        calibrate(detector, [bad], tmp_path, lambda _: None, warnings.append)
