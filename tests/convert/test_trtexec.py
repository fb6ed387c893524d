"""The line for trtexec: what it says, and what it admits."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from app.cli import main
from app.convert.effort import GIB, Effort
from app.convert.trtexec import is_weakly_typed, trtexec
from app.runtime import tensorrt_compat as compat
from app.types import Precision

ALIAS = Path("models/yolo11n.engine")


@pytest.mark.parametrize(
    ("precision", "weak", "line"),
    [
        pytest.param(
            Precision.FP32,
            False,
            "trtexec --onnx=models/yolo11n.onnx --saveEngine=yolo11n.plan --noTF32 --stronglyTyped "
            "--memPoolSize=workspace:2048M --builderOptimizationLevel=4",
            id="fp32",
        ),
        pytest.param(
            Precision.FP16,
            False,
            "trtexec --onnx=models/yolo11n.fp16.onnx --saveEngine=yolo11n.plan --noTF32 --stronglyTyped "
            "--memPoolSize=workspace:2048M --builderOptimizationLevel=4",
            id="fp16-is-in-the-graph",
        ),
        pytest.param(
            Precision.FP16,
            True,
            "trtexec --onnx=models/yolo11n.onnx --saveEngine=yolo11n.plan --noTF32 --fp16 "
            "--memPoolSize=workspace:2048M --builderOptimizationLevel=4",
            id="fp16-by-a-flag-for-tensorrt-8",
        ),
    ],
)
def test_the_line(precision: Precision, weak: bool, line: str) -> None:
    made = trtexec(Path("models/yolo11n.onnx"), ALIAS, precision, Effort(2 * GIB, 4), weakly_typed=weak)
    assert made.command == line


def test_what_was_not_set_is_left_to_trtexec() -> None:
    command = trtexec(Path("a.onnx"), ALIAS, Precision.FP32, Effort()).command
    assert "memPoolSize" not in command
    assert "builderOptimizationLevel" not in command


def test_it_admits_how_it_differs(tmp_path: Path) -> None:
    onnx = tmp_path / "a b.onnx"
    weak = trtexec(onnx, ALIAS, Precision.FP16, Effort(), weakly_typed=True)
    assert "--onnx='" in weak.command or "'--onnx=" in weak.command
    assert [
        word
        for word in ("no header", "not verified", "in FP32", "--keep-onnx")
        for said in weak.differences
        if word in said
    ] == [
        "no header",
        "not verified",
        "in FP32",
        "--keep-onnx",
    ]
    onnx.touch()
    assert not any("--keep-onnx" in said for said in trtexec(onnx, ALIAS, Precision.FP32, Effort()).differences)


@pytest.mark.parametrize("weak", [True, False])
def test_what_the_library_can_do_decides(weak: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = SimpleNamespace() if weak else SimpleNamespace(STRONGLY_TYPED=1)
    monkeypatch.setattr(compat, "load", lambda backend: SimpleNamespace(NetworkDefinitionCreationFlag=flags))
    assert is_weakly_typed() is weak


def test_the_command_prints_one_line_and_builds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JETSMITH_MODELS_DIR", str(tmp_path))
    monkeypatch.setattr(
        compat,
        "load",
        lambda backend: SimpleNamespace(NetworkDefinitionCreationFlag=SimpleNamespace(STRONGLY_TYPED=1)),
    )
    assert main(["convert", "--model", "yolo11n", "--precision", "FP16", "--print-trtexec"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"trtexec --onnx={tmp_path}/yolo11n.fp16.onnx --saveEngine=yolo11n.plan ")
    assert len(said.out.splitlines()) == 1
    assert "note: " in said.err
    assert list(tmp_path.iterdir()) == []
