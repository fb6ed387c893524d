import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper

from app.convert.half_graph import to_half
from app.convert.precision import check_graph, fp32_layers, typed_graph
from app.errors import PrecisionFailed
from app.runtime.onnxruntime import OnnxRuntimeRunner
from app.types import Precision
from tests import onnx_graphs


def _run(path: Path, images: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[np.float32]]:
    with OnnxRuntimeRunner(path, threads=1) as runner:
        return {name: values.copy() for name, values in runner.infer({"images": images}).items()}


def _noise(shape: tuple[int, ...] = (1, 3, 64, 64)) -> npt.NDArray[np.float32]:
    return np.random.default_rng(1).random(shape, dtype=np.float32)


def test_fp32_builds_from_the_exported_graph_itself(detector: Path, tmp_path: Path) -> None:
    assert typed_graph(detector, Precision.FP32, tmp_path / "typed.onnx") == detector


def test_fp16_keeps_inputs_and_outputs_fp32_and_says_the_same(detector: Path, tmp_path: Path) -> None:
    typed = typed_graph(detector, Precision.FP16, tmp_path / "typed.onnx")
    graph = onnx.load(typed).graph
    kinds = {info.type.tensor_type.elem_type for info in [*graph.input, *graph.output]}
    assert kinds == {TensorProto.FLOAT}
    exact, half = _run(detector, _noise())["output0"], _run(typed, _noise())["output0"]
    assert 0 < np.abs(exact - half)[:, :4].max() < 0.1  # pixels
    assert np.abs(exact - half)[:, 4:].max() < 1e-3


def test_the_stem_and_all_behind_the_predicting_layers_stay_fp32() -> None:
    result = to_half(onnx_graphs.detector())
    assert set(result.half) == {
        "body", "body_sigmoid", "body_silu", "pool", "resize", "join",
        "mix", "mix_sigmoid", "mix_silu", "box", "score",
    }  # fmt: skip
    assert {"stem", "stem_silu", "softmax", "dfl", "pixels", "score_sigmoid", "output"} <= set(result.kept)


def test_the_same_graph_gives_the_same_bytes(detector: Path, tmp_path: Path) -> None:
    first = typed_graph(detector, Precision.FP16, tmp_path / "a.onnx").read_bytes()
    assert first == typed_graph(detector, Precision.FP16, tmp_path / "b.onnx").read_bytes()


def test_scales_of_a_resize_stay_fp32_as_onnx_demands() -> None:
    graph = to_half(onnx_graphs.detector()).model.graph
    scales = next(tensor for tensor in graph.initializer if tensor.name == "scales")
    assert scales.data_type == TensorProto.FLOAT


def test_weights_beyond_the_range_of_fp16_stay_fp32_with_their_layer(tmp_path: Path) -> None:
    model = onnx_graphs.detector()
    weights = next(tensor for tensor in model.graph.initializer if tensor.name == "mix_w")
    values = onnx.numpy_helper.to_array(weights).copy()
    values[0, 0] = 1e5
    weights.CopyFrom(onnx.numpy_helper.from_array(values, "mix_w"))
    assert "mix" in to_half(model).kept
    source = onnx_graphs.save(model, tmp_path / "large.onnx")
    typed = typed_graph(source, Precision.FP16, tmp_path / "typed.onnx")
    assert np.isfinite(_run(typed, _noise())["output0"]).all()


def _conv(name: str, source: str, target: str) -> onnx.NodeProto:
    return helper.make_node("Conv", [source, "w"], [target], name)


def _condition() -> onnx.NodeProto:
    """An If whose branches read a tensor of the graph around them."""
    branches = [
        helper.make_graph(
            [helper.make_node(operator, ["b"], [f"{operator}_out"])],
            operator,
            [],
            [helper.make_tensor_value_info(f"{operator}_out", TensorProto.FLOAT, [1, 3, 8, 8])],
        )
        for operator in ("Relu", "Neg")
    ]
    return helper.make_node("If", ["yes"], ["chosen"], "if", then_branch=branches[0], else_branch=branches[1])


SHAPES = [
    pytest.param(
        [_conv("a", "images", "a"), _conv("b", "a", "b"), _conv("c", "b", "output0")],
        ["output0"],
        {"b", "c"},
        id="chain",
    ),
    pytest.param(
        [_conv("a", "images", "a"), _conv("b", "a", "output1"), _conv("c", "output1", "output0")],
        ["output0", "output1"],
        {"b", "c"},
        id="an-output-that-is-read-inside-too",
    ),
    pytest.param(
        [
            _conv("a", "images", "a"),
            _conv("b", "a", "b"),
            _condition(),
            _conv("d", "b", "d"),
            helper.make_node("Add", ["chosen", "d"], ["sum"], "sum"),
            _conv("e", "sum", "output0"),
        ],
        ["output0"],
        {"b", "d", "sum", "e"},
        id="subgraphs-that-read-around-them",
    ),
    pytest.param(
        [
            _conv("a", "images", "a"),
            _conv("b", "a", "b"),
            helper.make_node("Constant", [], ["k"], "k", value_float=0.5),
            helper.make_node("Mul", ["b", "k"], ["scaled"], "scale"),
            helper.make_node("Shape", ["b"], ["shape"], "shape"),
            helper.make_node("Reshape", ["scaled", "shape"], ["back"], "back"),
            _conv("c", "back", "output0"),
        ],
        ["output0"],
        {"b", "scale", "back", "c"},
        id="constants-and-shapes",
    ),
    pytest.param(
        [
            _conv("a", "images", "a"),
            _conv("b", "a", "b_half"),
            _conv("c", "b_half", "b"),
            helper.make_node("Add", ["b", "b_half"], ["output0"], "add"),
        ],
        ["output0"],
        {"b", "c"},
        id="names-that-are-taken",
    ),
]


@pytest.mark.parametrize(("nodes", "outputs", "half"), SHAPES)
def test_graphs_of_every_shape_stay_valid(
    nodes: list[onnx.NodeProto], outputs: list[str], half: set[str], tmp_path: Path
) -> None:
    weights = np.random.default_rng(0).normal(0, 0.5, (3, 3, 1, 1)).astype(np.float32)
    model = onnx_graphs.model_of(
        nodes,
        {"w": weights, "yes": np.array(True)},
        shape=(1, 3, 8, 8),
        outputs={name: [1, 3, 8, 8] for name in outputs},
    )
    source = onnx_graphs.save(model, tmp_path / "graph.onnx")
    assert set(to_half(model).half) == half
    typed = typed_graph(source, Precision.FP16, tmp_path / "typed.onnx")
    images = _noise((1, 3, 8, 8))
    for name, values in _run(typed, images).items():
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, _run(source, images)[name], atol=5e-3)


def test_int8_without_calibration_is_refused_with_what_to_do(detector: Path, tmp_path: Path) -> None:
    with pytest.raises(PrecisionFailed, match="calibration") as caught:
        typed_graph(detector, Precision.INT8, tmp_path / "typed.onnx")
    assert "calibration.images" in caught.value.hint


def test_a_graph_without_a_layer_for_fp16_is_refused(tmp_path: Path) -> None:
    model = onnx_graphs.model_of(
        [helper.make_node("Sin", ["images"], ["output0"], "sin")], {}, outputs={"output0": [1, 3, 64, 64]}
    )
    with pytest.raises(PrecisionFailed, match="no layer"):
        typed_graph(onnx_graphs.save(model, tmp_path / "a.onnx"), Precision.FP16, tmp_path / "b.onnx")


def _broken(change: Callable[[ModelProto], object]) -> bytes:
    model = onnx_graphs.detector()
    change(model)
    data: bytes = model.SerializeToString()
    return data


BROKEN = [
    pytest.param(b"", "broken.onnx", id="empty"),
    pytest.param(b"<html>not found</html>", "no valid ONNX", id="html"),
    pytest.param(_broken(lambda model: None)[:3000], "no valid ONNX", id="truncated"),
    pytest.param(_broken(lambda m: m.graph.node.insert(0, m.graph.node[5])), "no valid ONNX", id="unsorted"),
    pytest.param(_broken(lambda m: setattr(m.graph.node[3], "op_type", "Fold")), "Fold", id="unknown-operator"),
    pytest.param(_broken(lambda m: m.graph.node[14].input.pop()), "Reshape", id="missing-input"),
    pytest.param(_broken(lambda m: m.ClearField("metadata_props")), "metadata", id="no-metadata"),
    pytest.param(
        _broken(lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[0], "dim_param", "n")),
        "static",
        id="dynamic-shape",
    ),
]


@pytest.mark.parametrize(("data", "says"), BROKEN)
def test_an_invalid_graph_is_refused_with_its_name(data: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(data)
    with pytest.raises(PrecisionFailed, match=says) as caught:
        check_graph(path)
    assert "broken.onnx" in caught.value.message
    assert caught.value.hint


def test_a_missing_graph_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PrecisionFailed, match=r"absent\.onnx"):
        check_graph(tmp_path / "absent.onnx")


def test_flag_driven_libraries_are_told_the_same_fp32_layers(detector: Path) -> None:
    assert fp32_layers(detector) == set(to_half(onnx.load(detector)).kept)


# --- real weights: how far FP16 moves what a model says ---


def _pictures(root: Path) -> list[npt.NDArray[np.float32]]:
    paths = [*sorted((root / "coco8-pose").rglob("*.jpg")), root / "photos/ultralytics_bus.jpg"]
    tensors = []
    for path in paths:
        picture = cv2.resize(cv2.imread(os.fspath(path)), (320, 320))[None, ..., ::-1]
        tensors.append(np.ascontiguousarray(picture.transpose(0, 3, 1, 2), np.float32) / np.float32(255))
    return tensors


# Pixels at 320×320, of every anchor more than 25 % sure: before suppression, so weak and doubtful ones take part.
DRIFT = [
    pytest.param("yolov8n", 80, 0, 0.3, 0.0, id="yolov8n"),
    pytest.param("yolo11n-seg", 80, 0, 0.3, 0.0, id="yolo11n-seg", marks=pytest.mark.slow),
    pytest.param("yolo11n-pose", 1, 17, 0.3, 0.5, id="yolo11n-pose", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "classes", "points", "box_px", "point_px"), DRIFT)
def test_fp16_moves_real_detections_by_less_than_half_a_pixel(
    name: str,
    classes: int,
    points: int,
    box_px: float,
    point_px: float,
    exported: Callable[[str], Path],
    shared_data: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    source = exported(name)
    typed = typed_graph(source, Precision.FP16, tmp_path / "typed.onnx")
    moved, moved_points = [], []
    with OnnxRuntimeRunner(source, threads=1) as exact, OnnxRuntimeRunner(typed, threads=1) as half:
        for images in _pictures(shared_data("images")):
            expected, actual = (runner.infer({"images": images})["output0"][0] for runner in (exact, half))
            difference = np.abs(expected - actual)
            sure = expected[4 : 4 + classes].max(0) > 0.25
            moved.append(difference[:4, sure].ravel())
            values = difference[4 + classes : 4 + classes + 3 * points]  # x, y, confidence of each keypoint
            moved_points.append(np.concatenate([values[0::3, sure], values[1::3, sure]], axis=None))
    boxes = np.concatenate(moved)
    assert boxes.size > 60
    assert np.percentile(boxes, 99) < box_px
    if points:
        assert np.percentile(np.concatenate(moved_points), 99) < point_px
