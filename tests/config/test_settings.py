"""Settings: where a value comes from, what it becomes, and what a mistake is told."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from app.errors import SettingsError
from app.types import Backend, Head, Precision
from config.settings import (
    NOT_SETTINGS,
    PROJECT_ROOT,
    Settings,
    get_settings,
    load_settings,
    settings_reference,
)
from tests.config.conftest import Write

ENGINE = "TENSORRT_ENGINE_SETTINGS"


def yolo(**keys: Any) -> str:
    """A YAML text that sets keys of vision.yolo; a double underscore is a dot."""
    nested: dict[str, Any] = {}
    for name, value in keys.items():
        *path, last = name.split("__")
        section = nested
        for part in path:
            section = section.setdefault(part, {})
        section[last] = value
    return json.dumps({"vision": {"yolo": nested}})


def message_of(config: Path | None = None, overrides: dict[str, Any] | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(config, overrides)
    assert caught.value.hint
    return caught.value.message


# What is shipped


def test_the_shipped_yaml() -> None:
    settings = get_settings()
    model = settings.vision.yolo
    assert model.model_path == str(PROJECT_ROOT / "models/yolo11n-pose.engine")
    assert type(model.model_path) is str  # Ultralytics' YOLO() takes it as it is
    assert model.input_size == (640, 640)
    engine = model.tensorrt_engine_settings
    assert (engine.precision, engine.batch_size, engine.workspace_size) == (Precision.FP16, 1, 2)
    assert model.model_source.base_model == "yolo11n-pose"
    assert model.model_source.pt_model_path == PROJECT_ROOT / "models/yolo11n-pose.pt"
    assert settings.models_dir == PROJECT_ROOT / "models"


def test_the_other_defaults() -> None:
    model = get_settings().vision.yolo
    assert (model.backend, model.confidence, model.iou, model.max_detections) == ("auto", 0.25, 0.7, 300)
    assert model.classes is None
    assert model.calibration.images is None
    source = model.model_source
    assert source.weights_url == "https://github.com/ultralytics/assets/releases/download/v8.4.0"
    assert (source.trust_weights, source.keep_onnx, source.head) == (False, False, Head.RAW)


def test_the_shipped_demo_yaml_is_the_demo_model() -> None:
    assert load_settings(PROJECT_ROOT / "config/demo.yaml") == Settings()


def test_with_no_yaml_at_all_it_is_the_demo_pose_model(tmp_path: Path) -> None:
    copy_project(tmp_path)
    (tmp_path / "config/config.yaml").unlink()
    shown = in_copy(
        tmp_path,
        "y = get_settings().vision.yolo; t = y.tensorrt_engine_settings; s = y.model_source;"
        "print(y.model_path, s.base_model, s.pt_model_path, y.input_size);"
        "print(t.precision.value, t.batch_size, t.workspace_size)",
    )
    assert shown.split() == [
        str(tmp_path / "models/demo-pose.engine"),
        "demo-pose",
        str(tmp_path / "models/demo/demo-pose.pt"),
        "(320,",
        "320)",
        "FP16",
        "1",
        "2.0",
    ]


def copy_project(folder: Path) -> None:
    shutil.copytree(PROJECT_ROOT / "config", folder / "config")
    (folder / "app").mkdir()
    # All of the application that the settings import.
    for name in ("__init__", "errors", "text", "types", "catalog", "weights_file"):
        shutil.copy(PROJECT_ROOT / f"app/{name}.py", folder / "app")


def in_copy(folder: Path, code: str) -> str:
    command = [sys.executable, "-c", f"import sys; from config.settings import get_settings; {code}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


def test_reading_the_settings_imports_little() -> None:
    code = "get_settings(); print(*sys.modules)"
    loaded = set(in_copy(PROJECT_ROOT, code).split())
    assert "pydantic" in loaded
    assert not loaded & {"pydantic_settings", "asyncio", "torch", "cv2", "onnxruntime", "rich", "ultralytics"}


# The order of the places


def test_each_place_overrides_the_one_before(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(yolo(iou=0.1, confidence=0.1, max_detections=10))
    monkeypatch.setenv("JETSMITH_VISION__YOLO__CONFIDENCE", "0.2")
    monkeypatch.setenv("JETSMITH_VISION__YOLO__MAX_DETECTIONS", "20")
    model = load_settings(path, {"vision.yolo.max_detections": 30}).vision.yolo
    assert (model.iou, model.confidence, model.max_detections) == (0.1, 0.2, 30)
    assert model.tensorrt_engine_settings.batch_size == 1


def test_a_flag_that_was_not_given_changes_nothing(write: Write) -> None:
    assert load_settings(write(yolo(iou=0.1)), {"vision.yolo.iou": None}).vision.yolo.iou == 0.1


def test_the_variable_names_another_yaml(monkeypatch: pytest.MonkeyPatch, write: Write) -> None:
    monkeypatch.setenv("JETSMITH_CONFIG", str(write(yolo(iou=0.1))))
    assert load_settings().vision.yolo.iou == 0.1
    monkeypatch.setenv("JETSMITH_CONFIG", "config/demo.yaml")  # relative to the project root
    assert load_settings().vision.yolo.model_source.base_model == "demo-pose"
    monkeypatch.setenv("JETSMITH_CONFIG", "")  # as Docker Compose passes one that is not set
    assert load_settings().vision.yolo.model_source.base_model == "yolo11n-pose"


def test_the_flag_wins_over_the_variable(monkeypatch: pytest.MonkeyPatch, write: Write) -> None:
    monkeypatch.setenv("JETSMITH_CONFIG", "missing.yaml")
    assert load_settings(write(yolo(iou=0.1))).vision.yolo.iou == 0.1


def test_a_named_yaml_must_be_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert "No such file" in message_of(tmp_path / "missing.yaml")
    monkeypatch.setenv("JETSMITH_CONFIG", "missing.yaml")
    assert str(PROJECT_ROOT / "missing.yaml") in message_of()
    monkeypatch.setenv("JETSMITH_CONFIG", "~nobody-of-this-name/x.yaml")
    assert "~nobody-of-this-name" in message_of()


def test_a_flag_path_starts_at_the_working_directory(
    monkeypatch: pytest.MonkeyPatch, write: Write, tmp_path: Path
) -> None:
    write(yolo(iou=0.1))
    monkeypatch.chdir(tmp_path)
    assert load_settings(Path("settings.yaml")).vision.yolo.iou == 0.1


def test_the_settings_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = get_settings()
    monkeypatch.setenv("JETSMITH_VISION__YOLO__IOU", "0.1")
    assert get_settings() is first
    get_settings.cache_clear()
    assert get_settings().vision.yolo.iou == 0.1


@pytest.mark.parametrize("text", ["", "vision:", "vision:\n  yolo:\n", "vision: {}"])
def test_an_empty_section_is_all_defaults(text: str, write: Write) -> None:
    assert load_settings(write(text)) == Settings()


# The environment


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        pytest.param("INPUT_SIZE", "320,320", (320, 320), id="size-comma"),
        pytest.param("INPUT_SIZE", "[384, 640]", (384, 640), id="size-json"),
        pytest.param("INPUT_SIZE", " 384 , 640 ", (384, 640), id="size-spaces"),
        pytest.param("CLASSES", "0,person", (0, "person"), id="classes-comma"),
        pytest.param("CLASSES", "7", (7,), id="one-class"),
        pytest.param("CLASSES", '["traffic light, red", "3"]', ("traffic light, red", 3), id="classes-json"),
        pytest.param("CLASSES", "null", None, id="no-classes"),
        pytest.param("CONFIDENCE", "1", 1.0, id="whole-fraction"),
        pytest.param("IOU", "5e-1", 0.5, id="exponent"),
        pytest.param("BACKEND", "ONNXRuntime", Backend.ONNXRUNTIME, id="backend"),
        pytest.param("BACKEND", "", "auto", id="empty-is-not-set"),
        pytest.param("MODEL_PATH", "123.engine", str(PROJECT_ROOT / "123.engine"), id="path-of-digits"),
        pytest.param(f"{ENGINE}__PRECISION", "int8", Precision.INT8, id="precision"),
        pytest.param(f"{ENGINE}__BATCH_SIZE", "4", 4, id="batch"),
        pytest.param(f"{ENGINE}__WORKSPACE_SIZE", "0.5", 0.5, id="workspace"),
        pytest.param(f"{ENGINE}__WORKSPACE_SIZE", "Auto", "auto", id="workspace-auto"),
        pytest.param("MODEL_SOURCE__KEEP_ONNX", "1", True, id="switch-1"),
        pytest.param("MODEL_SOURCE__KEEP_ONNX", "off", False, id="switch-off"),
        pytest.param("MODEL_SOURCE__TRUST_WEIGHTS", "True", True, id="switch-true"),
        pytest.param("CALIBRATION__IMAGES", "null", None, id="path-null"),
    ],
)
def test_a_variable_is_read(name: str, text: str, value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"JETSMITH_VISION__YOLO__{name}", text)
    found: Any = load_settings().vision.yolo
    for part in name.lower().split("__"):
        found = getattr(found, part)
    assert found == value
    assert type(found) is type(value)


def test_a_variable_in_lower_case_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("jetsmith_vision__yolo__iou", "0.1")
    assert load_settings().vision.yolo.iou == 0.1


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("JETSMITH_VISION__YOLO__IOUU", "JETSMITH_VISION__YOLO__IOU"),
        ("jetsmith_vision__yolo__iuo", "JETSMITH_VISION__YOLO__IOU"),
        ("JETSMITH_VISION_YOLO_IOU", "JETSMITH_VISION__YOLO__IOU"),
        ("JETSMITH_BATCH_SIZE", f"JETSMITH_VISION__YOLO__{ENGINE}__BATCH_SIZE"),
        ("JETSMITH_CONFG", "JETSMITH_CONFIG"),
        ("JETSMITH_VISION", "JETSMITH_"),  # a whole section cannot be set at once
    ],
)
@pytest.mark.parametrize("value", ["0.5", ""])
def test_an_unknown_variable(name: str, meant: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    message = message_of()
    assert message.startswith(f"environment: {name} (= {value!r}) is no setting; allowed: ")
    assert f"Did you mean {meant}" in message


def test_variables_of_others_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in sorted(NOT_SETTINGS - {"JETSMITH_CONFIG"}):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("VISION__YOLO__IOU", "x")
    monkeypatch.setenv("OTHER_JETSMITH_X", "x")
    assert load_settings().vision.yolo.iou == 0.7


@pytest.mark.parametrize("name", [row.environment for row in settings_reference()])
def test_bytes_that_are_no_text_are_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, b"\xff.pt".decode("utf-8", "surrogateescape"))
    assert f"environment, {name}: " in message_of()
    assert message_of().isascii()  # the byte is shown escaped, so that any terminal can print it


# Paths


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param("a/b.engine", PROJECT_ROOT / "a/b.engine", id="relative"),
        pytest.param("/a/b.rtx", Path("/a/b.rtx"), id="absolute"),
        pytest.param("~/b.ort.onnx", Path("/home/x/b.ort.onnx"), id="home"),
        pytest.param("ä b.engine", PROJECT_ROOT / "ä b.engine", id="non-ascii-and-space"),
    ],
)
def test_a_path_becomes_absolute(given: str, expected: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/x")
    assert load_settings(write(yolo(model_path=given))).vision.yolo.model_path == str(expected)


def test_every_path_becomes_absolute(write: Write) -> None:
    path = write(yolo(calibration__images="c", model_source__pt_model_path="w.pt") + "\n")
    settings = load_settings(path, {"models_dir": "m"})
    assert settings.models_dir == PROJECT_ROOT / "m"
    assert settings.vision.yolo.calibration.images == str(PROJECT_ROOT / "c")
    assert settings.vision.yolo.model_source.pt_model_path == PROJECT_ROOT / "w.pt"
    assert settings.vision.yolo.model_path == str(PROJECT_ROOT / "m/w.engine")


# Values that are taken


@pytest.mark.parametrize(
    ("keys", "key", "value"),
    [
        pytest.param({"tensorrt_engine_settings__precision": "fp32"}, "precision", Precision.FP32, id="lower"),
        pytest.param({"tensorrt_engine_settings__precision": "Int8"}, "precision", Precision.INT8, id="mixed"),
        pytest.param({"tensorrt_engine_settings__batch_size": 1024}, "batch_size", 1024, id="largest-batch"),
        pytest.param({"tensorrt_engine_settings__workspace_size": 0.25}, "workspace_size", 0.25, id="part-gb"),
        pytest.param(
            {"tensorrt_engine_settings__builder_optimization_level": 5}, "builder_optimization_level", 5, id="level"
        ),
        pytest.param({"tensorrt_engine_settings__workspace_size": "auto"}, "workspace_size", "auto", id="auto"),
        pytest.param({"tensorrt_engine_settings__dla_core": 0}, "dla_core", 0, id="dla"),
    ],
)
def test_engine_values(keys: dict[str, Any], key: str, value: object, write: Write) -> None:
    engine = load_settings(write(yolo(**keys))).vision.yolo.tensorrt_engine_settings
    assert getattr(engine, key) == value


def test_sizes_at_the_limits_are_taken(write: Write) -> None:
    assert load_settings(write(yolo(input_size=[32, 8192]))).vision.yolo.input_size == (32, 8192)


@pytest.mark.parametrize("value", [1, 30000])
def test_counts_at_the_limits_are_taken(value: int, write: Write) -> None:
    assert load_settings(write(yolo(max_detections=value))).vision.yolo.max_detections == value


@pytest.mark.parametrize("value", [0, 1])
def test_fractions_at_the_limits_are_taken(value: int, write: Write) -> None:
    model = load_settings(write(yolo(iou=value, confidence=value))).vision.yolo
    assert (model.iou, model.confidence) == (value, value)


def test_a_mirror_loses_its_last_slash(write: Write) -> None:
    path = write(yolo(model_source__weights_url="http://mirror.lan:8080/w/"))
    assert load_settings(path).vision.yolo.model_source.weights_url == "http://mirror.lan:8080/w"


# Values that are refused

WRONG = [
    pytest.param("tensorrt_engine_settings__precision", "FP61", "Did you mean FP16?", id="precision-typo"),
    pytest.param("tensorrt_engine_settings__precision", None, "FP16, FP32 or INT8", id="precision-null"),
    pytest.param("tensorrt_engine_settings__precision", 16, "FP16, FP32 or INT8", id="precision-number"),
    pytest.param("tensorrt_engine_settings__batch_size", 0, "from 1 to 1024", id="batch-0"),
    pytest.param("tensorrt_engine_settings__batch_size", 1025, "from 1 to 1024", id="batch-1025"),
    pytest.param("tensorrt_engine_settings__batch_size", True, "a whole number", id="batch-bool"),
    pytest.param("tensorrt_engine_settings__batch_size", 1.0, "a whole number", id="batch-float"),
    pytest.param("tensorrt_engine_settings__batch_size", "4", "a whole number", id="batch-text"),
    pytest.param("tensorrt_engine_settings__workspace_size", 0, "GB above 0", id="workspace-0"),
    pytest.param("tensorrt_engine_settings__workspace_size", -1, "GB above 0", id="workspace-negative"),
    pytest.param("tensorrt_engine_settings__workspace_size", 2048, "at most 1024", id="workspace-in-mb"),
    pytest.param("tensorrt_engine_settings__builder_optimization_level", 6, "from 0 to 5", id="level-6"),
    pytest.param("tensorrt_engine_settings__builder_optimization_level", -1, "from 0 to 5", id="level-negative"),
    pytest.param("tensorrt_engine_settings__builder_optimization_level", True, "from 0 to 5", id="level-bool"),
    pytest.param("tensorrt_engine_settings__builder_optimization_level", 2.5, "from 0 to 5", id="level-part"),
    pytest.param("tensorrt_engine_settings__workspace_size", True, "GB above 0", id="workspace-bool"),
    pytest.param("tensorrt_engine_settings__dla_core", True, "from 0 to 15, or null", id="dla-bool"),
    pytest.param("tensorrt_engine_settings__dla_core", 16, "from 0 to 15, or null", id="dla-16"),
    pytest.param("tensorrt_engine_settings__workspace_size", "much", '"auto"', id="workspace-word"),
    pytest.param("input_size", 640, "[height, width]", id="size-one-number"),
    pytest.param("input_size", [640], "[height, width]", id="size-one"),
    pytest.param("input_size", [640, 640, 3], "[height, width]", id="size-three"),
    pytest.param("input_size", [640, 650], "650 is no multiple of 32", id="size-no-multiple"),
    pytest.param("input_size", [0, 640], "0 is no multiple", id="size-0"),
    pytest.param("input_size", [-32, 640], "-32 is no multiple", id="size-negative"),
    pytest.param("input_size", [640, 8224], "8224 is no multiple of 32 from 32 to 8192", id="size-large"),
    pytest.param("input_size", [640.0, 640], "640.0 is no multiple", id="size-float"),
    pytest.param("input_size", [True, 640], "True is no multiple", id="size-bool"),
    pytest.param("input_size", "320,320", "[height, width]", id="size-text-in-yaml"),
    pytest.param("input_size", {"h": 640}, "[height, width]", id="size-mapping"),
    pytest.param("backend", "trt", "tensorrt_rtx", id="backend"),
    pytest.param("backend", "tensorrt-rtx", "Did you mean tensorrt_rtx?", id="backend-hyphen"),
    pytest.param("backend", None, "auto", id="backend-null"),
    pytest.param("confidence", 1.01, "from 0 to 1", id="confidence-above"),
    pytest.param("confidence", -0.01, "from 0 to 1", id="confidence-below"),
    pytest.param("confidence", True, "from 0 to 1", id="confidence-bool"),
    pytest.param("iou", "0.5", "from 0 to 1", id="iou-text"),
    pytest.param("max_detections", 0, "from 1 to 30000", id="none"),
    pytest.param("max_detections", 30001, "from 1 to 30000", id="too-many"),
    pytest.param("classes", [], "one or more", id="no-class"),
    pytest.param("classes", "person", "a list", id="classes-text"),
    pytest.param("classes", [-1], "-1 is neither", id="class-negative"),
    pytest.param("classes", [True], "True is neither", id="class-bool"),
    pytest.param("classes", [1.5], "1.5 is neither", id="class-float"),
    pytest.param("classes", ["9" * 5000], "4300", id="class-of-5000-digits"),
    pytest.param("classes", [" "], "neither a class number", id="class-blank"),
    pytest.param("model_path", "models/x.pt", ".engine, .rtx, .ort.onnx", id="engine-over-weights"),
    pytest.param("model_path", "models/.engine", ".engine", id="ending-only"),
    pytest.param("model_path", "models/x.ENGINE", ".engine", id="ending-in-capitals"),
    pytest.param("model_path", "", ".engine", id="empty-path"),
    pytest.param("model_path", "a\x07.engine", "control characters", id="control-character"),
    pytest.param("model_path", "~nobody-of-this-name/x.engine", "home directory", id="unknown-home"),
    pytest.param("model_path", 3, ".engine", id="path-number"),
    pytest.param("calibration__images", "", "a folder", id="no-calibration-path"),
    pytest.param("model_source__pt_model_path", "x.onnx", "a .pt file", id="weights-no-pt"),
    pytest.param("model_source__base_model", "yolo11n_pose", "Did you mean yolo11n-pose", id="model-typo"),
    pytest.param("model_source__base_model", 8, "a name such as", id="model-number"),
    pytest.param("model_source__trust_weights", "yes please", "true or false", id="switch-text"),
    pytest.param("model_source__trust_weights", 1, "true or false", id="switch-number"),
    pytest.param("model_source__keep_onnx", None, "true or false", id="switch-null"),
    pytest.param("model_source__head", "nmss", "Did you mean nms?", id="head"),
    pytest.param("model_source__weights_url", "file:///w", "http://", id="url-file"),
    pytest.param("model_source__weights_url", "ftp://h/w", "http://", id="url-ftp"),
    pytest.param("model_source__weights_url", "https://", "http://", id="url-no-host"),
    pytest.param("model_source__weights_url", "https://h:x/", "http://", id="url-port"),
    pytest.param("model_source__weights_url", "https://[::1", "http://", id="url-ipv6"),
    pytest.param("model_source__weights_url", "https://h/?a=1", "query", id="url-query"),
    pytest.param("model_source__weights_url", "https://h/a b", "http://", id="url-space"),
]


@pytest.mark.parametrize(("key", "value", "says"), WRONG)
def test_a_wrong_value_names_place_key_value_and_what_is_allowed(
    key: str, value: object, says: str, write: Write
) -> None:
    path = write(yolo(**{key: value}))
    message = message_of(path)
    dotted = "vision.yolo." + key.replace("__", ".")
    assert message.startswith(f"{path}, line 1: {dotted} is ")
    assert ("null" if value is None else str(value)[:5].split("\x07")[0]) in message
    assert "; allowed: " in message
    assert says in message


@pytest.mark.parametrize("text", [".nan", ".inf", "-.inf", "0x" + "f" * 5000], ids=["nan", "inf", "-inf", "huge"])
@pytest.mark.parametrize("key", ["confidence", "iou", "max_detections", "input_size", "classes", "backend"])
def test_numbers_that_are_none(key: str, text: str, write: Write) -> None:
    listed = f"[{text}, {text}]" if key in ("input_size", "classes") else text
    if (key, text[:2]) != ("classes", "0x"):  # any whole number may be a class
        assert f"vision.yolo.{key} is " in message_of(write(f"vision: {{yolo: {{{key}: {listed}}}}}"))


@pytest.mark.parametrize("text", ["NaN", "Infinity", "[" * 100_000, "1.5.2", "9" * 5000])
def test_a_variable_that_is_no_number(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JETSMITH_VISION__YOLO__IOU", text)
    assert message_of().startswith("environment, JETSMITH_VISION__YOLO__IOU: vision.yolo.iou is ")


def test_a_wrong_value_names_the_line_it_stands_in(write: Write) -> None:
    path = write("vision:\n  yolo:\n    tensorrt_engine_settings:\n\n      batch_size: 0\n")
    assert message_of(path).startswith(f"{path}, line 5: ")


def test_a_wrong_flag_names_the_command_line() -> None:
    assert message_of(None, {"vision.yolo.iou": 7}).startswith("command line: vision.yolo.iou is 7")
    assert message_of(None, {"vision.yolo.iuo": 7}).startswith("command line: vision.yolo.iuo (= 7) is no setting")


def test_a_flag_given_as_text_is_read_as_in_the_environment() -> None:
    model = load_settings(None, {"vision.yolo.classes": "0,person", "vision.yolo.iou": "0.5"}).vision.yolo
    assert (model.classes, model.iou) == ((0, "person"), 0.5)


@pytest.mark.parametrize(
    ("text", "key", "meant"),
    [
        ("vision: {yolo: {iuo: 1}}", "vision.yolo.iuo", "vision.yolo.iou"),
        ("vision: {yollo: {iou: 1}}", "vision.yollo", "vision.yolo"),
        ("visoin: {}", "visoin", "vision"),
        (
            "vision: {yolo: {batch_size: 1}}",
            "vision.yolo.batch_size",
            "vision.yolo.tensorrt_engine_settings.batch_size",
        ),
        ("iou: 1", "iou", "vision.yolo.iou"),
        ("vision.yolo.iou: 1", "vision.yolo.iou", "vision.yolo.iou"),
        ("vision: {yolo.iou: 1}", "vision.yolo.iou", "vision.yolo.iou"),
    ],
)
def test_an_unknown_key_gets_the_nearest(text: str, key: str, meant: str, write: Write) -> None:
    path = write(text)
    message = message_of(path)
    assert message.startswith(f"{path}, line 1: {key} (= ")
    assert "is no setting; allowed" in message
    assert message.endswith(f"Did you mean {meant}?")


def test_an_unknown_key_lists_what_is_allowed_there(write: Write) -> None:
    message = message_of(write("vision: {yolo: {model_source: {zzzzzz: 1}}}"))
    assert "allowed in vision.yolo.model_source: base_model, pt_model_path, weights_url" in message
    assert "Did you mean" not in message


@pytest.mark.parametrize("value", ["3", "[a]", "text", "true"])
def test_a_section_that_is_none(value: str, write: Write) -> None:
    message = message_of(write(f"vision:\n  yolo: {value}\n"))
    assert "line 2: vision.yolo is " in message
    assert "allowed: a section with the keys model_path" in message


def test_all_mistakes_are_told_at_once(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JETSMITH_VISION__YOLO__MAX_DETECTIONS", "0")
    monkeypatch.setenv("JETSMITH_WRONG", "0")
    path = write("vision:\n  yolo:\n    iou: 2\n    nonsense: 1\n    calibration: 3\n")
    message = message_of(path, {"vision.yolo.confidence": 5})
    lines = message.splitlines()
    assert lines[0] == "6 settings are wrong:"
    assert len(lines) == 7
    for part in (
        "yolo.iou is 2",
        "nonsense",
        "calibration is 3",
        "JETSMITH_WRONG",
        "MAX_DETECTIONS: ",
        "confidence is 5",
    ):
        assert part in message


def test_the_file_of_another_program_is_not_told_key_by_key(write: Write) -> None:
    lines = message_of(write("".join(f"key_{number}: 1\n" for number in range(5000)))).splitlines()
    assert lines[0] == "20 or more settings are wrong:"
    assert len(lines) == 21


def test_a_mistake_that_another_place_overrides_is_none(write: Write) -> None:
    assert load_settings(write(yolo(iou=2)), {"vision.yolo.iou": 0.5}).vision.yolo.iou == 0.5


def test_what_follows_from_a_mistake_is_not_told_as_another(write: Write) -> None:
    message = message_of(write('models_dir: "a\\ab"\n'))
    assert len(message.splitlines()) == 1
    assert "models_dir" in message


def test_a_long_value_is_cut(write: Write) -> None:
    assert len(message_of(write(yolo(backend="x" * 100_000)))) < 500


# The object


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        get_settings().vision.yolo.iou = 0.1
    with pytest.raises(ValidationError):
        Settings.model_validate({"vision": {"extra": 1}})


# The reference


def test_the_reference_has_every_setting_with_its_variable() -> None:
    rows = {row.key: row for row in settings_reference()}
    row = rows["vision.yolo.tensorrt_engine_settings.batch_size"]
    assert row.environment == "JETSMITH_VISION__YOLO__TENSORRT_ENGINE_SETTINGS__BATCH_SIZE"
    assert (row.default, row.allowed) == ("1", "a whole number from 1 to 1024")
    assert len(rows) == len(_leaves(Settings().model_dump())) == 35
    for row in rows.values():
        assert row.default
        assert row.meaning.endswith(".")
        assert row.allowed


def test_the_defaults_of_the_reference_are_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JETSMITH_CONFIG", "config/demo.yaml")
    for row in settings_reference():
        if " " not in row.default and "`" not in row.default:  # a value, not a rule
            monkeypatch.setenv(row.environment, row.default)
    assert load_settings() == Settings()


def _leaves(values: dict[str, Any]) -> list[Any]:
    return [leaf for value in values.values() for leaf in (_leaves(value) if isinstance(value, dict) else [value])]
