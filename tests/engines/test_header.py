"""The header of a TensorRT engine, as Ultralytics reads and writes it."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.engines.header import MAX_HEADER_BYTES, read_header, write_header

METADATA = {"task": "pose", "imgsz": [640, 640], "names": {"0": "persön"}, "stride": 32}


def ultralytics_reader(data: bytes) -> tuple[dict[str, Any], int]:
    """The rule as the facts state it: it is a header if the length fits and the bytes are JSON."""
    length = int.from_bytes(data[:4], "little", signed=True)
    if 0 < length <= len(data) - 4:
        try:
            return json.loads(data[4 : 4 + length].decode()), 4 + length
        except ValueError:
            return {}, 0
    return {}, 0


def test_what_is_written_is_read_back_before_the_plan(tmp_path: Path) -> None:
    data = write_header(METADATA) + b"the plan"
    path = tmp_path / "x.engine"
    path.write_bytes(data)
    header, offset = read_header(path)
    assert header == METADATA
    assert data[offset:] == b"the plan"
    assert read_header(data) == (header, offset) == ultralytics_reader(data)


def test_the_length_is_four_bytes_little_endian_and_the_text_ascii() -> None:
    data = write_header(METADATA)
    assert struct.unpack("<i", data[:4])[0] == len(data) - 4
    assert data[4:].isascii()


def test_numeric_class_ids_become_text_as_json_has_no_other() -> None:
    assert read_header(write_header({"names": {0: "person"}}))[0] == {"names": {"0": "person"}}


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x05\x00", id="two bytes"),
        pytest.param(struct.pack("<i", 0) + b"{}", id="length zero"),
        pytest.param(struct.pack("<i", -2) + b"{}", id="length negative"),
        pytest.param(struct.pack("<i", 3) + b"{}", id="longer than the file"),
        pytest.param(struct.pack("<i", 2) + b"ab", id="no JSON"),
        pytest.param(struct.pack("<i", 2) + b"[]", id="JSON, but no object"),
        pytest.param(struct.pack("<i", 2) + b"\xff\xfe", id="not UTF-8"),
        pytest.param(struct.pack("<i", 100_000) + b"[" * 100_000, id="nested without end"),
        pytest.param(
            struct.pack("<i", MAX_HEADER_BYTES + 2) + b'{"a":"' + b"b" * (MAX_HEADER_BYTES - 6) + b'"}', id="too large"
        ),
        pytest.param(b"ftrt" + bytes(100), id="a bare plan"),
    ],
)
def test_a_file_without_header_is_a_bare_plan(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.engine"
    path.write_bytes(data)
    assert read_header(data) == read_header(path) == ({}, 0)


def test_a_header_that_could_not_be_read_back_is_not_written() -> None:
    with pytest.raises(ValueError, match="at most"):
        write_header({"names": "x" * MAX_HEADER_BYTES})


@given(
    st.one_of(st.binary(), st.tuples(st.integers(-3, 40), st.binary()).map(lambda t: struct.pack("<i", t[0]) + t[1]))
)
def test_any_bytes_are_read_without_a_crash(data: bytes) -> None:
    header, offset = read_header(data)
    assert isinstance(header, dict)
    assert 0 <= offset <= len(data)
    assert (offset == 0) <= (header == {})


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@settings(max_examples=50)
@given(st.dictionaries(st.text(), _json), st.binary())
def test_any_header_comes_back(header: dict[str, Any], plan: bytes) -> None:
    data = write_header(header) + plan
    found, offset = read_header(data)
    assert found == header
    assert data[offset:] == plan
