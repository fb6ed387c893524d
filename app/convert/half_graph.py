"""
An FP32 ONNX graph rewritten so that its body computes in FP16 and says so in its types.

Strongly typed TensorRT networks (10 and newer, and TensorRT for RTX) take every precision from the graph, so the
graph is where it is decided. Three things stay FP32: inputs and outputs; the layer that reads the picture, since
its rounding passes through all the others (in FP16 it doubled the drift of keypoints, and it is 1 % of the
arithmetic); and the tail behind the last learned layers, where values are pixels and FP16 has steps of up to half a
pixel (there, FP16 made the median drift of boxes four times as large). Those last layers themselves may be FP16:
their rounding moves a box by less than 0.1 pixels.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

_HALF_MAX = float(np.finfo(np.float16).max)
LEARNED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_RECTIFIERS = frozenset({"HardSwish", "LeakyRelu", "PRelu", "Relu"})

# Operators whose float inputs and outputs all share one type, which ONNX and TensorRT allow to be FP16.
_HALF_OPERATORS = LEARNED | {
    "Add", "AveragePool", "Clip", "Concat", "Div", "Expand", "Flatten", "Gather", "GlobalAveragePool",
    "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "MaxPool", "Mul", "Pad", "PRelu", "ReduceMax",
    "ReduceMean", "Relu", "Reshape", "Resize", "Sigmoid", "Slice", "Softmax", "Split", "Squeeze", "Sub",
    "Tanh", "Transpose", "Unsqueeze",
}  # fmt: skip
_FLOAT_INPUTS = {"Resize": frozenset({1, 2})}  # region of interest and scales are FP32 by ONNX's definition


@dataclass(frozen=True)
class HalfGraph:
    model: ModelProto
    half: tuple[str, ...]  # names of the nodes that compute in FP16
    kept: tuple[str, ...]  # names of the nodes with float outputs that stay FP32


def to_half(model: ModelProto) -> HalfGraph:
    """Rewrite a checked FP32 model; the same input always gives the same bytes. `model` is left as it is."""
    typed = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    floats = float_tensors(typed.graph)
    half = half_nodes(typed.graph, floats)
    rewritten = _Rewriter(typed.graph, floats, half).rewrite()
    result = ModelProto()
    result.CopyFrom(model)
    result.graph.CopyFrom(rewritten)
    result = onnx.shape_inference.infer_shapes(result, check_type=True, strict_mode=True, data_prop=True)
    nodes = list(enumerate(typed.graph.node))
    return HalfGraph(
        result,
        half=tuple(node.name for index, node in nodes if index in half),
        kept=tuple(
            node.name for index, node in nodes if index not in half and any(out in floats for out in node.output)
        ),
    )


def float_tensors(graph: GraphProto) -> frozenset[str]:
    infos = [*graph.value_info, *graph.input, *graph.output]
    names = {info.name for info in infos if info.type.tensor_type.elem_type == TensorProto.FLOAT}
    return frozenset(names | {tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT})


def half_nodes(graph: GraphProto, floats: frozenset[str]) -> frozenset[int]:
    """The positions of the nodes that can and should compute in FP16."""
    kept = tail(graph) | front(graph)
    too_large = _overflowing(graph)
    return frozenset(
        index
        for index, node in enumerate(graph.node)
        if index not in kept
        and node.op_type in _HALF_OPERATORS
        and all(name in floats for name in node.output)
        and not too_large.intersection(node.input)
    )


def _overflowing(graph: GraphProto) -> frozenset[str]:
    """Constants with a finite value that FP16 would turn into infinity."""
    names = []
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            values = numpy_helper.to_array(tensor)
            if np.any(np.abs(values[np.isfinite(values)]) > _HALF_MAX):
                names.append(tensor.name)
    return frozenset(names)


def tail(graph: GraphProto) -> frozenset[int]:
    """
    The positions of the nodes behind the last learned layers.

    A node belongs to the tail if no path from it to an output meets a learned layer. That finds, without any model's
    names, all that decodes what the last layers predict: the distribution of distances, anchors, strides, sigmoids,
    top-k. An activation belongs to the layer before it.
    """
    producer = {name: index for index, node in enumerate(graph.node) for name in node.output}
    consumers: dict[str, list[int]] = defaultdict(list)
    for index, node in enumerate(graph.node):
        for name in _reads(node):
            consumers[name].append(index)
    behind: set[int] = set()
    for index in reversed(range(len(graph.node))):
        after = {reader for name in graph.node[index].output for reader in consumers[name]}
        if after <= behind and not is_body(graph, index, producer):
            behind.add(index)
    return frozenset(behind)


def front(graph: GraphProto) -> frozenset[int]:
    """The positions of the nodes up to the first learned layer of each path, its activation included."""
    constants = {tensor.name for tensor in graph.initializer}
    producer = {name: index for index, node in enumerate(graph.node) for name in node.output}
    raw = {info.name for info in graph.input} | constants  # tensors that no learned layer has touched
    first: set[str] = set()  # what the first learned layers made
    ahead: set[int] = set()
    for index, node in enumerate(graph.node):
        reads = set(_reads(node))
        if reads <= raw:
            ahead.add(index)
            (first if node.op_type in LEARNED else raw).update(node.output)
        elif reads <= first | constants and (node.op_type == "Sigmoid" or is_activation(graph, node, producer)):
            ahead.add(index)
            first.update(node.output)
    return frozenset(ahead)


def is_body(graph: GraphProto, index: int, producer: Mapping[str, int]) -> bool:
    node = graph.node[index]
    if node.op_type in LEARNED:
        return not _is_expectation(graph, node, producer)
    return is_activation(graph, node, producer)


def _is_expectation(graph: GraphProto, node: NodeProto, producer: Mapping[str, int]) -> bool:
    """A convolution straight behind a softmax weighs a distribution (DFL): decoding, nothing learned."""
    source = producer.get(node.input[0])
    return node.op_type == "Conv" and source is not None and graph.node[source].op_type == "Softmax"


def is_activation(graph: GraphProto, node: NodeProto, producer: Mapping[str, int]) -> bool:
    """A rectifier, or SiLU: x · sigmoid(x). Backends fuse it with the layer that made x."""
    if node.op_type != "Mul":
        return node.op_type in _RECTIFIERS
    for value, gate in (tuple(node.input), tuple(reversed(node.input))):
        source = producer.get(gate)
        if source is not None and graph.node[source].op_type == "Sigmoid" and graph.node[source].input[0] == value:
            return True
    return False


def _reads(node: NodeProto) -> Iterator[str]:
    """Every tensor that a node reads, those of its subgraphs included."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        graphs = [attribute.g] if attribute.type == AttributeProto.GRAPH else list(attribute.graphs)
        for graph in graphs:
            for inner in graph.node:
                yield from _reads(inner)


class _Rewriter:
    """Writes the nodes anew, in their order, with casts where the precision changes."""

    def __init__(self, graph: GraphProto, floats: frozenset[str], half: frozenset[int]) -> None:
        self._graph, self._floats, self._half = graph, floats, half
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._wants_half: set[str] = set()
        self._wants_float: set[str] = {info.name for info in graph.output}
        for index, node in enumerate(graph.node):
            for position, name in enumerate(node.input):
                (self._wants_half if self._reads_half(index, position) else self._wants_float).add(name)
            self._wants_float.update(_reads(node) if index not in half else ())
        taken = {name for node in graph.node for name in (*node.input, *node.output)}
        self._suffix = "_half"
        while any(name + self._suffix in taken for name in taken):
            self._suffix += "_"

    def rewrite(self) -> GraphProto:
        nodes = [
            self._cast_to_half(info.name)
            for info in self._graph.input
            if info.name in self._wants_half and info.name not in self._constants
        ]
        for index in range(len(self._graph.node)):
            nodes += self._node(index)
        return helper.make_graph(
            nodes,
            self._graph.name,
            list(self._graph.input),
            list(self._graph.output),
            list(self._initialisers()),
            doc_string=self._graph.doc_string,
        )

    def _reads_half(self, index: int, position: int) -> bool:
        node = self._graph.node[index]
        return (
            index in self._half
            and node.input[position] in self._floats
            and position not in _FLOAT_INPUTS.get(node.op_type, ())
        )

    def _node(self, index: int) -> list[NodeProto]:
        source = self._graph.node[index]
        node = NodeProto()
        node.CopyFrom(source)
        if index not in self._half:
            return [node, *(self._cast_to_half(name) for name in source.output if name in self._wants_half)]
        for position, name in enumerate(source.input):
            if self._reads_half(index, position):
                node.input[position] = name + self._suffix
        node.output[:] = [name + self._suffix for name in source.output]
        return [node, *(self._cast_to_float(name) for name in source.output if name in self._wants_float)]

    def _cast_to_half(self, name: str) -> NodeProto:
        half = name + self._suffix
        return helper.make_node("Cast", [name], [half], name=f"{half}_cast", to=TensorProto.FLOAT16)

    def _cast_to_float(self, name: str) -> NodeProto:
        half = name + self._suffix
        return helper.make_node("Cast", [half], [name], name=f"{name}_float_cast", to=TensorProto.FLOAT)

    def _initialisers(self) -> Iterator[TensorProto]:
        for tensor in self._graph.initializer:
            if tensor.name in self._wants_float:
                yield tensor
            if tensor.name in self._wants_half:
                values = numpy_helper.to_array(tensor).astype(np.float16)
                yield numpy_helper.from_array(values, tensor.name + self._suffix)
