"""Layers by precision, from both shapes of the inspector's JSON."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.convert import layers as module
from app.convert.layers import count_layers, layers_by_precision
from app.errors import ConvertError
from app.progress import SilentReporter
from app.types import Backend


def _layer(*inputs: dict[str, Any], outputs: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    return {"Name": "a layer", "LayerType": "CaskConvolution", "Inputs": list(inputs), "Outputs": list(outputs)}


def _old(words: str) -> dict[str, Any]:
    return {"Name": "t", "Location": "Device", "Dimensions": [1, 8], "Format/Datatype": words}


def _new(kind: str) -> dict[str, Any]:
    return {"Name": "t", "Location": "Device", "Dimensions": [1, 8], "Format": "Row major linear", "DataType": kind}


@pytest.mark.parametrize(
    ("shape", "types", "io"),
    [
        pytest.param(
            _old,
            {
                "FP32": "Row major linear FP32",
                "FP16": "Two wide channel vectorized row major FP16 format",
                "INT8": "Thirty-two wide channel vectorized row major Int8 format",
                "integer": "Row major Int32 format",
            },
            {"Bindings": ["images", "output0"]},
            id="up-to-10",
        ),
        pytest.param(
            _new,
            {"FP32": "Float", "FP16": "Half", "INT8": "Int8", "integer": "Int64"},
            {"I/O Tensors": [_new("Float")]},
            id="from-11-on",
        ),
    ],
)
def test_both_shapes(shape: Any, types: dict[str, str], io: dict[str, Any]) -> None:
    layers = [
        _layer(shape(types["FP16"]), outputs=(shape(types["FP16"]),)),
        _layer(shape(types["FP16"]), outputs=(shape(types["FP32"]),)),
        _layer(shape(types["INT8"]), outputs=(shape(types["FP16"]),)),
        _layer(shape(types["FP32"])),
        _layer(outputs=(shape(types["integer"]),)),
    ]
    assert count_layers(json.dumps({"Layers": layers, **io})) == {"FP16": 2, "INT8": 1, "FP32": 1, "integer": 1}


def test_an_engine_that_was_built_without_detail_has_layers_of_untold_types() -> None:
    assert count_layers(json.dumps({"Layers": ["conv", "relu"], "Bindings": ["images"]})) == {"untold": 2}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"Layers": 3}', "layers: 3"])
def test_what_is_no_inspectors_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"layers|Expecting"):
        count_layers(text)


def test_strange_layers_are_counted_all_the_same() -> None:
    odd = [3, {}, {"Inputs": "x"}, {"Inputs": ["x"], "Outputs": [{"Format/Datatype": "Unheard of"}]}]
    assert count_layers(json.dumps({"Layers": odd})) == {"untold": 4}


@pytest.mark.parametrize(
    "answer",
    [ConvertError("no GPU"), {"information": "not JSON"}],
    ids=["the-inspector-cannot-be-asked", "it-answers-nonsense"],
)
def test_an_answer_that_cannot_be_had_is_left_out(answer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def child(*arguments: Any, **options: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(module, "run_child", child)
    assert layers_by_precision(tmp_path / "a.engine", Backend.TENSORRT, tmp_path, SilentReporter()) == {}


def test_an_onnx_engine_has_no_inspector(tmp_path: Path) -> None:
    assert layers_by_precision(tmp_path / "a.ort.onnx", Backend.ONNXRUNTIME, tmp_path, SilentReporter()) == {}


def test_a_machine_without_a_gpu_asks_in_vain_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "a.engine").write_bytes(b"no plan")
    assert layers_by_precision(tmp_path / "a.engine", Backend.TENSORRT, tmp_path, SilentReporter()) == {}
