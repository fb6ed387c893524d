"""The manifest: what is written comes back, and nothing else is believed."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.engines.manifest import FORMAT, MAX_BYTES, Manifest
from app.errors import EngineDamaged, EngineStale
from tests.engines.samples import identity, record

MANIFEST = Manifest.of(record(), engine="yolo11n-pose-fp16-0123456789ab.engine", size=6, sha256="a" * 64)
TEXT = MANIFEST.to_json()


def changed(change: Callable[[dict[str, Any]], Any]) -> bytes:
    values = json.loads(TEXT)
    change(values)
    return json.dumps(values).encode()


def test_what_is_written_comes_back() -> None:
    assert Manifest.from_json(TEXT.encode(), "x.json") == MANIFEST


def test_a_manifest_of_the_first_format_has_no_board_and_is_read() -> None:
    def first(values: dict[str, Any]) -> None:
        del values["board"], values["build"]
        values["format"] = 1

    assert Manifest.from_json(changed(first), "x.json") == replace(MANIFEST, format=1)


def test_the_board_of_the_build_comes_back() -> None:
    made = Manifest.of(replace(record(), board={"power_mode": "15W"}), engine="a.engine", size=6, sha256="a" * 64)
    assert Manifest.from_json(made.to_json().encode(), "x.json").board == {"power_mode": "15W"}


def test_people_can_read_it() -> None:
    lines = TEXT.splitlines()
    assert len(lines) > 40
    assert '  "requested": "FP16",' in lines
    assert f'  "key": "{identity().key}",' in lines
    keys = list(json.loads(TEXT))
    assert keys == sorted(keys)


def test_a_newer_format_is_stale_and_says_so() -> None:
    with pytest.raises(EngineStale, match="newer jetsmith") as caught:
        Manifest.from_json(changed(lambda values: values.update(format=FORMAT + 1, something="new")), "x.json")
    assert "jetsmith convert" in caught.value.hint


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "no manifest", id="empty"),
        pytest.param(b"\x00\xff\x00", "no manifest", id="binary"),
        pytest.param(TEXT.encode()[:-40], "no manifest", id="truncated"),
        pytest.param(b"[]", "one JSON object", id="a list"),
        pytest.param(b"{}", "`format` is missing", id="an empty object"),
        pytest.param(b"[" * 200_000, "nested too deeply", id="nested without end"),
        pytest.param(b" " * (MAX_BYTES + 1), "at most", id="too large"),
        pytest.param(TEXT.replace("12.5", "NaN").encode(), "NaN", id="NaN"),
        pytest.param(TEXT.replace("12.5", "1e999").encode(), "too large", id="infinite"),
        pytest.param(TEXT.replace("12.5", '"fast"').encode(), "`seconds` must hold numbers", id="text for a number"),
        pytest.param(TEXT.replace("12.5", '"\\ud800"').encode(), "surrogates", id="half a character"),
        pytest.param(b'{"format": 1, "format": 1}', "twice", id="a key twice"),
        pytest.param(changed(lambda v: v.update(extra=1)), "unknown key 'extra'", id="unknown key"),
        pytest.param(
            changed(lambda v: v.update(board={"gpu_mhz": 306})), "`board` must hold text", id="a board of numbers"
        ),
        pytest.param(changed(lambda v: v["weights"].update(extra=1)), "weights .*unknown key", id="unknown inner key"),
        pytest.param(changed(lambda v: v.pop("sha256")), "`sha256` is missing", id="missing key"),
        pytest.param(changed(lambda v: v.update(size=True)), "`size` must be a whole number", id="true for a number"),
        pytest.param(changed(lambda v: v.update(size=-1)), "`size`", id="negative size"),
        pytest.param(changed(lambda v: v.update(created="yesterday")), "`created` must be a time", id="no time"),
        pytest.param(changed(lambda v: v.update(created="2026-01-02T03:04:05")), "`created`", id="time without zone"),
        pytest.param(changed(lambda v: v.update(format="1")), "`format`", id="format as text"),
        pytest.param(changed(lambda v: v.update(sha256="A" * 64)), "`sha256`", id="no digest"),
        pytest.param(changed(lambda v: v.update(actual="fast")), "`actual` must be FP32", id="no precision"),
        pytest.param(changed(lambda v: v.update(actual=["FP16"])), "`actual` must be FP32", id="list for precision"),
        pytest.param(changed(lambda v: v.update(engine="../../etc/passwd")), "`engine`", id="path upwards"),
        pytest.param(changed(lambda v: v.update(engine="/etc/passwd")), "`engine`", id="absolute path"),
        pytest.param(changed(lambda v: v.update(engine=".hidden.engine")), "`engine`", id="hidden file"),
        pytest.param(changed(lambda v: v.update(engine="x.engine\n")), "`engine`", id="newline in the name"),
        pytest.param(changed(lambda v: v["identity"]["recipe"].update(precision="FP32")), "key", id="edited identity"),
        pytest.param(changed(lambda v: v["identity"]["platform"].update(gpu=7)), "text only", id="number for text"),
        pytest.param(changed(lambda v: v["identity"].update(recipe=None)), "`recipe` must be a table", id="no table"),
    ],
)
def test_anything_else_is_refused_with_its_reason(data: bytes, reason: str) -> None:
    with pytest.raises(EngineDamaged, match=reason) as caught:
        Manifest.from_json(data, "x.json")
    assert caught.value.message.startswith("x.json")
    assert "jetsmith convert" in caught.value.hint


def test_an_unknown_backend_is_refused() -> None:
    alien = Manifest.of(record(identity(backend="abacus")), engine="x.engine", size=1, sha256="a" * 64)
    with pytest.raises(EngineDamaged, match="backend"):
        Manifest.from_json(alien.to_json().encode(), "x.json")


def test_figures_that_are_no_numbers_are_not_written() -> None:
    broken = Manifest.of(record(), engine="x.engine", size=1, sha256="a" * 64)
    broken = Manifest(**{**vars(broken), "seconds": {"build": float("nan")}})
    with pytest.raises(ValueError, match="not JSON compliant"):
        broken.to_json()


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(json.loads(TEXT))), _json)
def test_any_value_under_any_key_is_read_or_refused(key: str, value: Any) -> None:
    data = changed(lambda values: values.update({key: value}))
    try:
        manifest = Manifest.from_json(data, "x.json")
    except (EngineDamaged, EngineStale):
        return
    assert Manifest.from_json(manifest.to_json().encode(), "x.json") == manifest


@given(st.one_of(st.binary(max_size=200), _json.map(lambda value: json.dumps(value).encode())))
def test_any_bytes_are_refused_without_a_crash(data: bytes) -> None:
    with pytest.raises(EngineDamaged):
        Manifest.from_json(data, "x.json")


@given(st.integers(0, len(TEXT) - 1), st.integers(0, 255))
def test_one_altered_byte_is_read_or_refused(position: int, byte: int) -> None:
    data = bytearray(TEXT.encode())
    data[position] = byte
    try:
        Manifest.from_json(bytes(data), "x.json").to_json()
    except (EngineDamaged, EngineStale):
        return


@pytest.mark.parametrize("model", [{}, {"task": "pose"}, {"task": "x", "names": [], "imgsz": 1}, {"task": []}])
def test_garbage_for_a_model_is_damage(model: dict[str, Any]) -> None:
    with pytest.raises(EngineDamaged, match="metadata cannot be read") as caught:
        Manifest.from_json(changed(lambda values: values.update(model=model)), "x.json")
    assert "jetsmith convert" in caught.value.hint


def test_half_a_character_in_a_name_comes_back_spelled_out() -> None:
    made = record()
    made = replace(
        made,
        model={**made.model, "names": {0: "per\ud800son", 1: "ü"}},
        weights=replace(made.weights, name="\udcff.pt"),
        verification={"\udcff": ("\udcff", 1)},
    )
    written = Manifest.of(made, engine="a.engine", size=6, sha256="a" * 64)
    assert Manifest.from_json(written.to_json().encode(), "x.json").model["names"] == {"0": r"per\ud800son", "1": "ü"}
