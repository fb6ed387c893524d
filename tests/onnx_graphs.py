"""Small ONNX graphs with the traits of an exported detector, made in milliseconds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

METADATA = {
    "task": "detect",
    "names": "{0: 'circle', 1: 'square'}",
    "imgsz": "[64, 64]",
    "stride": "4",
    "batch": "1",
    "channels": "3",
    "end2end": "False",
    "args": "{'nms': None, 'dynamic': False}",
}


def save(model: ModelProto, path: Path) -> Path:
    onnx.save(model, path)
    return path


def model_of(
    nodes: Sequence[NodeProto],
    constants: Mapping[str, npt.NDArray[Any]],
    *,
    shape: Sequence[int | str] = (1, 3, 64, 64),
    outputs: Mapping[str, Sequence[int]],
    metadata: Mapping[str, str] = METADATA,
) -> ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name, size in outputs.items()],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    helper.set_model_props(model, dict(metadata))
    return model


def detector(seed: int = 0) -> ModelProto:
    """
    A detector in small: stem, body with pooling and resizing, two predicting layers, DFL, anchors, strides.

    images (1, 3, 64, 64) → output0 (1, 6, 256): boxes in pixels, two scores.
    """
    random = np.random.default_rng(seed)
    constants: dict[str, npt.NDArray[Any]] = {
        **_convolution("stem", random, 8, 3, 3),
        **_convolution("body", random, 16, 8, 3),
        **_convolution("mix", random, 16, 16, 1),
        **_convolution("box", random, 64, 16, 1),
        **_convolution("score", random, 2, 16, 1),
        "bins": np.arange(16, dtype=np.float32).reshape(1, 16, 1, 1),
        "box_shape": np.array([1, 4, 16, 256]),
        "score_shape": np.array([1, 2, 256]),
        "side_shape": np.array([1, 4, 256]),
        "halves": np.array([2, 2]),
        "scales": np.array([1, 1, 2, 2], np.float32),
        "anchors": _anchors(),
        "stride": np.float32(4).reshape(1, 1, 1),
        "two": np.float32(2).reshape(1, 1, 1),
    }
    nodes = [
        *_layer("stem", "images", strides=[2, 2], pads=[1] * 4),
        *_layer("body", "stem_act", strides=[2, 2], pads=[1] * 4),
        helper.make_node("MaxPool", ["body_act"], ["pooled"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Resize", ["pooled", "", "scales"], ["resized"], "resize", mode="nearest"),
        helper.make_node("Add", ["resized", "body_act"], ["joined"], "join"),
        *_layer("mix", "joined"),
        helper.make_node("Conv", ["mix_act", "box_w", "box_b"], ["box_logits"], "box"),
        helper.make_node("Conv", ["mix_act", "score_w", "score_b"], ["score_logits"], "score"),
        helper.make_node("Reshape", ["box_logits", "box_shape"], ["box_bins"], "box_reshape"),
        helper.make_node("Transpose", ["box_bins"], ["bins_first"], "box_transpose", perm=[0, 2, 1, 3]),
        helper.make_node("Softmax", ["bins_first"], ["distribution"], "softmax", axis=1),
        helper.make_node("Conv", ["distribution", "bins"], ["distance"], "dfl"),
        helper.make_node("Reshape", ["distance", "side_shape"], ["sides"], "sides_reshape"),
        helper.make_node("Split", ["sides", "halves"], ["near", "far"], "split", axis=1),
        helper.make_node("Sub", ["anchors", "near"], ["first"], "sub"),
        helper.make_node("Add", ["anchors", "far"], ["last"], "add"),
        helper.make_node("Add", ["first", "last"], ["sum"], "sum"),
        helper.make_node("Div", ["sum", "two"], ["centre"], "centre"),
        helper.make_node("Sub", ["last", "first"], ["size"], "size"),
        helper.make_node("Concat", ["centre", "size"], ["cells"], "cells", axis=1),
        helper.make_node("Mul", ["cells", "stride"], ["pixels"], "pixels"),
        helper.make_node("Reshape", ["score_logits", "score_shape"], ["flat_scores"], "score_reshape"),
        helper.make_node("Sigmoid", ["flat_scores"], ["scores"], "score_sigmoid"),
        helper.make_node("Concat", ["pixels", "scores"], ["output0"], "output", axis=1),
    ]
    return model_of(nodes, constants, outputs={"output0": [1, 6, 256]})


def _layer(name: str, source: str, **attributes: Any) -> list[NodeProto]:
    """A convolution and its SiLU, as Ultralytics exports them."""
    return [
        helper.make_node("Conv", [source, f"{name}_w", f"{name}_b"], [f"{name}_out"], name, **attributes),
        helper.make_node("Sigmoid", [f"{name}_out"], [f"{name}_gate"], f"{name}_sigmoid"),
        helper.make_node("Mul", [f"{name}_out", f"{name}_gate"], [f"{name}_act"], f"{name}_silu"),
    ]


def _convolution(
    name: str, random: np.random.Generator, out: int, into: int, kernel: int
) -> dict[str, npt.NDArray[Any]]:
    weight = random.normal(0, (into * kernel * kernel) ** -0.5, (out, into, kernel, kernel))
    return {f"{name}_w": weight.astype(np.float32), f"{name}_b": random.normal(0, 0.1, out).astype(np.float32)}


def _anchors() -> npt.NDArray[np.float32]:
    y, x = np.mgrid[:16, :16].reshape(2, 256).astype(np.float32) + np.float32(0.5)
    return np.stack([x, y])[None]
