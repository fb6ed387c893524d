"""What a container on a device says is read as if an enemy had written it."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from app.engines.manifest import Manifest
from app.errors import FleetError
from app.fleet.docker_host.probe import _aliases, read_answer
from tests.engines.samples import record

FILE = ".fleet/" + "a" * 64 + "/w.pt"
GOOD: Mapping[str, Any] = {
    "release": "# R36 (release), REVISION: 4.3, GCID: 1\n",
    "model": "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\0",
    "compatible": "nvidia,p3768-0000+p3767-0005-super\0nvidia,p3767-0005\0nvidia,tegra234\0",
    "meminfo": "MemTotal: 7800000 kB\nMemAvailable: 4000000 kB\n",
    "disk": 5 << 30,
    "files": {FILE: "a" * 64},
    "manifest": "",
}


def said(**over: Any) -> bytes:
    return json.dumps({**GOOD, **over}).encode()


def test_a_jetson() -> None:
    answer = read_answer(said(), [FILE])
    assert answer.board.l4t == "36.4.3"
    assert answer.board.module == "Jetson Orin Nano 8GB"
    assert answer.board.free_disk_bytes == 5 << 30
    assert answer.board.free_memory_bytes == 4_000_000 * 1024
    assert answer.files == {FILE: "a" * 64}
    assert answer.engine is None


def test_no_jetson() -> None:
    answer = read_answer(said(release="", model="", compatible=""), [])
    assert (answer.board.l4t, answer.board.module, answer.files) == ("unknown", "", {})


HOSTILE = {
    "nothing": b"",
    "no-json": b"hello",
    "no-utf-8": b"\xff",
    "a-list": b"[]",
    "deep": b"[" * 100_000,
    "endless": said() + b" " * (4 << 20),
    "text-missing": json.dumps({name: value for name, value in GOOD.items() if name != "model"}).encode(),
    "text-a-number": said(model=1),
    "text-too-long": said(model="x" * 5000),
    "disk-negative": said(disk=-1),
    "disk-a-text": said(disk="9"),
    "disk-a-float": said(disk=1.5),
    "disk-true": said(disk=True),
    "disk-huge": said(disk=1 << 70),
    "files-a-list": said(files=[]),
    "two-lines": said() + b"\n" + said(),
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_no_device_says(hostile: bytes) -> None:
    with pytest.raises(FleetError) as raised:
        read_answer(hostile, [FILE])
    assert "answers strangely" in raised.value.message
    assert raised.value.hint


@pytest.mark.parametrize("digest", ["", "A" * 64, "a" * 63, 7, None, "a" * 64 + "\n", ["a"]])
def test_what_is_no_digest_is_no_file(digest: object) -> None:
    assert read_answer(said(files={FILE: digest}), [FILE]).files == {}


def test_files_that_were_not_asked_for_are_not_told() -> None:
    assert read_answer(said(files={"../x": "a" * 64, FILE: "b" * 64}), [FILE]).files == {FILE: "b" * 64}


def test_the_engine_is_told_by_its_manifest() -> None:
    manifest = Manifest.of(record(), engine="yolo11n-pose-fp16-0123456789ab.engine", size=6, sha256="b" * 64)
    engine = read_answer(said(manifest=manifest.to_json()), []).engine
    assert engine is not None
    assert (engine.sha256, engine.precision, engine.identity) == ("b" * 64, "FP16", manifest.identity.key)
    assert engine.built == manifest.created


@pytest.mark.parametrize("manifest", ["{}", "[]", "x", "[" * 50_000, '{"format": 99}', "\ud800"])
def test_what_is_no_manifest_is_no_engine(manifest: str) -> None:
    assert read_answer(said(manifest=manifest), []).engine is None


@pytest.mark.parametrize("text", ["MemAvailable: -1 kB", "MemAvailable: 99999999999999999999 kB", "\0", ""])
def test_memory_that_cannot_be_read_is_none(text: str) -> None:
    assert read_answer(said(meminfo=text), []).board.free_memory_bytes == 0


@pytest.mark.parametrize("alias", ["", "/etc/passwd", "/opt/jetsmith/models/../../x.engine", "demo.engine"])
def test_an_alias_outside_the_models_is_not_asked_for(alias: str) -> None:
    assert _aliases(alias) == []


def test_an_alias_is_asked_for_as_each_backend_has_it() -> None:
    assert "demo-x.ort.onnx" in _aliases("/opt/jetsmith/models/demo-x.engine")
    assert "demo-x.engine" in _aliases("/opt/jetsmith/models/demo-x.engine")
