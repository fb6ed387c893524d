from pathlib import Path

import pytest

from app.convert.pictures import calibration_pictures, spread, verification_pictures
from app.errors import SettingsError
from app.vision.pictures import PICTURE_SUFFIXES


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    for name in ("train/a.jpg", "train/deep/b.PNG", "val/c.jpeg", "val/notes.txt", "val/d.webp", "val/._c.jpeg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "data.yaml").write_text("path: .\ntrain: train\nval: val\nnames: {0: a}\n")
    (tmp_path / "train_only.yaml").write_text("train: [train, val]\n")
    return tmp_path


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        pytest.param("train", ["a.jpg", "b.PNG"], id="folder-and-below"),
        pytest.param("val/*", ["c.jpeg", "d.webp"], id="glob-takes-pictures-only"),
        pytest.param("**/*.jpg", ["a.jpg"], id="deep-glob"),
        pytest.param("data.yaml", ["c.jpeg", "d.webp"], id="dataset-val"),
        pytest.param("train_only.yaml", ["a.jpg", "b.PNG", "c.jpeg", "d.webp"], id="dataset-list"),
    ],
)
def test_what_a_set_may_be(dataset: Path, wanted: str, names: list[str]) -> None:
    assert [path.name for path in calibration_pictures(str(dataset / wanted))] == names


@pytest.mark.parametrize("content", [None, "", "[1, 2]", "val: nowhere", "a: [", "\x00"])
def test_no_picture_is_an_error_that_names_the_key(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "data.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsError, match=r"calibration\.images"):
        calibration_pictures(str(path))


@pytest.mark.parametrize("suffix", sorted(PICTURE_SUFFIXES))
def test_a_set_is_of_what_infer_reads(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a{suffix}").write_bytes(b"x")
    assert calibration_pictures(str(tmp_path)) == [tmp_path / f"a{suffix}"]


def test_spread_takes_from_the_whole_set() -> None:
    paths = [Path(str(number)) for number in range(100)]
    assert [path.name for path in spread(paths, 4)] == ["0", "25", "50", "75"]
    assert spread(paths[:3], 4) == paths[:3]


def test_ultralytics_photographs_and_the_demo_scenes_stand_in(dataset: Path) -> None:
    names = [path.name for path in verification_pictures(None, dataset)]
    assert {"bus.jpg", "zidane.jpg", "a.jpg", "c.jpeg"} <= set(names)
    assert [path.name for path in verification_pictures(str(dataset / "train"), dataset)] == ["a.jpg", "b.PNG"]
