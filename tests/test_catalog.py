"""Model names: what can be read, what has official weights, and what a refusal says."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.catalog import (
    FAMILIES,
    ModelName,
    bundled_weights,
    contradiction,
    demo_names,
    official_names,
    parse_model_name,
    require_official,
)
from app.errors import UnknownModel
from app.types import Task


@pytest.mark.parametrize(
    ("text", "file"),
    [
        ("yolov8n", "yolov8n.pt"),
        ("yolo8n", "yolov8n.pt"),
        ("yolov8n-seg", "yolov8n-seg.pt"),
        ("yolov9c-seg", "yolov9c-seg.pt"),
        ("yolo9t", "yolov9t.pt"),
        ("yolov10n", "yolov10n.pt"),
        ("yolo10b", "yolov10b.pt"),
        ("yolo11n-pose", "yolo11n-pose.pt"),
        ("yolov11n-pose", "yolo11n-pose.pt"),
        ("yolo12n", "yolo12n.pt"),
        ("yolov12x", "yolo12x.pt"),
        ("yolo26n", "yolo26n.pt"),
        ("yolov26l-obb", "yolo26l-obb.pt"),
        ("yolov5n", "yolov5nu.pt"),
        ("yolov5nu", "yolov5nu.pt"),
        ("yolo5m6", "yolov5m6u.pt"),
        ("yolov5n6u", "yolov5n6u.pt"),
        ("YOLO11N-Pose", "yolo11n-pose.pt"),
        ("  yolo11n\n", "yolo11n.pt"),
        ("yolo11n-detect", "yolo11n.pt"),
        ("yolo11n-segment", "yolo11n-seg.pt"),
        ("yolo11n-cls", "yolo11n-cls.pt"),
        ("yolo11n-classify", "yolo11n-cls.pt"),
        ("demo-pose", "demo-pose.pt"),
        ("demo-detect", "demo-detect.pt"),
        ("DEMO-segment", "demo-seg.pt"),
        ("demo-classify", "demo-cls.pt"),
    ],
)
def test_file_name_of_a_name(text: str, file: str) -> None:
    assert parse_model_name(text).weights_file == file


def test_parts_of_a_name() -> None:
    assert parse_model_name("yolov5n6u") == ModelName("yolov5", "n6", Task.DETECT)
    assert parse_model_name("yolo11x-obb") == ModelName("yolo11", "x", Task.OBB)
    assert parse_model_name("demo-cls") == ModelName("demo", "", Task.CLASSIFY)


def test_every_name_is_read_back_from_its_own_text() -> None:
    names = [*official_names(), *demo_names()]
    assert [parse_model_name(str(name)) for name in names] == names
    assert len(set(map(str, names))) == len(names)


def test_the_table_counts_what_ultralytics_publishes() -> None:
    per_family = {family: sum(name.family == family for name in official_names()) for family in FAMILIES}
    assert per_family == {
        "yolov5": 10,
        "yolov8": 25,
        "yolov9": 7,
        "yolov10": 6,
        "yolo11": 25,
        "yolo12": 5,
        "yolo26": 25,
    }


@pytest.mark.parametrize("name", [str(name) for name in (*official_names(), *demo_names())])
def test_what_is_published_or_bundled_is_let_through(name: str) -> None:
    require_official(parse_model_name(name))


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        pytest.param("yolo11n_pose", "yolo11n-pose", id="underscore"),
        pytest.param("yolo-v8n", "yolov8n", id="hyphen"),
        pytest.param("yolov8n.pt", "yolov8n", id="file-name"),
        pytest.param("yolo11n-psoe", "yolo11n-pose", id="typo"),
        pytest.param("yolov10n-pose-extra", "yolo", id="too-long"),
        pytest.param("yolo11b", "yolo11", id="size-of-another-family"),
        pytest.param("yolov8n6", "yolov8n", id="p6-of-another-family"),
        pytest.param("yolov8nu", "yolov8n", id="u-of-another-family"),
        pytest.param("yolov7", "yolo", id="family-without-weights"),
        pytest.param("demo", "demo-", id="no-task"),
        pytest.param("demo-poze", "demo-pose", id="demo-typo"),
    ],
)
def test_an_unreadable_name_gets_the_nearest(text: str, nearest: str) -> None:
    with pytest.raises(UnknownModel) as caught:
        parse_model_name(text)
    assert repr(text) in caught.value.message
    assert f"Did you mean {nearest}" in caught.value.message
    assert "--model my.pt" in caught.value.hint


@pytest.mark.parametrize("text", ["", " ", "resnet50", "é", "yolo", "-pose", "../../etc/passwd", "\0"])
def test_garbage_is_refused_with_the_grammar(text: str) -> None:
    with pytest.raises(UnknownModel) as caught:
        parse_model_name(text)
    assert "yolov10 (n s m b l x)" in caught.value.hint
    assert "demo-pose" in caught.value.hint


def test_a_very_long_name_is_cut_in_the_message() -> None:
    with pytest.raises(UnknownModel) as caught:
        parse_model_name("yolo" * 100_000)
    assert len(caught.value.message) < 200


def test_yolo10m_seg_lists_what_there_is_and_how_to_bring_ones_own() -> None:
    with pytest.raises(UnknownModel) as caught:
        require_official(parse_model_name("yolo10m-seg"))
    error = caught.value
    assert "no official weights for yolov10m-seg" in error.message
    assert "YOLOv10 has detect: yolov10n, yolov10s, yolov10m, yolov10b, yolov10l, yolov10x." in error.message
    for other in ("YOLOv8 (yolov8n-seg", "YOLOv9 (yolov9c-seg, yolov9e-seg)", "YOLO11 (", "YOLO26 ("):
        assert other in error.hint
    for without in ("YOLOv10", "YOLO12", "YOLOv5"):
        assert without not in error.hint
    assert "--model my.pt" in error.hint
    assert "pt_model_path" in error.hint


@pytest.mark.parametrize("text", ["yolov9t-seg", "yolov9c-pose", "yolo12n-cls", "yolov5nu-seg", "yolov10x-obb"])
def test_readable_names_without_weights(text: str) -> None:
    with pytest.raises(UnknownModel, match="no official weights"):
        require_official(parse_model_name(text))


@pytest.mark.parametrize(
    ("text", "size"),
    [("yolo11n", 640), ("yolo11n-seg", 640), ("yolo11n-obb", 1024), ("yolo11n-cls", 224), ("demo-cls", 224)],
)
def test_size_that_a_model_was_trained_at(text: str, size: int) -> None:
    assert parse_model_name(text).input_size == (size, size)


def test_only_demo_weights_are_bundled() -> None:
    models = Path("models")
    assert bundled_weights(parse_model_name("demo-seg"), models) == models / "demo" / "demo-seg.pt"
    assert bundled_weights(parse_model_name("yolo11n"), models) is None


@pytest.mark.parametrize(
    ("name", "task", "tells", "says"),
    [
        pytest.param("yolo11n-pose", Task.POSE, "yolo11n-pose.yaml", None, id="same"),
        pytest.param("yolo11n-pose", Task.POSE, None, None, id="file-tells-nothing"),
        pytest.param("yolo11n-pose", Task.DETECT, "yolo11n.yaml", "holds a detect model", id="task"),
        pytest.param("yolo11n-pose", Task.DETECT, None, "holds a detect model", id="task-alone"),
        pytest.param("yolo11n-pose", Task.POSE, "yolov8n-pose.yaml", "yolov8n-pose.yaml", id="family"),
        pytest.param("yolo11n-pose", Task.POSE, "yolo11-pose.yaml", None, id="no-size"),
        pytest.param("yolo11n-pose", Task.POSE, "/a/b/yolov8-pose.yaml", "yolov8-pose.yaml", id="path"),
        pytest.param("yolo11n-pose", Task.POSE, "YOLOv8n-Pose.yml", "YOLOv8n-Pose.yml", id="any-case"),
        pytest.param("yolo11n", Task.DETECT, "my-yolov8.yaml", None, id="own-file-name"),
        pytest.param("yolo11n", Task.DETECT, "yolov8-rtdetr.yaml", None, id="rtdetr-is-no-yolo"),
        pytest.param("yolo11n", Task.DETECT, "yolov6n.yaml", "yolov6n.yaml", id="family-without-weights"),
        pytest.param("yolov8n", Task.DETECT, "v10Detect", "v10Detect", id="head-of-another-family"),
        pytest.param("yolov10n", Task.DETECT, "v10Detect", None, id="own-head"),
        pytest.param("yolo11n-pose", Task.POSE, "Pose26", "Pose26", id="pose-head-of-yolo26"),
        pytest.param("yolo26n-seg", Task.SEGMENT, "Segment26", None, id="yolo26-head"),
        pytest.param("yolo26n", Task.DETECT, "Detect", None, id="shared-head"),
        pytest.param("yolov5nu", Task.DETECT, "yolov5n.yaml", None, id="yolov5"),
        pytest.param("demo-pose", Task.POSE, "yolo11n-pose.yaml", None, id="demo-is-of-no-family"),
        pytest.param("demo-pose", Task.SEGMENT, "yolo11n-seg.yaml", "holds a segment model", id="demo-task"),
    ],
)
def test_contradiction(name: str, task: Task, tells: str | None, says: str | None) -> None:
    answer = contradiction(parse_model_name(name), task, tells)
    if says is None:
        assert answer is None
    else:
        assert answer is not None
        assert name in answer
        assert says in answer


@given(st.text() | st.from_regex(r"(yolov?|demo-?)[0-9]{0,3}[a-z]{0,2}6?u?(-[a-z]{0,8})?", fullmatch=True))
def test_any_text_is_a_name_or_unknown(text: str) -> None:
    try:
        name = parse_model_name(text)
    except UnknownModel:
        return
    assert parse_model_name(str(name)) == name


@given(st.sampled_from(list(official_names())), st.sampled_from(Task), st.text())
def test_contradiction_takes_any_text(name: ModelName, task: Task, text: str) -> None:
    assert (contradiction(name, task, text) is not None) >= (task is not name.task)
