"""Settings that cannot be used: whoever watches the status files learns of it, until they are mended."""

from pathlib import Path

import pytest

from app.cli import main
from app.status import FOLDER, State, read_status, status_path

GOOD = "vision: {yolo: {model_source: {base_model: demo-pose}}}"


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JETSMITH_MODELS_DIR", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param("vision: {yolo: {model_sauce: {}}}", "model_sauce", id="no-setting"),
        pytest.param("vision: [", "board.yaml", id="no-yaml"),
        pytest.param("vision: {yolo: {model_source: {base_model: yolo99}}}", "yolo99", id="no-model"),
    ],
)
def test_they_have_a_status_until_they_are_mended(content: str, reason: str, models: Path, tmp_path: Path) -> None:
    config = tmp_path / "board.yaml"
    config.write_text(content)
    assert main(["convert", "--config", str(config)]) == 1
    status = read_status(status_path(models, "board.yaml"))
    assert status is not None
    assert (status.state, reason in status.message) == (State.FAILED, True)
    assert status.hint
    config.write_text(GOOD)
    assert main(["convert", "--config", str(config), "--print-trtexec"]) == 0
    assert list((models / FOLDER).iterdir()) == []


def test_a_missing_file_is_told_by_its_name(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JETSMITH_CONFIG", str(tmp_path / "gone.yaml"))
    assert main(["convert"]) == 1
    status = read_status(status_path(models, "gone.yaml"))
    assert status is not None
    assert status.message in capsys.readouterr().err


def test_where_nothing_can_be_written_the_log_tells_both(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models.write_text("no folder")
    config = tmp_path / "board.yaml"
    config.write_text("vision: [")
    assert main(["convert", "--config", str(config)]) == 1
    said = capsys.readouterr().err
    assert "the status cannot be written" in said
    assert "error:" in said
