"""
What an exported model says of itself.

Ultralytics writes the same keys twice: as strings into an ONNX file's `metadata_props`, and as JSON into
the header of a TensorRT engine. Every key but `task` and `names` is optional: older exports lack some.
Source: ultralytics 8.4.190, `engine/exporter.py` (metadata) and `nn/backends/base.py` (reader).
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.errors import ModelError
from app.types import Task

_LITERAL_KEYS = {"stride", "batch", "imgsz", "names", "kpt_shape", "args", "channels", "end2end", "dynamic"}
_MAX_LITERAL_CHARS = 1_000_000


@dataclass(frozen=True)
class ModelMetadata:
    task: Task
    names: Mapping[int, str]
    imgsz: tuple[int, int]  # height, width
    stride: int = 32
    batch: int = 1
    channels: int = 3
    end2end: bool = False  # the graph ends in the NMS-free head
    nms: bool = False  # suppression is part of the graph
    kpt_shape: tuple[int, int] | None = None  # keypoints, values each (2 or 3)
    header: Mapping[str, Any] = field(default_factory=dict, compare=False)  # as it stood in the file

    @classmethod
    def from_header(cls, header: Mapping[str, Any]) -> "ModelMetadata":
        """
        Read an engine header.

        Raises:
            ModelError: a key is missing or has a value that makes no sense.
        """
        try:
            args = header.get("args") or {}
            end2end_args = args.get("nms") if isinstance(args, Mapping) else None
            kpt_shape = header.get("kpt_shape")
            return cls(
                task=Task(header["task"]),
                names={int(key): str(name) for key, name in dict(header["names"]).items()},
                imgsz=_pair(header["imgsz"]),
                stride=int(header.get("stride", 32)),
                batch=int(header.get("batch", 1)),
                channels=int(header.get("channels", 3)),
                end2end=bool(header.get("end2end", False)),
                nms=end2end_args is True,
                kpt_shape=None if kpt_shape is None else _pair(kpt_shape),
                header=dict(header),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ModelError(
                f"The model's metadata cannot be read: {type(error).__name__}: {error}",
                hint="Export the model again with `jetsmith convert`.",
            ) from error

    @classmethod
    def from_onnx(cls, props: Mapping[str, str]) -> "ModelMetadata":
        """Read an ONNX file's `metadata_props`, in which numbers, lists and tables are Python literals."""
        return cls.from_header({key: _value(key, text) for key, text in props.items()})


def _value(key: str, text: str) -> Any:
    if key not in _LITERAL_KEYS or len(text) > _MAX_LITERAL_CHARS:
        return text
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    first, second = value
    return int(first), int(second)
