"""
Which model the settings mean: the keys that name it belong together, and fill each other in.

Works on flat layers (dotted key -> value as written) before validation, so it takes any value and never
complains: a wrong one reaches the validation as it is.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from app.catalog import ModelName, bundled_weights, parse_model_name
from app.errors import UnknownModel
from app.weights_file import trained_size
from config._fields import PROJECT_ROOT
from config.schema import MAX_SIDE, STRIDE

MODELS_DIR = "models_dir"
ENGINE = "vision.yolo.model_path"
INPUT_SIZE = "vision.yolo.input_size"
BASE = "vision.yolo.model_source.base_model"
WEIGHTS = "vision.yolo.model_source.pt_model_path"

DEFAULT_MODEL = "demo-pose"
_USUAL_SIZE = (640, 640)

Layer = Mapping[str, Any]


def merge(layers: Iterable[Layer]) -> dict[str, Any]:
    """
    Lay the layers over each other, the last on top.

    A layer that names another model than those below (`--model yolov8n` over a YAML for yolo11n-pose) takes the
    place of their model: of their paths too, which would else put one model's engine under the other's name, and
    of their input size where it is only the size that their model was trained at.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        if _names_another_model(layer, merged):
            if _is_usual_size(merged):
                del merged[INPUT_SIZE]
            for key in (ENGINE, BASE, WEIGHTS):
                merged.pop(key, None)
        merged.update(layer)
    return merged


def complete(merged: Layer, bundled_dir: Path) -> dict[str, Any]:
    """
    Fill in those of the model's keys that nobody gave. With no model named at all, it is the demo pose model.

    `bundled_dir` holds the demo models' folder.
    """
    values = dict(merged)
    if values.get(BASE) is None and _text(values.get(WEIGHTS)) is None:
        values[BASE] = _name_in_engine(values)
    # Weights of one's own may have any name: `yolo11n.pt` does not say that they are an official model's.
    values.setdefault(BASE, None)
    name = _parse(values[BASE])
    folder = Path(_text(values.get(MODELS_DIR)) or "models")
    if WEIGHTS not in values:
        values[WEIGHTS] = str(_weights_path(name, values.get(ENGINE), folder, bundled_dir))
    if ENGINE not in values:
        values[ENGINE] = str(folder / f"{_stem(values[WEIGHTS]) or 'model'}.engine")
    if INPUT_SIZE not in values:
        trained = None if name else _trained_size(values[WEIGHTS])
        values[INPUT_SIZE] = trained or _usual_size(_named(values))
    return values


def _name_in_engine(values: Layer) -> str | None:
    stem = _stem(values.get(ENGINE))
    if stem is None:
        return DEFAULT_MODEL
    name = None if BASE in values else _parse(stem)
    return None if name is None else str(name)


def _weights_path(name: ModelName | None, engine: Any, folder: Path, bundled_dir: Path) -> Path:
    if name is not None:
        return bundled_weights(name, bundled_dir) or folder / name.weights_file
    beside = Path(_text(engine) or folder / "model.engine").parent
    return beside / f"{_stem(engine) or 'model'}.pt"


def _names_another_model(layer: Layer, merged: Layer) -> bool:
    if not any(_text(merged.get(key)) for key in (BASE, WEIGHTS)) and _named(merged) is None:
        return False  # nothing below names a model
    if _text(layer.get(WEIGHTS)):
        below = _text(merged.get(WEIGHTS))
        return below is None or PROJECT_ROOT / layer[WEIGHTS] != PROJECT_ROOT / below
    wanted = _text(layer.get(BASE))
    return wanted is not None and (_parse(wanted) is None or _parse(wanted) != _named(merged))


def _named(values: Layer) -> ModelName | None:
    return _parse(values.get(BASE)) or _parse(_stem(values.get(WEIGHTS))) or _parse(_stem(values.get(ENGINE)))


def _is_usual_size(merged: Layer) -> bool:
    size = merged.get(INPUT_SIZE)
    return isinstance(size, list | tuple) and tuple(size) == _usual_size(_named(merged))


def _usual_size(name: ModelName | None) -> tuple[int, int]:
    return _USUAL_SIZE if name is None else name.input_size


def _trained_size(weights: Any) -> tuple[int, int] | None:
    """What weights of one's own were trained at, if the file tells, as a size that every stride divides."""
    text = _text(weights)
    side = None if text is None else trained_size(PROJECT_ROOT / Path(text))
    if side is None or not STRIDE <= side <= MAX_SIDE:
        return None
    rounded = -(-side // STRIDE) * STRIDE
    return rounded, rounded


def _parse(text: Any) -> ModelName | None:
    try:
        return parse_model_name(text) if isinstance(text, str) else None
    except UnknownModel:
        return None


def _text(value: Any) -> str | None:
    return str(value) if isinstance(value, str | Path) and str(value).strip() else None


def _stem(path: Any) -> str | None:
    """The name without its ending; `.ort.onnx` is one ending."""
    name = Path(_text(path) or "").name
    whole = name.removesuffix(".ort.onnx")
    return (whole if whole != name else name.rpartition(".")[0] or name) or None
