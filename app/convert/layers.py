"""
How many layers of an engine compute in which precision, by TensorRT's own inspector; asked in a child process.

The inspector's JSON has two shapes. Up to TensorRT 10 a tensor has `"Format/Datatype": "Row major linear FP16"` and
the engine `"Bindings": ["images", …]`; from 11 on a tensor has its data type apart from its format, and the engine
`"I/O Tensors"`. Without detail, layers are mere names in both.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from app.convert.child import run_child
from app.errors import ConvertError, JetsmithError
from app.progress import Reporter
from app.types import Backend

UNTOLD = "untold"
_TYPES = (
    ("BF16", re.compile(r"\b(?:k?BF16|BFloat16)\b", re.IGNORECASE)),
    ("FP16", re.compile(r"\b(?:FP16|Float16|k?Half)\b", re.IGNORECASE)),
    ("FP8", re.compile(r"\b(?:k?FP8|E4M3)\b", re.IGNORECASE)),
    ("INT4", re.compile(r"\bk?INT4\b", re.IGNORECASE)),
    ("INT8", re.compile(r"\bk?U?INT8\b", re.IGNORECASE)),
    ("integer", re.compile(r"\b(?:k?INT32|k?INT64|k?BOOL)\b", re.IGNORECASE)),
    ("FP32", re.compile(r"\b(?:FP32|Float32|k?Float)\b", re.IGNORECASE)),
)


def layers_by_precision(engine: Path, backend: Backend, work: Path, reporter: Reporter) -> dict[str, Any]:
    """`{"layers": {"FP16": 61, "FP32": 9}}`; nothing where the inspector cannot be asked, which is no failure."""
    if backend is Backend.ONNXRUNTIME:
        return {}
    try:
        result = run_child(
            "app.convert.layers_child",
            {"engine": str(engine), "backend": backend.value},
            work=work,
            reporter=reporter,
            phase="count layers",
            error=ConvertError,
        )
        counts = count_layers(result["information"])
    except (JetsmithError, ValueError) as error:
        reporter.detail(f"the layers were not counted: {error}")
        return {}
    return {"layers": counts} if counts else {}


def count_layers(information: str) -> dict[str, int]:
    """
    Layers by the type of their first input, which is what they compute in; what has no inputs counts by its output.

    Raises:
        ValueError: it is no inspector's JSON.
    """
    values = json.loads(information)
    layers = values.get("Layers") if isinstance(values, dict) else None
    if not isinstance(layers, list):
        raise ValueError("the inspector's answer has no list of layers")
    return dict(Counter(map(_precision, layers)).most_common())


def _precision(layer: Any) -> str:
    if not isinstance(layer, dict):
        return UNTOLD
    for tensor in (*_tensors(layer, "Inputs"), *_tensors(layer, "Outputs")):
        words = " ".join(str(tensor[key]) for key in ("DataType", "Datatype", "Format/Datatype") if key in tensor)
        for name, pattern in _TYPES:
            if pattern.search(words):
                return name
    return UNTOLD


def _tensors(layer: dict[str, Any], key: str) -> Iterable[dict[str, Any]]:
    found = layer.get(key)
    return [tensor for tensor in found if isinstance(tensor, dict)] if isinstance(found, list) else []
