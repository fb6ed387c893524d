"""From one line of the inventory to digests; and that a device reads its settings as this machine meant them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from app.cli.fleet_targets import Targets
from app.errors import FleetError
from app.fleet.base import Device, Image, Role, Target
from app.fleet.service import ENGINE_VARIABLE, MODELS_FOLDER, NAME_VARIABLE
from app.fleet.target import file_for_device
from config._services import device_settings
from config.settings import PROJECT_ROOT, load_settings

SERVICE = "infer: {sources: [camera:0], sinks: {jsonl: '-'}}\n"


def image(name: str, is_pulled: bool) -> Image:
    return Image(name, f"sha256:{name}{'@' if is_pulled else ''}")


def device(config: Path, preset: str = "cpu", **more: object) -> Device:
    return replace(Device("a", "ssh://a", preset, preset, config), **more)  # type: ignore[arg-type]


def target(config: Path, preset: str = "cpu", **more: object) -> Target:
    return Targets("f", image).of(device(config, preset, **more))


def settings_file(folder: Path, text: str = "", name: str = "mine.yaml") -> Path:
    path = folder / name
    path.write_text(text + SERVICE)
    return path


def environment(target: Target, role: Role = Role.INFER) -> Mapping[str, str]:
    found: Mapping[str, str] = target.specs[role].arguments["environment"]
    return found


DEMO = PROJECT_ROOT / "config" / "demo-service.yaml"


def test_the_demo_on_a_processor() -> None:
    made = target(DEMO)
    assert made.jetpack is None
    assert made.runtime == "runc"
    assert [file.source.name for file in made.files] == ["demo-service.yaml", "demo-pose.pt"]
    assert made.images[Role.INFER].name == "jetsmith-infer:cpu"
    assert all(file.path.startswith(f".fleet/{file.digest}/") for file in made.files)
    assert environment(made)["JETSMITH_CONFIG"] == f"{MODELS_FOLDER}/{made.files[0].path}"


def test_a_jetson_that_pulls(tmp_path: Path) -> None:
    made = target(settings_file(tmp_path), "jetpack7", registry="r.example/ai/", env={"JETSMITH_RUNTIME": "mine"})
    assert (made.jetpack, made.runtime) == (7, "mine")
    assert made.images[Role.CONVERTER] == Image(
        "r.example/ai/jetsmith-converter:jetpack7", "sha256:r.example/ai/jetsmith-converter:jetpack7@"
    )


def test_weights_that_are_not_here_are_left_to_the_converter(tmp_path: Path) -> None:
    path = settings_file(tmp_path, "vision: {yolo: {model_source: {base_model: yolov8x-seg}}}\n")
    assert len(target(path).files) == 1


def _changes(folder: Path) -> dict[str, Target]:
    own = folder / "w.pt"
    own.write_bytes(b"1")
    text = f"vision: {{yolo: {{model_source: {{pt_model_path: {own}}}}}}}\n"
    usual = target(settings_file(folder, text))
    by_image = Targets("f", lambda name, pulled: Image(name, "sha256:new"))
    made = {
        "the same": target(settings_file(folder, text)),
        "settings": target(settings_file(folder, text + "# other\n", "other.yaml")),
        "image": by_image.of(device(settings_file(folder, text))),
        "camera": target(settings_file(folder, text), env={"JETSMITH_CAMERA": "/dev/video0"}),
    }
    own.write_bytes(b"2")
    return {"usual": usual, **made, "weights": target(settings_file(folder, text))}


def test_what_is_converted_has_a_name_of_its_own_and_what_is_not_keeps_it(tmp_path: Path) -> None:
    """The old infer finds its own engine again, whatever has been converted for the new one."""
    made = _changes(tmp_path)
    names = {what: (environment(one)[ENGINE_VARIABLE], environment(one)[NAME_VARIABLE]) for what, one in made.items()}
    assert names["usual"] == names["the same"]
    assert names["usual"][0] == names["camera"][0], "the engine is the same"
    assert names["usual"][1] != names["camera"][1], "two of one name cannot run side by side"
    for what in ("settings", "image", "weights"):
        assert not set(names["usual"]) & set(names[what]), what
    assert made["usual"].work == made["camera"].work
    assert made["usual"].infer != made["camera"].infer
    for one in made.values():
        assert environment(one)[ENGINE_VARIABLE] == environment(one, Role.CONVERTER)[ENGINE_VARIABLE]


MODELS = {
    "demo": "",
    "official": "vision: {yolo: {model_source: {base_model: yolo11n-pose}, input_size: [320, 640]}}\n",
    "another-stem": "vision: {yolo: {model_path: models/door.engine, model_source: {base_model: yolo11n}}}\n",
    "own": "vision: {yolo: {model_source: {pt_model_path: PT}}}\n",
    "own-with-a-size": "vision: {yolo: {model_source: {pt_model_path: PT}, input_size: [640, 640]}}\n",
    "own-of-an-official-kind": "vision: {yolo: {model_source: {pt_model_path: PT, base_model: yolo11n}}}\n",
}


@pytest.mark.parametrize("text", MODELS.values(), ids=MODELS)
def test_a_device_reads_its_settings_as_they_were_meant(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "best of all.pt"
    weights.write_bytes((PROJECT_ROOT / "models/demo/demo-detect.pt").read_bytes())
    path = settings_file(tmp_path, text.replace("PT", f"'{weights}'"))
    meant, made = device_settings(path), target(path)
    for name, value in environment(made).items():
        if name.startswith("JETSMITH_"):
            monkeypatch.setenv(name, value)
    read = load_settings(path)
    one, other = meant.vision.yolo, read.vision.yolo
    assert other.input_size == one.input_size
    assert other.model_source.base_model == one.model_source.base_model
    assert Path(other.model_path).name.startswith(f"{Path(one.model_path).stem.replace(' ', '-')}-")
    same = {"input_size": (), "model_path": "", "model_source": one.model_source}
    assert one.model_copy(update=same) == other.model_copy(update=same)
    assert read.infer.sources == meant.infer.sources
    assert 1 <= len(read.infer.name or "") <= 64


def test_a_long_name_of_a_service_stays_within_what_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(SERVICE.replace("{sources", f"{{name: {'n' * 64}, sources"))
    assert len(environment(target(path))[NAME_VARIABLE]) == 64


def test_an_image_that_is_missing_is_asked_for_once_and_told_to_all() -> None:
    asked: list[str] = []

    def missing(name: str, is_pulled: bool) -> Image:
        asked.append(name)
        raise FleetError(f"{name} is not here", hint="Build it.")

    targets = Targets("f", missing)
    for _ in range(3):
        with pytest.raises(FleetError, match="is not here"):
            targets.of(device(DEMO))
    assert len(asked) == 1


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(FleetError) as caught:
        file_for_device(tmp_path)
    assert str(tmp_path) in caught.value.message
    assert caught.value.hint
