"""Engines that compute something else than the model they were built from, on the demo detector at 320×320."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

Lie = Callable[[onnx.ModelProto], None]
ANCHORS = 2100


def _after_output(*steps: tuple[str, dict[str, np.ndarray]]) -> Lie:
    """Rename what the network computes, and put operators between it and the output."""

    def change(model: onnx.ModelProto) -> None:
        graph = model.graph
        for node in graph.node:
            node.output[:] = ["honest" if name == "output0" else name for name in node.output]
        value = "honest"
        for index, (operator, constants) in enumerate(steps):
            for name, array in constants.items():
                graph.initializer.append(numpy_helper.from_array(array, f"{name}{index}"))
            result = "output0" if index == len(steps) - 1 else f"step{index}"
            inputs = [value, *(f"{name}{index}" for name in constants)]
            node = helper.make_node(operator, inputs, [result])
            if operator == "Gather":
                node.attribute.append(helper.make_attribute("axis", 2 if len(constants["order"]) == ANCHORS else 1))
            graph.node.append(node)
            value = result

    return change


def _other_weights(model: onnx.ModelProto) -> None:
    random = np.random.default_rng(3)
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and len(tensor.dims) == 4 and tensor.dims[0] > 1:
            array = numpy_helper.to_array(tensor)
            tensor.CopyFrom(numpy_helper.from_array(random.permutation(array), tensor.name))


def _slightly_less_sure(model: onnx.ModelProto) -> None:
    scale = np.ones((1, 4 + len(_names(model)), 1), np.float32)
    scale[:, 4:] = 0.9
    _after_output(("Mul", {"scale": scale}))(model)


def _names(model: onnx.ModelProto) -> list[str]:
    return str(next(entry.value for entry in model.metadata_props if entry.key == "names")).split(",")


CLASSES = 4
_MOVED = np.array([0, 1, 2, 3, *(4 + (index + 1) % CLASSES for index in range(CLASSES))])
LIES = [
    pytest.param(_after_output(("Mul", {"zero": np.zeros(1, np.float32)})), id="zeros"),
    pytest.param(_after_output(("Mul", {"nan": np.full(1, np.nan, np.float32)})), id="nan"),
    pytest.param(_after_output(("Gather", {"order": np.arange(ANCHORS)[::-1].copy()})), id="places-shuffled"),
    pytest.param(_after_output(("Gather", {"order": _MOVED})), id="classes-shuffled"),
    pytest.param(_after_output(("Add", {"shift": np.full((1, 1, 1), 3, np.float32)})), id="three-pixels-off"),
    pytest.param(_other_weights, id="other-weights"),
    pytest.param(_slightly_less_sure, id="ten-percent-less-sure"),
]
