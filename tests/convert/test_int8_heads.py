"""INT8 with every head and with batches: calibrated, scored through ONNX Runtime, built by NVIDIA's builder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.convert.build import BuildOptions, build_engine
from app.convert.calibrate import calibrate_on
from app.convert.precision import typed_graph
from app.convert.verify import VerifyOptions, verify_engine
from app.engines.header import read_header
from app.progress import SilentReporter
from app.types import Backend, Head, Precision
from tests.command import SCENES


class Made:
    """A graph, and what calibration says of it."""

    def __init__(self, graph: Path, pictures: Path, work: Path) -> None:
        self.work, self.pictures, self.graph = work, pictures, graph
        self.ranges = calibrate_on(self.graph, str(pictures), work, SilentReporter())

    def figures(self, most: int) -> dict[str, Any]:
        typed = typed_graph(self.graph, Precision.INT8, self.work / "int8.onnx", self.ranges)
        paths = sorted(path for path in self.pictures.rglob("*") if path.suffix in (".jpg", ".png"))[:most]
        options = VerifyOptions(Backend.ONNXRUNTIME, Precision.INT8, tuple(paths), labelled=True)
        return verify_engine(typed, self.graph, options, self.work, SilentReporter())

    def built_batch(self) -> int:
        pytest.importorskip("tensorrt_rtx", reason="pip install tensorrt-rtx to build for real")
        options = BuildOptions(Backend.TENSORRT_RTX, Precision.INT8, 0.25, ranges=self.ranges)
        built = build_engine(self.graph, options, self.work, SilentReporter())
        assert built.precision is Precision.INT8
        return int(read_header(built.engine)[0]["batch"])


@pytest.mark.parametrize(
    ("head", "batch"), [pytest.param(Head.RAW, 2, id="raw, two"), pytest.param(Head.NMS, 2, id="nms, two")]
)
def test_batches_and_suppression_in_the_graph_keep_their_accuracy(
    head: Head, batch: int, exported: Callable[..., Path], tmp_path: Path
) -> None:
    made = Made(exported("demo-detect", batch=batch, head=head), SCENES / "detect", tmp_path)
    figures = made.figures(5)  # an odd number: the last batch is not full
    assert figures["labelled_pictures"] == 5
    assert figures["map50_95"] >= 0.98 * figures["map50_95_fp32"] > 0.8
    if head is Head.RAW:  # TensorRT for RTX refuses the other, before anything is done
        assert made.built_batch() == batch


@pytest.mark.slow
def test_the_end_to_end_head_keeps_its_accuracy(
    exported: Callable[..., Path], shared_data: Callable[[str], Path], tmp_path: Path
) -> None:
    graph = exported("yolov10n", (640, 640), head=Head.END2END)
    made = Made(graph, shared_data("images/coco64/images"), tmp_path)
    figures = made.figures(24)
    assert figures["map50_95"] >= 0.98 * figures["map50_95_fp32"] > 0.5
    assert made.built_batch() == 1
