"""
INT8 as explicit QuantizeLinear/DequantizeLinear pairs around the layers that gain from it.

Symmetric: activations share one step a tensor, weights one an output channel; biases stay floats, since TensorRT's
parser refuses them as integers. Pairs stand at the inputs of convolutions and matrix products with constant weights,
which is where TensorRT looks for them: it moves each pair backwards itself over concatenations, pooling and
resizing, so these need none of their own.

Left out, because they cost accuracy and hold little of the arithmetic: the layer that reads the picture, and the
head's branches, whose outputs are the answers.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from app.convert.half_graph import LEARNED, float_tensors, half_nodes, is_activation, is_body, tail

LEVELS = 127  # -128 is not used: its mirror image does not exist
_FLOAT16_OPSET, _FLOAT16_IR = 19, 9  # the first whose QuantizeLinear takes FP16
_SMALLEST_STEP = float(np.finfo(np.float16).smallest_normal)  # below it FP16 loses bits of the step itself
_AXIS = {"Conv": 0}  # of the output channels; MatMul and Gemm get one step a tensor


@dataclass(frozen=True)
class Site:
    """A layer that computes in INT8, and the tensor whose range it needs."""

    node: str
    reads: str


def sites(model: ModelProto) -> tuple[Site, ...]:
    """The layers of a checked FP32 graph that compute in INT8, in the graph's order."""
    graph = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True).graph
    constants = {tensor.name for tensor in graph.initializer}
    left_out = head(graph)
    names = Counter(node.name for node in graph.node)
    return tuple(
        Site(graph.node[index].name, graph.node[index].input[0])
        for index in sorted(half_nodes(graph, float_tensors(graph)) - left_out)
        if graph.node[index].op_type in ("Conv", "Gemm", "MatMul")
        and graph.node[index].input[1] in constants
        and graph.node[index].input[0] not in constants
        and names[graph.node[index].name] == 1
    )


def head(graph: GraphProto) -> frozenset[int]:
    """
    The positions of the nodes of the branches that end in the graph's last learned layers.

    A branch is followed upwards for as long as nothing else reads what it passes on; it begins where the pyramid's
    level is shared with another branch, or where several tensors meet.
    """
    producer = {name: index for index, node in enumerate(graph.node) for name in node.output}
    readers = _readers(graph)
    found: set[int] = set()
    for last in _last_learned(graph, producer, readers):
        found.update(_branch(graph, last, producer, readers))
    return frozenset(found)


def _readers(graph: GraphProto) -> dict[str, set[int]]:
    readers: dict[str, set[int]] = defaultdict(set)
    for index, node in enumerate(graph.node):
        for name in node.input:
            readers[name].add(index)
    return readers


def _last_learned(graph: GraphProto, producer: Mapping[str, int], readers: Mapping[str, set[int]]) -> Iterator[int]:
    """Learned layers behind which, their own activation apart, there is only the tail."""
    behind = set(tail(graph))
    for index in reversed(range(len(graph.node))):
        node = graph.node[index]
        if index in behind or (not is_body(graph, index, producer) and node.op_type != "Sigmoid"):
            continue
        after = {reader for name in node.output for reader in readers.get(name, ())}
        if not after <= behind:
            continue
        if node.op_type in LEARNED:
            yield index
        else:
            behind.add(index)


def _branch(
    graph: GraphProto, last: int, producer: Mapping[str, int], readers: Mapping[str, set[int]]
) -> Iterator[int]:
    constants = {tensor.name for tensor in graph.initializer}
    index: int | None = last
    while index is not None:
        yield index
        node = graph.node[index]
        sources = {name for name in node.input if name in producer and name not in constants}
        members = {index}
        if is_activation(graph, node, producer) and len(sources) == 2:  # SiLU: the value and its sigmoid
            gate = next(producer[name] for name in sources if graph.node[producer[name]].op_type == "Sigmoid")
            yield gate
            members.add(gate)
            sources -= set(graph.node[gate].output)
        if len(sources) != 1:
            return
        (source,) = sources
        index = producer[source] if readers[source] <= members else None


def quantised(model: ModelProto, ranges: Mapping[str, float]) -> ModelProto:
    """
    `model` with pairs at the layers named in `ranges`: the largest magnitude that each layer's input may have.

    It may be the FP32 graph or the typed FP16 one: a pair has the type of the layer that it feeds.
    """
    result = ModelProto()
    result.CopyFrom(model)
    if any(tensor.data_type == TensorProto.FLOAT16 for tensor in model.graph.initializer):
        _raise_opset(result)
    nodes = list(_Pairs(model.graph, ranges).nodes(result.graph))
    result.graph.ClearField("node")
    result.graph.node.extend(nodes)
    unread = {tensor.name for tensor in result.graph.initializer} - set(_readers(result.graph))
    kept = [tensor for tensor in result.graph.initializer if tensor.name not in unread]
    result.graph.ClearField("initializer")
    result.graph.initializer.extend(kept)
    result.graph.ClearField("value_info")
    return onnx.shape_inference.infer_shapes(result, check_type=True, strict_mode=True, data_prop=True)


def _raise_opset(model: ModelProto) -> None:
    """Opset 19 widens the types of 18 and changes nothing else that an exported model holds."""
    (entry,) = (entry for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if entry.version < _FLOAT16_OPSET - 1:
        converted = onnx.version_converter.convert_version(model, _FLOAT16_OPSET)
        model.graph.CopyFrom(converted.graph)
    entry.version = max(entry.version, _FLOAT16_OPSET)
    model.ir_version = max(model.ir_version, _FLOAT16_IR)


class _Pairs:
    """Writes the nodes anew, in their order, with a pair before each layer that computes in INT8."""

    def __init__(self, graph: GraphProto, ranges: Mapping[str, float]) -> None:
        self._graph, self._ranges = graph, ranges
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._done: dict[str, str] = {}  # tensor → what its pair gives back
        self._suffix = "_int8"
        while any(self._suffix in name for node in graph.node for name in (*node.input, *node.output)):
            self._suffix += "_"

    def nodes(self, target: GraphProto) -> Iterator[NodeProto]:
        for source in self._graph.node:
            if source.name not in self._ranges:
                yield source
                continue
            node = NodeProto()
            node.CopyFrom(source)
            weights = numpy_helper.to_array(self._constants[node.input[1]])
            axis = _AXIS.get(node.op_type)
            activation = np.array(max(self._ranges[node.name] / LEVELS, _SMALLEST_STEP))
            steps = (activation, weight_steps(weights, axis))
            for position, step in enumerate(steps):
                name = node.input[position]
                if name not in self._done:
                    self._done[name] = f"{name}{self._suffix}"
                    yield from self._pair(target, name, step.astype(weights.dtype), axis if position else None)
                node.input[position] = self._done[name]
            yield node

    def _pair(
        self, target: GraphProto, name: str, step: npt.NDArray[np.floating], axis: int | None
    ) -> Iterator[NodeProto]:
        scale, zero, integers = (f"{name}{self._suffix}_{part}" for part in ("scale", "zero", "q"))
        target.initializer.append(numpy_helper.from_array(step, scale))
        target.initializer.append(numpy_helper.from_array(np.zeros(step.shape, np.int8), zero))
        attributes: dict[str, Any] = {} if axis is None or step.ndim == 0 else {"axis": axis}
        yield helper.make_node("QuantizeLinear", [name, scale, zero], [integers], f"{integers}_node", **attributes)
        yield helper.make_node(
            "DequantizeLinear", [integers, scale, zero], [self._done[name]], f"{self._done[name]}_node", **attributes
        )


def weight_steps(weights: npt.NDArray[np.floating], axis: int | None) -> npt.NDArray[np.float64]:
    """One step a channel of `axis`, or one for all: the largest magnitude is 127 of them."""
    others = None if axis is None else tuple(other for other in range(weights.ndim) if other != axis)
    largest = np.abs(weights.astype(np.float64)).max(axis=others)
    steps: npt.NDArray[np.float64] = np.maximum(largest / LEVELS, _SMALLEST_STEP)
    return steps
