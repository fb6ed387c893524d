import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.weights_file import trained_size
from config.settings import load_settings
from tests.command import PROJECT_ROOT


def _archive(path: Path, data: bytes, name: str = "best/data.pkl") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, data)
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("side", [32, 224, 416, 640, 1280, 70_000])
def test_the_size_is_read_from_any_protocol(tmp_path: Path, protocol: int, side: int) -> None:
    data = pickle.dumps({"epoch": -1, "train_args": {"task": "detect", "imgsz": side}}, protocol)
    assert trained_size(_archive(tmp_path / "best.pt", data)) == side


@pytest.mark.parametrize(("model", "side"), [("detect", 320), ("seg", 320), ("pose", 320), ("obb", 320), ("cls", 224)])
def test_real_checkpoints_tell(model: str, side: int) -> None:
    assert trained_size(PROJECT_ROOT / "models" / "demo" / f"demo-{model}.pt") == side


def test_a_custom_size_tells(shared_data: Callable[[str], Path]) -> None:
    assert trained_size(shared_data("weights/yolo26n_ball_nc1_416.pt")) == 416


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"not a zip", pickle.dumps({"imgsz": 640})])
def test_other_files_do_not(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "best.pt").write_bytes(data)
    assert trained_size(tmp_path / "best.pt") is None


def test_a_file_that_is_not_there_does_not(tmp_path: Path) -> None:
    assert trained_size(tmp_path / "gone.pt") is None


def test_a_checkpoint_without_the_size_does_not(tmp_path: Path) -> None:
    assert trained_size(_archive(tmp_path / "best.pt", pickle.dumps({"train_args": {}}))) is None
    assert trained_size(_archive(tmp_path / "other.pt", pickle.dumps({"imgsz": 64}), "best/other.pkl")) is None


@given(st.binary(max_size=200))
def test_any_pickle_gives_a_number_or_nothing(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = _archive(tmp_path_factory.mktemp("any") / "best.pt", b"imgsz" + data)
    assert trained_size(path) is None or isinstance(trained_size(path), int)


@pytest.mark.parametrize(
    ("side", "size"),
    [
        pytest.param(224, (224, 224), id="as-trained"),
        pytest.param(100, (128, 128), id="rounded-up-to-the-stride"),
        pytest.param(8, (640, 640), id="nonsense"),
    ],
)
def test_the_settings_take_it_for_weights_of_ones_own(tmp_path: Path, side: int, size: tuple[int, int]) -> None:
    weights = _archive(tmp_path / "mine.pt", pickle.dumps({"train_args": {"imgsz": side}}))
    key = "vision.yolo.model_source.pt_model_path"
    assert load_settings(PROJECT_ROOT / "config" / "demo.yaml", {key: str(weights)}).vision.yolo.input_size == size
    chosen = {key: str(weights), "vision.yolo.input_size": [96, 64]}
    assert load_settings(PROJECT_ROOT / "config" / "demo.yaml", chosen).vision.yolo.input_size == (96, 64)
