"""INT8 as pairs of QuantizeLinear and DequantizeLinear: where they stand, and what they lose."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from app.convert.half_graph import to_half
from app.convert.precision import check_graph, typed_graph, weakly_typed_graph
from app.convert.quantise import LEVELS, head, quantised, sites, weight_steps
from app.errors import PrecisionFailed
from app.runtime.onnxruntime import OnnxRuntimeRunner
from app.types import Precision
from tests import onnx_graphs

LARGEST = 6.0


def _ranges(model: ModelProto) -> dict[str, float]:
    return {site.node: LARGEST for site in sites(model)}


def _nodes(model: ModelProto, *operators: str) -> list[NodeProto]:
    return [node for node in model.graph.node if node.op_type in operators]


def _constants(model: ModelProto) -> dict[str, npt.NDArray[Any]]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


GRAPHS = [
    pytest.param(lambda: onnx_graphs.detector(), id="fp32"),
    pytest.param(lambda: to_half(onnx_graphs.detector()).model, id="fp16"),
]


def test_the_stem_and_the_heads_branches_stay_out() -> None:
    model = onnx_graphs.detector()
    assert [(site.node, site.reads) for site in sites(model)] == [("body", "stem_act"), ("mix", "joined")]
    assert {model.graph.node[index].name for index in head(model.graph)} == {"box", "score"}


def _conv(name: str, source: str, target: str) -> NodeProto:
    return helper.make_node("Conv", [source, "w"], [target], name)


def _silu(name: str, source: str, target: str) -> list[NodeProto]:
    return [
        helper.make_node("Sigmoid", [source], [f"{name}_gate"], f"{name}_gate"),
        helper.make_node("Mul", [source, f"{name}_gate"], [target], name),
    ]


def test_a_branch_is_followed_up_to_the_level_that_it_shares() -> None:
    nodes = [
        _conv("stem", "images", "s"),
        _conv("level", "s", "p"),
        *_silu("level_act", "p", "level_out"),
        _conv("box_0", "level_out", "b0"),
        *_silu("box_0_act", "b0", "b0_out"),
        _conv("box_1", "b0_out", "output0"),
        _conv("score_0", "level_out", "c0"),
        *_silu("score_0_act", "c0", "c0_out"),
        _conv("score_1", "c0_out", "output1"),
    ]
    weights = np.ones((3, 3, 1, 1), np.float32)
    outputs = {"output0": [1, 3, 64, 64], "output1": [1, 3, 64, 64]}
    model = onnx_graphs.model_of(nodes, {"w": weights}, outputs=outputs)
    found = {model.graph.node[index].name for index in head(model.graph)}
    assert found == {
        "box_0", "box_0_act", "box_0_act_gate", "box_1", "score_0", "score_0_act", "score_0_act_gate", "score_1",
    }  # fmt: skip
    assert [site.node for site in sites(model)] == ["level"]


@pytest.mark.parametrize("graph", GRAPHS)
def test_only_named_layers_change_and_their_biases_stay_floats(graph: Callable[[], ModelProto]) -> None:
    before = graph()
    after = quantised(before, {"body": LARGEST, "mix": LARGEST})
    constants = _constants(after)
    old, new = ({node.name: node for node in model.graph.node} for model in (before, after))
    for name, node in old.items():
        kept = list(node.input)[2:] if name in ("body", "mix") else list(node.input)
        assert list(new[name].input)[-len(kept) :] == kept, name
    for name in ("body", "mix"):
        assert constants[new[name].input[2]].dtype in (np.float32, np.float16)
    assert not [tensor for tensor in after.graph.initializer if tensor.data_type == TensorProto.INT32]
    assert all(np.any(constants[node.input[1]] > 0) for node in _nodes(after, "QuantizeLinear", "DequantizeLinear"))


@pytest.mark.parametrize("graph", GRAPHS)
def test_pairs_are_symmetric_per_channel_for_weights_and_of_the_layers_own_type(
    graph: Callable[[], ModelProto],
) -> None:
    model = quantised(graph(), {"body": LARGEST, "mix": LARGEST})
    constants = _constants(model)
    kind = constants[next(node for node in model.graph.node if node.name == "body").input[2]].dtype
    pairs = _nodes(model, "QuantizeLinear")
    assert len(pairs) == len(_nodes(model, "DequantizeLinear")) == 4
    for pair in pairs:
        steps, zeros = constants[pair.input[1]], constants[pair.input[2]]
        assert steps.dtype == kind
        assert zeros.dtype == np.int8
        assert not zeros.any()
        assert (steps > 0).all()
        weighs = pair.input[0] in constants
        assert steps.shape == ((16,) if weighs else ())
        assert [(a.name, a.i) for a in pair.attribute] == ([("axis", 0)] if weighs else [])


def test_a_tensor_that_two_layers_read_has_one_pair() -> None:
    nodes = [
        _conv("stem", "images", "s"),
        _conv("left", "s", "l"),
        _conv("right", "s", "r"),
        helper.make_node("Add", ["l", "r"], ["sum"], "sum"),
        _conv("last", "sum", "output0"),
    ]
    model = onnx_graphs.model_of(nodes, {"w": np.ones((3, 3, 1, 1), np.float32)}, outputs={"output0": [1, 3, 64, 64]})
    after = quantised(model, _ranges(model))
    assert [node.input[0] for node in _nodes(after, "QuantizeLinear")] == ["s", "w"]


@pytest.mark.parametrize("write", [pytest.param(typed_graph, id="typed"), pytest.param(weakly_typed_graph, id="flags")])
def test_int8_says_nearly_the_same_and_keeps_inputs_and_outputs_fp32(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    source = onnx_graphs.save(onnx_graphs.detector(), tmp_path / "detector.onnx")
    path = write(source, Precision.INT8, tmp_path / "int8.onnx", _ranges(onnx_graphs.detector()))
    graph = check_graph(path).graph
    assert {info.type.tensor_type.elem_type for info in [*graph.input, *graph.output]} == {TensorProto.FLOAT}
    images = np.random.default_rng(1).random((1, 3, 64, 64), dtype=np.float32)
    answers = []
    for each in (source, path):
        with OnnxRuntimeRunner(each, threads=1) as runner:
            answers.append(runner.infer({"images": images})["output0"])
    assert 0 < np.abs(answers[0] - answers[1])[:, :4].max() < 1.0  # pixels
    assert np.abs(answers[0] - answers[1])[:, 4:].max() < 0.02


def test_the_same_graph_gives_the_same_bytes() -> None:
    model = onnx_graphs.detector()
    first, second = (quantised(model, _ranges(model)).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second


def test_flags_need_no_newer_operators(tmp_path: Path) -> None:
    model = onnx_graphs.detector()
    assert quantised(model, _ranges(model)).opset_import[0].version == model.opset_import[0].version
    assert quantised(to_half(model).model, _ranges(model)).opset_import[0].version >= 19


def test_an_older_graph_is_raised_to_the_operators_that_take_fp16(tmp_path: Path) -> None:
    model = onnx_graphs.detector()
    model.opset_import[0].version = 17
    source = onnx_graphs.save(model, tmp_path / "old.onnx")
    path = typed_graph(source, Precision.INT8, tmp_path / "int8.onnx", _ranges(model))
    assert {entry.key for entry in onnx.load(path).metadata_props} == set(onnx_graphs.METADATA)


def test_no_ranges_are_refused(tmp_path: Path) -> None:
    source = onnx_graphs.save(onnx_graphs.detector(), tmp_path / "detector.onnx")
    with pytest.raises(PrecisionFailed, match="calibration"):
        typed_graph(source, Precision.INT8, tmp_path / "int8.onnx", {})


WEIGHTS = hnp.arrays(
    np.float32, hnp.array_shapes(min_dims=4, max_dims=4, max_side=4), elements=st.floats(-8, 8, width=32)
)


@given(weights=WEIGHTS)
def test_weights_lose_at_most_half_a_step_of_their_channel(weights: npt.NDArray[np.float32]) -> None:
    steps = weight_steps(weights, 0)
    assert steps.shape == weights.shape[:1]
    assert (steps > 0).all()
    wide = steps.reshape(-1, 1, 1, 1)
    integers = np.rint(weights / wide)
    assert np.abs(integers).max() <= LEVELS
    assert (np.abs(integers * wide - weights) <= wide * 0.5001).all()
