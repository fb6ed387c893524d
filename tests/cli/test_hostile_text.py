"""What others wrote into files, shown: it neither steers the terminal nor is taken for markup, and secrets stay."""

import io
import json
from pathlib import Path

import pytest

from app.cli import main
from app.cli.reporters import PlainReporter, _TerminalReporter
from app.engines.engine import manifest_path
from app.engines.identity import Identity
from app.engines.store import EngineStore
from app.text import masked, masked_value, printable
from tests.engines.samples import identity, publish

EVIL = "\x1b]0;owned\x07\x1b[31m"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineStore:
    monkeypatch.setenv("JETSMITH_MODELS_DIR", str(tmp_path / "models"))
    return EngineStore(tmp_path / "models" / "engines")


def test_what_steers_a_terminal_is_spelled_out() -> None:
    assert printable(f"{EVIL}\n\u202e\ud800", keep="\n") == "\\x1b]0;owned\\x07\\x1b[31m\n\\u202e\\ud800"


@pytest.mark.parametrize("flags", [[], ["--verbose"]])
def test_an_error_is_printable(flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engines", "show", f"evil{EVIL}", "--config", str(tmp_path / f"a{EVIL}.yaml"), *flags]) == 1
    said = capsys.readouterr().err
    assert "error: " in said
    assert "\x1b" not in said
    assert "\x07" not in said


def test_both_reporters_are_printable() -> None:
    for stream in (io.StringIO(), io.StringIO()):
        for reporter in (PlainReporter(stream, verbose=True), _TerminalReporter(stream, verbose=True)):
            with reporter.phase(f"build [/red] {EVIL}"):
                reporter.note(f"note [/red] {EVIL}")
                reporter.warn(f"warn {EVIL}")
                reporter.detail(f"detail {EVIL}")
        said = stream.getvalue()
        assert said.count("build [/red] \\x1b]0;owned") >= 2
        assert said.count("note [/red] \\x1b]0;owned") == 2
        assert "\x1b]0" not in said
        assert "\x07" not in said


def test_the_list_takes_no_word_for_markup(store: EngineStore, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = identity()
    hostile = Identity(hostile.recipe, {**hostile.platform, "gpu": f"[/red]{EVIL}"})
    publish(store, hostile, alias=store.root.parent / "a[bold]b.engine")
    assert main(["engines", "list"]) == 0
    said = capsys.readouterr().out
    assert "a[bold]b.engine" in said
    assert "\x1b" not in said


def test_garbage_for_a_model_is_a_damaged_engine_and_no_obstacle(
    store: EngineStore, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = manifest_path(publish(store).path)
    values = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**values, "model": {}}))
    assert main(["engines", "list"]) == 0
    assert "damaged" in capsys.readouterr().out


# Secrets

SECRET_URLS = [
    "https://user:s3cr/et@host/x",
    "https://user:s3cr@et@host/x",
    "https://user:s3cr?et@host/x",
    "https://host/x?token=s3cr-et",
]


@pytest.mark.parametrize("url", SECRET_URLS)
def test_no_message_shows_a_secret(url: str) -> None:
    for shown in (masked(f"{url} cannot be fetched"), masked_value(url)):
        assert "s3cr" not in shown
        assert "et" not in shown.removesuffix(" cannot be fetched")
        assert "host/x" in shown


@pytest.mark.parametrize("text", ["640", "/data/a?.png", "https://host/x", "FP16", "{'a': 1}"])
def test_what_is_no_secret_is_shown_whole(text: str) -> None:
    assert masked_value(text) == text


@pytest.mark.parametrize("url", [*SECRET_URLS, "https://user:s3cr et@host/x", "user:s3cr@host/x", "host/x?key=s3cr"])
@pytest.mark.parametrize("name", ["WEIGHTS_URL", "WEIGHT_URL", "yaml", "yaml, mistyped"])
def test_no_setting_shows_a_secret(
    url: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tmp_path / "config.yaml"
    key = "weight_url" if "mistyped" in name else "weights_url"
    written = f"vision:\n  yolo:\n    model_source:\n      {key}: '{url}'\n" if "yaml" in name else ""
    settings.write_text(written)
    if not written:
        monkeypatch.setenv(f"JETSMITH_VISION__YOLO__MODEL_SOURCE__{name}", url)
    main(["config", "--config", str(settings)])
    said = capsys.readouterr()
    assert "s3cr" not in said.out + said.err
    assert "host/x" in said.out + said.err
