"""`infer` on a processor, one frame at a time and several, as a user types it."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.cli.infer import open_model
from app.engines.store import EngineStore
from app.types import Backend
from app.vision.model import Model
from app.vision.parallel import ParallelModel
from config.settings import Settings
from tests.command import SCENES, Jetsmith
from tests.doubles.reporters import ListReporter

MODEL = ("--model", "demo-detect")
PICTURES = sorted((SCENES / "detect").rglob("*.jpg"))[:4]


@pytest.fixture
def converted(detecting: Jetsmith, tmp_path: Path) -> Jetsmith:
    """In a folder of 20 pictures, one of them broken."""
    for number in range(20):
        shutil.copy(PICTURES[number % len(PICTURES)], tmp_path / f"{number:02}.jpg")
    (tmp_path / "07.jpg").write_bytes(b"no picture")
    return replace(detecting, home=tmp_path)


def _infer(
    jetsmith: Jetsmith, at_once: int, *sources: str, typed: str | None = None
) -> tuple[list[dict[str, Any]], str]:
    """Answers without their times, and what was said."""
    done = subprocess.run(
        jetsmith.command("infer", *MODEL, "--conf", "0.01", *sources),
        env={**jetsmith.env, "JETSMITH_INFER__FRAMES_AT_ONCE": str(at_once)},
        cwd=jetsmith.home,
        capture_output=True,
        text=True,
        check=False,
        input=typed,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return [{name: value for name, value in line.items() if name != "speed_ms"} for line in lines], done.stderr


def test_several_at_a_time_answer_as_one_does(converted: Jetsmith) -> None:
    expected, said = _infer(converted, 1, ".")
    assert len(expected) == 20
    assert sum(len(line.get("detections", ())) for line in expected) > 20
    assert "at a time" not in said

    for at_once in (2, 5):
        answers, said = _infer(converted, at_once, ".")
        assert answers == expected
        assert "19 pictures; " in said
        assert f"{at_once} at a time" in said


def test_a_picture_and_paths_that_are_typed_have_all_cores(converted: Jetsmith) -> None:
    listed = "\n".join(f"{number:02}.jpg" for number in range(6))
    for source, typed, count in (("00.jpg", None, 1), ("-", listed, 6)):
        answers, said = _infer(converted, 4, source, typed=typed)
        assert len(answers) == count
        assert "at a time" not in said


def test_each_of_several_runs_on_one_thread(converted: Jetsmith) -> None:
    settings = Settings(models_dir=converted.models)
    engine = EngineStore(converted.models / "engines").resolve_alias(converted.models / "demo-detect.ort.onnx")
    assert engine.backend is Backend.ONNXRUNTIME
    with open_model(settings, engine, ListReporter()) as one, open_model(settings, engine, ListReporter(), 3) as three:
        assert isinstance(one, Model)
        assert isinstance(three, ParallelModel)
        threads = [model._runner._session.get_session_options().intra_op_num_threads for model in (one, three)]  # type: ignore[attr-defined]
    assert (threads, three.at_once) == ([0, 1], 3)
