"""The section of the service."""

from pathlib import Path

import pytest

from app.errors import SettingsError
from config.settings import PROJECT_ROOT, load_settings
from tests.config.conftest import Write


def test_files_start_at_the_project_and_addresses_stay(write: Write) -> None:
    text = "infer: {sources: [rtsp://u:p@h/1, camera:0, videos/a.mp4, ~/b], sinks: {jsonl: '-', save: runs/x}}"
    infer = load_settings(write(text)).infer

    assert infer.sources == ("rtsp://u:p@h/1", "camera:0", str(PROJECT_ROOT / "videos/a.mp4"), str(Path.home() / "b"))
    assert (infer.sinks.jsonl, infer.sinks.save, infer.sinks.crops) == ("-", PROJECT_ROOT / "runs/x", None)


def test_sources_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JETSMITH_INFER__SOURCES", "rtsp://h/1, camera:0")

    assert load_settings().infer.sources == ("rtsp://h/1", "camera:0")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("sources: rtsp://h/1", "infer.sources", id="no list"),
        pytest.param("sources: ['-']", "names no source of a service", id="standard input"),
        pytest.param("sources: [a.mp4, a.mp4]", "named twice", id="the same twice"),
        pytest.param("sources: [5]", "infer.sources", id="a number"),
        pytest.param("fps: 0", "infer.fps", id="no frame at all"),
        pytest.param("stride: 0", "infer.stride", id="no stride"),
        pytest.param("name: ../x", "infer.name", id="a path for a name"),
        pytest.param("sinks: {keep_mb: -1}", "infer.sinks.keep_mb", id="a negative size"),
        pytest.param("sinks: {jsonl: ''}", "infer.sinks.jsonl", id="an empty path"),
    ],
)
def test_what_cannot_be_is_told(write: Write, text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load_settings(write(f"infer: {{{text}}}"))


def test_a_wrong_source_is_told_without_its_password(write: Write) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(write("infer: {sources: ['rtsp://u:secret@h/1', '-']}"))

    assert "secret" not in caught.value.message
