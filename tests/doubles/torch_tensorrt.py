"""
TensorRT on a real GPU where TensorRT itself does not run: its "plan" names weights, and torch computes the network on
the addresses and the stream that it is given, in half precision. It can be captured in a CUDA graph.
"""

import json
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tests.doubles.tensorrt_double import DataType, ILogger, TensorIOMode


def torch_plan(weights: Path, imgsz: tuple[int, int], batch: int = 1, *, end2end: bool = False) -> bytes:
    return json.dumps({"weights": str(weights), "imgsz": imgsz, "batch": batch, "end2end": end2end}).encode()


def torch_tensorrt(version: str = "10.3.0") -> ModuleType:
    """A module to stand for `tensorrt`."""

    class Runtime:
        def __init__(self, logger: ILogger) -> None:
            self._logger = logger

        def deserialize_cuda_engine(self, serialized_engine: Any) -> "TorchEngine":
            return TorchEngine(**json.loads(bytes(serialized_engine)))

    module = ModuleType("tensorrt")
    classes = (Runtime, ILogger, TensorIOMode, DataType)
    vars(module).update({cls.__name__: cls for cls in classes}, __version__=version)
    module.__spec__ = ModuleSpec("tensorrt", None)
    return module


class TorchEngine:
    def __init__(self, weights: str, imgsz: tuple[int, int], batch: int, end2end: bool) -> None:
        import torch

        self.network = _network(weights, end2end)
        sample = torch.zeros((batch, 3, *imgsz), dtype=torch.half, device="cuda")
        with torch.inference_mode():
            outputs = _as_tuple(self.network(sample))
        self.shapes = {"images": tuple(sample.shape)}
        self.shapes |= {f"output{index}": tuple(output.shape) for index, output in enumerate(outputs)}

    @property
    def num_io_tensors(self) -> int:
        return len(self.shapes)

    def get_tensor_name(self, index: int) -> str:
        return list(self.shapes)[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name == "images" else TensorIOMode.OUTPUT

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.shapes[name]

    def get_tensor_dtype(self, name: str) -> DataType:
        return DataType.HALF

    def create_execution_context(self) -> "TorchContext":
        return TorchContext(self)


class TorchContext:
    def __init__(self, engine: TorchEngine) -> None:
        self._engine = engine
        self._tensors: dict[str, Any] = {}
        self._warm = False

    def set_tensor_address(self, name: str, memory: int) -> bool:
        import torch

        self._tensors[name] = torch.as_tensor(_Memory(memory, self._engine.shapes[name]), device="cuda")
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        return shape == self._engine.shapes[name]

    def execute_async_v3(self, stream_handle: int) -> bool:
        import torch

        rounds = 1 if self._warm else 4  # cuDNN chooses, and torch's allocator keeps what it has been given
        self._warm = True
        with torch.inference_mode(), torch.cuda.stream(torch.cuda.ExternalStream(stream_handle)):
            for _ in range(rounds):
                outputs = _as_tuple(self._engine.network(self._tensors["images"]))
                for index, output in enumerate(outputs):
                    self._tensors[f"output{index}"].copy_(output)
        return True


class _Memory:
    """Memory of the GPU that is somebody else's, as torch takes it."""

    def __init__(self, address: int, shape: tuple[int, ...]) -> None:
        kind = np.dtype(np.float16).str
        self.__cuda_array_interface__ = {"shape": shape, "typestr": kind, "data": (address, False), "version": 3}


def _network(weights: str, end2end: bool) -> Any:
    """The network as Ultralytics exports it, in half precision."""
    import torch
    from ultralytics import YOLO

    torch.backends.cudnn.benchmark = True
    network: Any = YOLO(weights).model
    for module in network.modules():
        if hasattr(module, "end2end"):
            module.end2end = end2end and getattr(module, "one2one_cv2", None) is not None
    network = network.fuse().eval().half().cuda()
    for module in network.modules():
        if hasattr(module, "export"):
            module.export, module.format = True, "engine"
    return network


def _as_tuple(outputs: Any) -> tuple[Any, ...]:
    return tuple(outputs) if isinstance(outputs, (tuple, list)) else (outputs,)
