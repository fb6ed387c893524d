"""The YAML reader: values and lines, and a clear refusal of everything that is no settings file."""

import os
from pathlib import Path

import pytest

from app.errors import SettingsError
from config._yaml import MAX_BYTES, parse_yaml, read_yaml


def test_values_come_with_the_line_of_each_key() -> None:
    read = parse_yaml("# one\nvision:\n  yolo:\n    iou: 0.5\n\n    classes: [0, person]\n", "x.yaml")
    assert read.values == {"vision": {"yolo": {"iou": 0.5, "classes": [0, "person"]}}}
    assert read.lines == {"vision": 2, "vision.yolo": 3, "vision.yolo.iou": 4, "vision.yolo.classes": 6}


@pytest.mark.parametrize(
    "text", ["", "# only a comment\n", "---\n", "\ufeff"], ids=["empty", "comment", "dashes", "bom"]
)
def test_a_file_without_keys_is_an_empty_one(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text, encoding="utf-8")
    if text == "---\n":  # an explicit empty document holds null, and null is no section
        with pytest.raises(SettingsError, match="sections"):
            read_yaml(path)
    else:
        assert read_yaml(path).values == {}


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: zwei\r\n")
    assert read_yaml(path).values == {"a": 1, "b": "zwei"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("x: 2024-01-31", "2024-01-31", id="a-date-stays-text"),
        pytest.param("x: 2024-99-99", "2024-99-99", id="so-does-an-impossible-date"),
        pytest.param("x: '640'", "640", id="quoted-digits-stay-text"),
        pytest.param("x: .inf", float("inf"), id="infinity"),
        pytest.param("x: ~", None, id="null"),
        pytest.param("x: yes", True, id="yes"),
        pytest.param("x: {a: [1, {b: 2}]}", {"a": [1, {"b": 2}]}, id="nested"),
    ],
)
def test_scalars(text: str, value: object) -> None:
    assert parse_yaml(text, "x.yaml").values == {"x": value}


def test_a_key_is_the_word_that_is_written() -> None:
    assert parse_yaml("on: 1\n5: 2\n~: 3", "x.yaml").values == {"on": 1, "5": 2, "~": 3}


BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        pytest.param("a: 1\nb: [1,\n", 3, "", id="unfinished-list"),
        pytest.param("a:\n\tb: 1\n", 2, "cannot start any token", id="tab"),
        pytest.param("a: 1\nb:\n  c: 1\na: 2\n", 4, "'a' is here twice (first in line 1)", id="duplicate"),
        pytest.param("a:\n  b: 1\n  b: 2\n", 3, "'a.b' is here twice (first in line 2)", id="nested-duplicate"),
        pytest.param("- a\n- b\n", 1, "sections", id="a-list"),
        pytest.param("just words\n", 1, "sections", id="a-scalar"),
        pytest.param("a: 1\n---\nb: 2\n", 2, "another document", id="two-documents"),
        pytest.param(BOMB, 2, "aliases", id="billion-laughs"),
        pytest.param("a: &a\n  b: *a\n", 2, "aliases", id="recursive-alias"),
        pytest.param("a: &a {x: 1}\nb:\n  <<: *a\n", 3, "aliases", id="merge"),
        pytest.param("a: !!python/object/apply:os.system [ls]\n", 1, "tag", id="python-tag"),
        pytest.param("a: !mine 3\n", 1, "tag", id="own-tag"),
        pytest.param("a: !!set {x}\n", 1, "tag", id="set"),
        pytest.param("a: !!int word\n", 1, "not of type int", id="int-that-is-none"),
        pytest.param("a: !!int ''\n", 1, "not of type int", id="empty-int"),
        pytest.param("a: !!bool word\n", 1, "not of type bool", id="bool-that-is-none"),
        pytest.param("a: " + "9" * 5000, 1, "not of type int", id="more-digits-than-python-reads"),
        pytest.param("[a]: 1\n", 1, "a key must be a word", id="list-as-key"),
        pytest.param("a: " + "[" * 5000, 1, "nested more than", id="deep"),
        pytest.param("{a: " * 5000, 1, "nested more than", id="deep-mappings"),
    ],
)
def test_what_is_refused(text: str, line: int, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_yaml(text, "x.yaml")
    assert caught.value.message.startswith(f"x.yaml, line {line}: ")
    assert says in caught.value.message
    assert caught.value.hint


def test_a_tab_is_told_to_be_a_space() -> None:
    with pytest.raises(SettingsError) as caught:
        parse_yaml("a:\n\tb: 1\n", "x.yaml")
    assert "spaces" in caught.value.hint


def test_a_control_character_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"x\.yaml: special characters"):
        parse_yaml("a: \x01", "x.yaml")


def test_bytes_that_are_no_utf8_name_their_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes("a: 1\nb: größe\n".encode("latin-1"))
    with pytest.raises(SettingsError, match=r"latin\.yaml, line 2: byte 0xf6 is not UTF-8"):
        read_yaml(path)


def test_size_limit_is_exact(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"a: 1\n#".ljust(MAX_BYTES, b"x"))
    assert read_yaml(path).values == {"a": 1}
    path.write_bytes(b"a: 1\n#".ljust(MAX_BYTES + 1, b"x"))
    with pytest.raises(SettingsError, match="larger than 64 KiB"):
        read_yaml(path)


def test_an_endless_file_is_not_read_to_its_end() -> None:
    with pytest.raises(SettingsError, match="larger than"):
        read_yaml(Path("/dev/zero"))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        pytest.param("missing.yaml", "No such file", id="missing"),
        pytest.param(".", "Is a directory", id="directory"),
        pytest.param("loop.yaml", "symbolic links", id="loop"),
        pytest.param("nul\0.yaml", "null byte", id="nul"),
    ],
)
def test_a_file_that_cannot_be_opened(name: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    with pytest.raises(SettingsError, match=says) as caught:
        read_yaml(tmp_path / name)
    assert str(tmp_path) in caught.value.message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("a: 1")
    path.chmod(0)
    with pytest.raises(SettingsError, match="Permission denied"):
        read_yaml(path)


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    os.mkfifo(path)
    with pytest.raises(SettingsError, match="it is a pipe") as caught:
        read_yaml(path)
    assert "Name a readable YAML file" in caught.value.hint
