"""The layout comes from metadata and shapes; what fits none is an error that says what was seen."""

from typing import Any

import numpy as np
import pytest

from app.errors import ModelError
from app.types import Head
from app.vision.layouts import recognise
from tests.vision.doubles import metadata

KPT = {"kpt_shape": [17, 3]}
NMS = {"args": {"nms": True}}
END2END = {"end2end": True}


def _outputs(*shapes: tuple[int, ...]) -> dict[str, Any]:
    return {f"output{index}": np.zeros(shape, np.float32) for index, shape in enumerate(shapes)}


@pytest.mark.parametrize(
    ("task", "classes", "more", "shapes", "head", "extra"),
    [
        pytest.param("detect", 80, {}, [(1, 84, 8400)], Head.RAW, 0, id="detect raw"),
        pytest.param("detect", 80, END2END, [(1, 300, 6)], Head.END2END, 0, id="detect end-to-end"),
        pytest.param("detect", 80, {}, [(1, 300, 6)], Head.END2END, 0, id="an old export without the key"),
        pytest.param("detect", 80, NMS, [(1, 300, 6)], Head.NMS, 0, id="detect nms"),
        pytest.param("detect", 1, {}, [(1, 5, 3549)], Head.RAW, 0, id="one class"),
        pytest.param("detect", 296, END2END, [(1, 300, 6)], Head.END2END, 0, id="both fit, the key tells"),
        pytest.param("segment", 80, {}, [(1, 116, 8400), (1, 32, 160, 160)], Head.RAW, 32, id="segment raw"),
        pytest.param("segment", 80, {}, [(1, 32, 160, 160), (1, 116, 8400)], Head.RAW, 32, id="prototypes first"),
        pytest.param(
            "segment", 80, END2END, [(1, 300, 38), (1, 32, 160, 160)], Head.END2END, 32, id="segment end-to-end"
        ),
        pytest.param("segment", 2, NMS, [(1, 300, 22), (1, 16, 8, 8)], Head.NMS, 16, id="16 prototypes, nms"),
        pytest.param("pose", 1, KPT, [(1, 56, 8400)], Head.RAW, 51, id="pose raw"),
        pytest.param("pose", 1, {**KPT, **END2END}, [(1, 300, 57)], Head.END2END, 51, id="pose end-to-end"),
        pytest.param("pose", 1, {"kpt_shape": [4, 2]}, [(1, 13, 8400)], Head.RAW, 8, id="pose of x, y"),
        pytest.param("obb", 15, {}, [(1, 20, 21504)], Head.RAW, 1, id="obb raw"),
        pytest.param("obb", 15, NMS, [(1, 300, 7)], Head.NMS, 1, id="obb nms"),
        pytest.param("obb", 15, END2END, [(1, 300, 7)], Head.END2END, 1, id="obb end-to-end"),
        pytest.param("classify", 10, {}, [(1, 10)], Head.RAW, 0, id="classify"),
    ],
)
def test_every_known_layout_is_recognised(
    task: str, classes: int, more: dict[str, Any], shapes: list[tuple[int, ...]], head: Head, extra: int
) -> None:
    found = recognise(_outputs(*shapes), metadata(task, classes, **more))
    assert (found.layout.head, found.layout.classes, found.layout.extra) == (head, classes, extra)
    assert found.predictions.ndim == (2 if task == "classify" else 3)
    assert (found.prototypes is not None) == (task == "segment")


@pytest.mark.parametrize(
    ("task", "classes", "more", "shapes", "message"),
    [
        pytest.param("detect", 80, {}, [(1, 25200, 85)], r"\(1, 25200, 85\) fits no layout", id="old YOLOv5"),
        pytest.param("detect", 80, {}, [(1, 8400, 84)], "fits no layout of detect with 80", id="transposed"),
        pytest.param("detect", 3, {}, [(1, 84, 8400)], r"raw \(B, 7, anchors\)", id="another number of classes"),
        pytest.param("detect", 296, {}, [(1, 300, 6)], "fits two layouts", id="both fit, no key"),
        pytest.param("detect", 80, END2END, [(1, 84, 8400)], "metadata says otherwise", id="raw by its shape"),
        pytest.param("detect", 80, {}, [(1, 84, 8400)] * 2, "has 2: output0", id="two outputs"),
        pytest.param("detect", 80, {}, [(84, 8400)], r"has 0: output0 \(84, 8400\)", id="no batch"),
        pytest.param("detect", 80, {"head": "RTDETRDecoder"}, [(1, 300, 6)], "RT-DETR", id="RT-DETR by head"),
        pytest.param("detect", 80, {"description": "Ultralytics rtdetr-l model"}, [(1, 300, 6)], "RT-DETR", id="old"),
        pytest.param("detect", 0, {}, [(1, 4, 8400)], "names no class", id="no classes"),
        pytest.param("segment", 80, {}, [(1, 116, 8400)], "rank 4, but this one has 0", id="no prototypes"),
        pytest.param("pose", 1, {}, [(1, 56, 8400)], "no `kpt_shape`", id="pose without its shape"),
        pytest.param("pose", 1, {"kpt_shape": [17, 4]}, [(1, 73, 8400)], "2 or 3 values", id="four values"),
        pytest.param("classify", 10, {}, [(1, 1000)], "does not fit 10 classes", id="classes"),
        pytest.param("classify", 10, {}, [(1, 10, 7, 7)], "rank 2, but", id="a map of classes"),
    ],
)
def test_what_fits_no_layout_says_what_was_seen(
    task: str, classes: int, more: dict[str, Any], shapes: list[tuple[int, ...]], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        recognise(_outputs(*shapes), metadata(task, classes, **more))
