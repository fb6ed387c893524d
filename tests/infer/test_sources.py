from collections.abc import Callable
from pathlib import Path

import pytest

from app.infer.frame import Failure, Frame
from app.infer.sources.choose import open_sources
from app.infer.sources.listing import find
from tests.infer.desk import Desk
from tests.infer.doubles import encoded, photo

PNG = encoded(photo(), "PNG")
Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Pictures by name below an empty folder, which is also the current one."""
    monkeypatch.chdir(tmp_path)

    def make(*names: str) -> Path:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(PNG)
        return tmp_path

    return make


def _found(*sources: str) -> list[str]:
    found = [item for source in sources for item in find(source)]
    assert not [item for item in found if isinstance(item, Failure)]
    return [str(item) for item in found]


def _failure(source: str) -> Failure:
    (only,) = _items(source)
    assert isinstance(only, Failure)
    return only


def _items(*sources: str) -> list[Frame | Failure]:
    return [item for source in open_sources(sources) for item in source.read(Desk())]


def test_a_folder_gives_its_own_pictures_in_natural_order(make: Make) -> None:
    make("d/img10.png", "d/img2.JPG", "d/IMG1.png", "d/sub/x.png", "d/notes.txt", "d/.hidden.png", "d/._img2.jpg")
    Path("d/folder.png").mkdir()

    assert _found("d") == ["d/IMG1.png", "d/img2.JPG", "d/img10.png"]


def test_globs(make: Make) -> None:
    root = make("d/a.png", "d/e/b.png", "d/e/f/c.jpg", "d/e/f/d.txt", "top.png")

    assert _found("d/*.png") == ["d/a.png"]
    assert _found("d/**/*.png") == ["d/a.png", "d/e/b.png"]
    assert _found("d/**") == ["d/a.png", "d/e/b.png", "d/e/f/c.jpg"]
    assert _found(f"{root}/d/e/*") == [f"{root}/d/e/b.png"]
    assert _found("d/../t?p.png") == ["d/../top.png"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(make: Make) -> None:
    make("photo[1].png", "photo1.png", "what?.png")

    assert _found("photo[1].png", "what?.png") == ["photo[1].png", "what?.png"]


def test_loops_of_links_end(make: Make) -> None:
    make("d/a.png")
    Path("d/one").symlink_to(".")
    Path("d/two").symlink_to(".")

    assert _found("d/**/*.png") == ["d/a.png"]
    assert _found("d") == ["d/a.png"]


def test_order_and_repetition_are_the_users(make: Make) -> None:
    make("b.png", "a.png")

    assert _found("b.png", ".", "b.png") == ["b.png", "a.png", "b.png", "b.png"]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        pytest.param("empty", "holds no picture and no video", id="a folder without a picture"),
        pytest.param("nothing/*.jpg", "no picture and no video matches", id="a glob without a match"),
        pytest.param("a**b/*.png", "", id="a bad pattern"),
        pytest.param("", "an empty name", id="empty"),
        pytest.param("ftp://example.org/x.jpg", "ftp:// is no source", id="a scheme that is not served"),
        pytest.param("http://[::1/x.jpg", "no address", id="a bad address"),
        pytest.param("csi://front", "no CSI camera", id="a bad sensor"),
    ],
)
def test_a_source_without_pictures_is_a_failure(make: Make, source: str, says: str) -> None:
    make("x.png")
    Path("empty").mkdir()

    assert says in _failure(source).error.message
    assert _failure(source).error.hint


def test_every_source_is_a_frame_or_a_failure(make: Make) -> None:
    make("größe mit leerzeichen.png")
    Path("bad.jpg").write_bytes(b"")

    items = _items("missing.jpg", "größe mit leerzeichen.png", "bad.jpg")

    assert [item.source for item in items] == ["missing.jpg", "größe mit leerzeichen.png", "bad.jpg"]
    assert [type(item) for item in items] == [Failure, Frame, Failure]
    assert isinstance(items[1], Frame)
    assert items[1].image.shape == (40, 60, 3)


def test_pictures_are_read_one_at_a_time(make: Make) -> None:
    make("a.png", "b.png")
    (source,) = open_sources(["a.png", "b.png"])
    frames = source.read(Desk())
    next(frames)
    Path("b.png").unlink()

    assert isinstance(next(frames), Failure)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("rtsp://me:geheim@cam/1", "rtsp://cam/1"),
        ("rtsp://cam:554/user=me&password=geheim&channel=1", "rtsp://cam:554/user=…&password=…&channel=1"),
        ("rtsp://cam/1?user=me&pw=geheim", "rtsp://cam/1?…"),
        ("http://me:ge/h@eim@cam/mjpg?token=geheim", "http://cam/mjpg?…"),
        ("rtmp://me:geheim@cam/1", "rtmp://cam/1"),
    ],
)
def test_names_have_no_password(address: str, name: str) -> None:
    assert [source.name for source in open_sources([address])] == [name]


def test_channels_that_differ_in_what_is_masked_have_names_of_their_own() -> None:
    sources = open_sources(["rtsp://cam/?channel=1", "rtsp://cam/?channel=2"])

    assert [source.name for source in sources] == ["rtsp://cam/?…", "rtsp://cam/?… #2"]
