"""Models and tensors made by hand."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from app.metadata import ModelMetadata
from app.runtime.base import Tensors
from app.types import TensorSpec

Shape = tuple[int, ...]


def metadata(task: str = "detect", classes: int = 3, imgsz: int = 64, **more: Any) -> ModelMetadata:
    names = {str(index): f"class {index}" for index in range(classes)}
    header: Mapping[str, Any] = {"task": task, "names": names, "imgsz": [imgsz, imgsz], **more}
    return ModelMetadata.from_header(header)


def raw(objects: list[list[float]], anchors: int = 21) -> npt.NDArray[np.float32]:
    """Objects of 4 + nc + E values, spread over a raw head's (1, 4 + nc + E, anchors)."""
    tensor = np.zeros((1, len(objects[0]), anchors), np.float32)
    for index, values in enumerate(objects):
        tensor[0, :, (index * 7) % anchors] = values
    return tensor


def rows(objects: list[list[float]], count: int = 10) -> npt.NDArray[np.float32]:
    """Objects of 6 + E values, padded with zeros to (1, count, 6 + E)."""
    tensor = np.zeros((1, count, len(objects[0])), np.float32)
    tensor[0, : len(objects)] = objects
    return tensor


class FakeRunner:
    """Answers every run with the outputs of a function of its input, and keeps the inputs."""

    def __init__(
        self, shape: Shape, answer: Any, described: ModelMetadata, dtype: Any = np.float32, inputs: int = 1
    ) -> None:
        self.inputs = tuple(TensorSpec(f"images{i or ''}", shape, np.dtype(dtype)) for i in range(inputs))
        self.outputs: tuple[TensorSpec, ...] = ()
        self.metadata = described
        self.fed: list[npt.NDArray[Any]] = []
        self._answer = answer

    def infer(self, feeds: Tensors) -> Tensors:
        batch = feeds["images"]
        self.fed.append(batch.copy())
        answer: Tensors = self._answer(batch)
        return answer

    def __enter__(self) -> "FakeRunner":
        return self

    def __exit__(self, *_: object) -> None:
        return None
