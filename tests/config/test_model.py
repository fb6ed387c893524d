"""Which model the settings mean when only some of its keys are given, or several places name one."""

from pathlib import Path
from typing import Any

import pytest

from config._model import BASE, ENGINE, INPUT_SIZE, MODELS_DIR, WEIGHTS, complete, merge

BUNDLED = Path("/project/models")
SHIPPED = {
    ENGINE: "models/yolo11n-pose.engine",
    INPUT_SIZE: [640, 640],
    BASE: "yolo11n-pose",
    WEIGHTS: "models/yolo11n-pose.pt",
}


def model(*layers: dict[str, Any]) -> tuple[Any, ...]:
    values = complete(merge(layers), BUNDLED)
    return values[BASE], values[WEIGHTS], values[ENGINE], tuple(values[INPUT_SIZE])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(
            {},
            ("demo-pose", "/project/models/demo/demo-pose.pt", "models/demo-pose.engine", (320, 320)),
            id="nothing-is-the-demo",
        ),
        pytest.param(
            {BASE: None},
            ("demo-pose", "/project/models/demo/demo-pose.pt", "models/demo-pose.engine", (320, 320)),
            id="null-is-nothing",
        ),
        pytest.param(
            {BASE: "yolov8n"},
            ("yolov8n", "models/yolov8n.pt", "models/yolov8n.engine", (640, 640)),
            id="base",
        ),
        pytest.param(
            {BASE: "YOLO8n-CLS"},
            ("YOLO8n-CLS", "models/yolov8n-cls.pt", "models/yolov8n-cls.engine", (224, 224)),
            id="base-in-another-spelling",
        ),
        pytest.param(
            {BASE: "yolo11n-obb"},
            ("yolo11n-obb", "models/yolo11n-obb.pt", "models/yolo11n-obb.engine", (1024, 1024)),
            id="base-obb",
        ),
        pytest.param(
            {BASE: "demo-seg", MODELS_DIR: "/data"},
            ("demo-seg", "/project/models/demo/demo-seg.pt", "/data/demo-seg.engine", (320, 320)),
            id="demo-weights-stay-where-they-are",
        ),
        pytest.param(
            {BASE: "yolov8n", MODELS_DIR: "/data"},
            ("yolov8n", "/data/yolov8n.pt", "/data/yolov8n.engine", (640, 640)),
            id="other-models-folder",
        ),
        pytest.param({WEIGHTS: "w/mine.pt"}, (None, "w/mine.pt", "models/mine.engine", (640, 640)), id="own-weights"),
        pytest.param(
            {WEIGHTS: "w/yolo11s-cls.pt"},
            (None, "w/yolo11s-cls.pt", "models/yolo11s-cls.engine", (224, 224)),
            id="weights-with-an-official-name-are-held-to-nothing",
        ),
        pytest.param(
            {ENGINE: "e/yolov8s.engine", BASE: None},
            (None, "e/yolov8s.pt", "e/yolov8s.engine", (640, 640)),
            id="engine-that-only-looks-official",
        ),
        pytest.param(
            {WEIGHTS: "w/mine.pt", BASE: "yolo11n-pose"},
            ("yolo11n-pose", "w/mine.pt", "models/mine.engine", (640, 640)),
            id="own-weights-of-a-known-kind",
        ),
        pytest.param(
            {ENGINE: "e/yolov8s.engine"},
            ("yolov8s", "models/yolov8s.pt", "e/yolov8s.engine", (640, 640)),
            id="engine-with-an-official-name",
        ),
        pytest.param(
            {ENGINE: "e/mine.v2.ort.onnx"},
            (None, "e/mine.v2.pt", "e/mine.v2.ort.onnx", (640, 640)),
            id="engine-with-a-name-of-its-own",
        ),
        pytest.param(
            {ENGINE: "e/prod.engine", BASE: "yolov8s"},
            ("yolov8s", "models/yolov8s.pt", "e/prod.engine", (640, 640)),
            id="engine-under-another-name",
        ),
        pytest.param(
            {BASE: "yolo11n-cls", INPUT_SIZE: [640, 640]},
            ("yolo11n-cls", "models/yolo11n-cls.pt", "models/yolo11n-cls.engine", (640, 640)),
            id="a-given-size-stays",
        ),
    ],
)
def test_missing_keys_follow_from_the_given(given: dict[str, Any], expected: tuple[Any, ...]) -> None:
    assert model(given) == expected


def test_another_model_takes_its_own_paths_along() -> None:
    assert model(SHIPPED, {BASE: "yolov8n"}) == model({BASE: "yolov8n"})
    assert model(SHIPPED, {BASE: "demo-pose"}) == model({BASE: "demo-pose"})
    assert model(SHIPPED, {WEIGHTS: "/w/mine.pt"}) == model({WEIGHTS: "/w/mine.pt"})
    assert model(SHIPPED, {BASE: "yolo11n-cls"})[3] == (224, 224)
    assert model({ENGINE: "e/yolov8s.engine"}, {BASE: "yolo11n"}) == model({BASE: "yolo11n"})
    assert model({ENGINE: "e/prod.engine", WEIGHTS: "mine.pt"}, {BASE: "yolo11n"}) == model({BASE: "yolo11n"})
    assert model({ENGINE: "e/prod.engine", BASE: "garbage"}, {BASE: "yolo11n"}) == model({BASE: "yolo11n"})


@pytest.mark.parametrize("again", ["yolo11n-pose", "yolov11n-pose", "YOLO11N-POSE"])
def test_the_same_model_named_again_keeps_its_paths(again: str) -> None:
    yaml = {**SHIPPED, ENGINE: "e/prod.engine", WEIGHTS: "w/prod.pt"}
    assert model(yaml, {BASE: again})[1:3] == ("w/prod.pt", "e/prod.engine")


def test_the_same_weights_named_again_keep_the_model() -> None:
    assert model(SHIPPED, {WEIGHTS: Path("models/yolo11n-pose.pt")})[0] == "yolo11n-pose"
    yaml = {BASE: "yolo11n-pose", WEIGHTS: "w/prod.pt"}
    assert model(yaml, {WEIGHTS: "w/prod.pt"})[0] == "yolo11n-pose"
    assert model(yaml, {WEIGHTS: "w/other.pt"})[0] is None


def test_a_size_of_ones_own_outlives_the_model() -> None:
    assert model({**SHIPPED, INPUT_SIZE: [384, 640]}, {BASE: "yolov8n"})[3] == (384, 640)
    assert model({**SHIPPED, INPUT_SIZE: [320, 320]}, {WEIGHTS: "mine.pt"})[3] == (320, 320)
    assert model({INPUT_SIZE: [640, 640]}, {BASE: "yolo11n-cls"})[3] == (640, 640)  # nobody's usual size


def test_the_size_of_the_upper_layer_wins() -> None:
    assert model(SHIPPED, {BASE: "demo-pose", INPUT_SIZE: [640, 640]})[3] == (640, 640)
    assert model(SHIPPED, {BASE: "demo-pose"}, {INPUT_SIZE: [96, 96]})[3] == (96, 96)


def test_an_engine_path_alone_names_no_other_model() -> None:
    assert model(SHIPPED, {ENGINE: "e/prod.engine"}) == (
        "yolo11n-pose",
        "models/yolo11n-pose.pt",
        "e/prod.engine",
        (640, 640),
    )
    assert model({ENGINE: "e/prod.engine"}, {BASE: "yolov8s"})[2] == "e/prod.engine"


def test_keys_of_no_model_stay() -> None:
    assert merge([{**SHIPPED, "vision.yolo.iou": 0.5}, {BASE: "yolov8n"}]) == {"vision.yolo.iou": 0.5, BASE: "yolov8n"}


@pytest.mark.parametrize("value", [3, True, "", " ", "no such model", [1], {"a": 1}, "\0"])
@pytest.mark.parametrize("key", [BASE, WEIGHTS, ENGINE, INPUT_SIZE, MODELS_DIR])
def test_a_wrong_value_reaches_the_validation_unchanged(key: str, value: object) -> None:
    stacks: list[list[dict[str, Any]]] = [[{key: value}], [SHIPPED, {key: value}], [{key: value}, {INPUT_SIZE: value}]]
    for layers in stacks:
        assert complete(merge(layers), BUNDLED)[key] == value
