"""Every setting: its name, type, default, and what it means. The one place where a setting is added."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, StrictBool, StrictInt

from app.catalog import parse_model_name
from app.errors import UnknownModel
from app.types import Backend, GpuMemory, Head, Precision
from config._fields import Section
from config._fields import absolute as _absolute
from config._fields import setting as _setting
from config._infer import Infer

ENGINE_ENDINGS = tuple(backend.suffix for backend in Backend)
STRIDE = 32
MAX_SIDE = 8192
MAX_BATCH = 1024
MAX_WORKSPACE_GB = 1024
MAX_DLA_CORE = 15  # boards have two

_Case = TypeVar("_Case")


def _any_case(change: Callable[[str], str]) -> BeforeValidator:
    return BeforeValidator(lambda value: change(value.strip()) if isinstance(value, str) else value)


def _file(*endings: str) -> Callable[[Any], Path]:
    def check(value: Any) -> Path:
        path = _absolute(value)
        if not any(path.name.endswith(end) and path.name != end for end in endings):
            raise ValueError
        return path

    return check


def _model_name(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return str(parse_model_name(value))
    except UnknownModel as error:
        raise ValueError(error.message) from error


def _side(value: Any) -> int:
    if type(value) is not int or value % STRIDE or not STRIDE <= value <= MAX_SIDE:
        raise ValueError(f"{value!r:.40} is no multiple of {STRIDE} from {STRIDE} to {MAX_SIDE}")
    return value


def _input_size(value: Any) -> tuple[int, int]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError
    return _side(value[0]), _side(value[1])


def _class(value: Any) -> int | str:
    if isinstance(value, str) and value.strip() and value.isprintable():
        text = value.strip()
        return int(text) if text.isascii() and text.isdigit() else text
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r:.40} is neither a class number nor a class name")
    return value


def _classes(value: Any) -> tuple[int | str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list | tuple) or not value:
        raise ValueError
    return tuple(_class(item) for item in value)


def _gigabytes(value: Any) -> float | Literal["auto"]:
    if isinstance(value, str) and value.strip().lower() == "auto":
        return "auto"
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MAX_WORKSPACE_GB:
        raise ValueError
    return value


def _fraction(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:  # NaN is not
        raise ValueError
    return float(value)


def _url(value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable() or " " in value:
        raise ValueError
    parts = urlsplit(value)
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError
    _ = parts.port  # raises ValueError if it is no port number
    return value.rstrip("/")


_PathText = Annotated[str, BeforeValidator(lambda value: str(_absolute(value)))]
_EnginePath = Annotated[str, BeforeValidator(lambda value: str(_file(*ENGINE_ENDINGS)(value)))]
_WeightsPath = Annotated[Path, BeforeValidator(_file(".pt"))]
_FRACTION = Annotated[float, BeforeValidator(_fraction)]
_A_FRACTION = "a number from 0 to 1"


class TensorRTEngineSettings(Section):
    precision: Annotated[Precision, _any_case(str.upper)] = _setting(
        Precision.FP16, "Arithmetic of the engine.", "FP16, FP32 or INT8, in any case"
    )
    batch_size: StrictInt = _setting(
        1,
        "Pictures that one call of the engine takes.",
        f"a whole number from 1 to {MAX_BATCH}",
        ge=1,
        le=MAX_BATCH,
    )
    workspace_size: Annotated[float | Literal["auto"], BeforeValidator(_gigabytes)] = _setting(
        2.0,
        "Memory that the TensorRT builder may use for trials.",
        f'a number of GB above 0, at most {MAX_WORKSPACE_GB}, or "auto"',
    )
    on_accuracy_loss: Annotated[Literal["fail", "fallback"], _any_case(str.lower)] = _setting(
        "fail",
        "Where the engine is less accurate than its precision explains: fail, or build INT8 → FP16 → FP32 instead.",
        "fail or fallback",
    )
    builder_optimization_level: Annotated[StrictInt, Field(ge=0, le=5)] | None = _setting(
        None,
        "How long TensorRT looks for fast kernels: 0 takes the first that works, 5 tries most. Null for its own, 3.",
        "a whole number from 0 to 5, or null",
    )

    dla_core: Annotated[StrictInt, Field(ge=0, le=MAX_DLA_CORE)] | None = _setting(
        None,
        "Build for this core of the DLA that AGX Orin and Orin NX have; the GPU runs what it cannot. Null for the GPU.",
        f"a whole number from 0 to {MAX_DLA_CORE}, or null",
    )


class ModelSource(Section):
    base_model: Annotated[str | None, BeforeValidator(_model_name)] = _setting(
        "demo-pose",
        "The model, by its official name; none for weights with a name of their own.",
        "a name such as yolo11n-pose, or null for weights of your own (pt_model_path)",
        shown="null if pt_model_path is given, else as model_path is named, else `demo-pose`",
    )
    pt_model_path: _WeightsPath = _setting(
        "models/demo/demo-pose.pt",
        "The weights: used if the file is there, else base_model is downloaded to it.",
        "the path of a .pt file",
        shown="`<models_dir>/<base_model>.pt`, for a demo model the bundled file",
    )
    weights_url: Annotated[str, BeforeValidator(_url)] = _setting(
        "https://github.com/ultralytics/assets/releases/download/v8.4.0",
        "Folder from which official weights are downloaded: name a mirror here.",
        "an http:// or https:// address without a query",
    )
    trust_weights: StrictBool = _setting(
        False,
        "Load a .pt that holds more than tensors and known classes. It may run any code: only for files you trust.",
        "true or false",
    )
    keep_onnx: StrictBool = _setting(False, "Keep the exported ONNX beside the weights.", "true or false")
    head: Annotated[Head, _any_case(str.lower)] = _setting(
        Head.RAW,
        "How the exported graph ends: suppression here, an NMS-free head, or NMS inside the graph.",
        "raw, end2end or nms",
    )


class Calibration(Section):
    images: _PathText | None = _setting(
        None,
        "Pictures for INT8 calibration and for verification.",
        "a folder of pictures, a glob, the path of a dataset YAML, or null",
    )


class Yolo(Section):
    model_path: _EnginePath = _setting(
        "models/demo-pose.engine",
        "The engine, under a stable name; each backend keeps the stem and has its own ending.",
        f"the path of a file that ends in {', '.join(ENGINE_ENDINGS)}",
        shown="`<models_dir>/<stem of pt_model_path>.engine`",
    )
    input_size: Annotated[tuple[int, int], BeforeValidator(_input_size)] = _setting(
        (320, 320),
        "Height and width of the model's input.",
        f"[height, width], both multiples of {STRIDE} from {STRIDE} to {MAX_SIDE}",
        shown="what a model of that name was trained at: 640×640, demo 320×320, -obb 1024×1024, -cls 224×224; "
        "your own `.pt` tells",
    )
    backend: Annotated[Backend | Literal["auto"], _any_case(str.lower)] = _setting(
        "auto",
        "What executes the engine; auto takes the first that works, in the order of the list.",
        "auto, tensorrt, tensorrt_rtx or onnxruntime",
    )
    confidence: _FRACTION = _setting(0.25, "Detections below this confidence are dropped.", _A_FRACTION)
    iou: _FRACTION = _setting(
        0.7, "Of two boxes of one class that overlap more than this, one is dropped.", _A_FRACTION
    )
    max_detections: StrictInt = _setting(
        300, "Most detections per picture.", "a whole number from 1 to 30000", ge=1, le=30000
    )
    classes: Annotated[tuple[int | str, ...] | None, BeforeValidator(_classes)] = _setting(
        None,
        "Only these classes; null for all.",
        'a list of one or more class numbers and names such as [0, "person"], or null for all',
    )
    frame_path: Annotated[Literal["auto", "cpu"], _any_case(str.lower)] = _setting(
        "auto",
        "Where frames are prepared and answers read; auto takes the GPU where the engine runs on one.",
        "auto or cpu",
    )
    gpu_memory: Annotated[GpuMemory, _any_case(str.lower)] = _setting(
        GpuMemory.AUTO,
        "Whether the GPU uses the host's memory or copies into its own; auto shares it on a Jetson.",
        "auto, mapped or copied",
    )
    tensorrt_engine_settings: TensorRTEngineSettings = TensorRTEngineSettings()
    model_source: ModelSource = ModelSource()
    calibration: Calibration = Calibration()


class Vision(Section):
    yolo: Yolo = Yolo()


class Settings(Section):
    """All settings, validated. Paths are absolute."""

    models_dir: Annotated[Path, BeforeValidator(_absolute)] = _setting(
        "models", "Folder of weights, engines and the engine store.", "the path of a folder"
    )
    vision: Vision = Vision()
    infer: Infer = Infer()
