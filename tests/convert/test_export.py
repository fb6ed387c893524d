"""Weights become an ONNX graph as asked, or a clear error; nothing leaks, nothing runs that should not."""

import ast
import errno
import hashlib
import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest

from app.catalog import parse_model_name
from app.convert import confinement, export, export_child, loading
from app.convert.export import ExportOptions, export_onnx, exporter_versions
from app.errors import BackendUnavailable, ExportFailed, UnsafeWeights, WeightsError, WeightsMismatch
from app.metadata import ModelMetadata
from app.progress import SilentReporter
from app.types import Head, Task
from tests.command import PROJECT_ROOT
from tests.doubles.reporters import ListReporter

pytest.importorskip("ultralytics", reason="exporting needs jetsmith[convert]")

SharedData = Callable[[str], Path]


@dataclass(frozen=True)
class Exported:
    path: Path
    model: onnx.ModelProto
    warnings: list[str]

    @property
    def metadata(self) -> ModelMetadata:
        return ModelMetadata.from_onnx({prop.key: prop.value for prop in self.model.metadata_props})

    @property
    def inputs(self) -> list[list[int]]:
        return [shape(value) for value in self.model.graph.input]

    @property
    def outputs(self) -> list[list[int]]:
        return [shape(value) for value in self.model.graph.output]


def shape(value: onnx.ValueInfoProto) -> list[int]:
    return [dim.dim_value for dim in value.type.tensor_type.shape.dim]


def run_export(weights: Path, work: Path, **options: Any) -> Exported:
    said = ListReporter()
    imgsz = options.pop("imgsz", (160, 160))
    path = export_onnx(weights, ExportOptions(imgsz=imgsz, **options), work, said)
    return Exported(path, onnx.load(path), said.warnings)


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory, shared_data: SharedData) -> Path:
    """A folder of checkpoints, and in `fates.json` what loading each of them came to."""
    folder = tmp_path_factory.mktemp("workshop")
    environment = {**os.environ, **export.library_environment(folder / "work", trust_weights=False)}
    command = [sys.executable, "-m", "tests.convert.checkpoint_workshop", str(folder)]
    legacy = [str(path) for path in [_shared_or_none(shared_data, "weights/yolov8n.pt")] if path]
    done = subprocess.run(command + legacy, cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def _shared_or_none(shared_data: SharedData, name: str) -> Path | None:
    try:
        return shared_data(name)
    except pytest.skip.Exception:
        return None


@pytest.fixture(scope="session")
def fates(workshop: Path) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = json.loads((workshop / "fates.json").read_text())
    return found


@dataclass(frozen=True)
class Watched:
    exported: Exported
    home: Path
    work: Path
    log: list[str]


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory, shared_data: SharedData) -> Watched:
    """One export of the oldest kind of checkpoint, with all that it does written down from Python's start on."""
    weights = shared_data("weights/yolov8n.pt")
    home, work = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("work")
    log = tmp_path_factory.mktemp("log") / "watched.txt"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTEST_CURRENT_TEST", raising=False)  # Ultralytics behaves better when it sees it
        patch.setenv("HOME", str(home))
        patch.setenv("PYTHONPATH", str(PROJECT_ROOT / "tests" / "convert" / "watched"))
        patch.setenv("WATCH_LOG", str(log))
        patch.setenv("WATCH_FOLDER", str(work))
        exported = run_export(weights, work, expected=parse_model_name("yolov8n"))
    return Watched(exported, home, work, log.read_text().splitlines())


# A good export


def test_the_graph_is_static_and_carries_its_metadata(watched: Watched) -> None:
    exported = watched.exported
    assert exported.path.parent == watched.work
    assert exported.inputs == [[1, 3, 160, 160]]
    assert exported.outputs == [[1, 84, 525]]  # 20² + 10² + 5² anchors
    metadata = exported.metadata
    assert (metadata.task, metadata.imgsz, metadata.stride, metadata.batch) == (Task.DETECT, (160, 160), 32, 1)
    assert (metadata.end2end, metadata.nms) == (False, False)
    assert metadata.names[0] == "person"
    assert len(metadata.names) == 80
    assert exported.warnings == []


def test_the_graphs_that_other_tests_are_given_are_the_same(watched: Watched, exported: Callable[..., Path]) -> None:
    assert exported("yolov8n", (160, 160)).read_bytes() == watched.exported.path.read_bytes()


def test_the_graph_is_fp32_and_simplified(watched: Watched) -> None:
    graph = watched.exported.model.graph
    assert {tensor.data_type for tensor in graph.initializer} <= {onnx.TensorProto.FLOAT, onnx.TensorProto.INT64}
    assert not any(node.op_type in {"Identity", "Shape"} for node in graph.node)


def test_it_opens_no_connection_and_installs_nothing(watched: Watched) -> None:
    """What is refused was asked for all the same: here nothing may even be asked for."""
    assert [line for line in watched.log if line.startswith("socket.")] == []
    programs = {Path(line.split()[1].strip("'")).name for line in watched.log if line.startswith("subprocess.")}
    assert not programs & {"pip", "uv", "apt", "sudo", Path(sys.executable).name}
    assert [line for line in watched.log if line.startswith(("os.system", "os.exec", "os.fork", "os.posix"))] == []


def test_nothing_is_written_outside_the_work_folder(watched: Watched) -> None:
    assert [line for line in watched.log if line.startswith(("open ", "os.mkdir", "os.rename"))] == []
    assert list(watched.home.iterdir()) == []
    assert json.loads((watched.work / "home" / "Ultralytics" / "settings.json").read_text())["sync"] is False
    assert sorted(path.name for path in watched.work.iterdir()) == ["export_child.log", "home", "yolov8n.onnx"]


@pytest.fixture(scope="session")
def custom(workshop: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A model of one's own under a name that Ultralytics would mangle; not square, in a batch."""
    weights = workshop / "it's my yolov5n.pt"
    weights.write_bytes((workshop / "custom.pt").read_bytes())
    return run_export(weights, tmp_path_factory.mktemp("custom work"), imgsz=(64, 96), batch=2)


def test_a_custom_model_keeps_its_names_size_and_batch(custom: Exported) -> None:
    assert custom.path.name == "it's my yolov5n.onnx"
    assert custom.inputs == [[2, 3, 64, 96]]
    assert custom.outputs == [[2, 4 + 4, 8 * 12 + 4 * 6 + 2 * 3]]
    names = next(prop.value for prop in custom.model.metadata_props if prop.key == "names")
    assert ast.literal_eval(names) == {0: "Käfer", 1: "自行车 'quoted'", 2: 'semi;colon: "x"', 3: "🚲"}
    assert custom.metadata.names == ast.literal_eval(names)
    assert custom.metadata.batch == 2


def test_a_trusted_file_is_loaded_without_limits_and_gives_the_same_graph(
    custom: Exported, workshop: Path, tmp_path: Path
) -> None:
    again = run_export(workshop / "needs-trust.pt", tmp_path, imgsz=(64, 96), batch=2, trust_weights=True)
    assert hashlib.sha256(again.path.read_bytes()).digest() == hashlib.sha256(custom.path.read_bytes()).digest()


@pytest.fixture(scope="session")
def end2end(tmp_path_factory: pytest.TempPathFactory, shared_data: SharedData) -> Exported:
    weights = shared_data("weights/yolo26n-seg.pt")
    expected = parse_model_name("yolo26n-seg")
    return run_export(weights, tmp_path_factory.mktemp("end2end"), head=Head.END2END, expected=expected)


def test_the_end_to_end_head(end2end: Exported) -> None:
    assert end2end.outputs == [[1, 300, 38], [1, 32, 40, 40]]
    assert end2end.metadata.end2end
    assert end2end.metadata.task is Task.SEGMENT


# What files turn out to be


def test_a_good_checkpoint_says_what_it_is(fates: dict[str, dict[str, str]]) -> None:
    assert fates["custom.pt"] == {"task": "detect", "family": "yolo11n.yaml", "stride": "32", "one_to_one": "False"}


def test_the_first_release_of_yolov8_loads_safely(fates: dict[str, dict[str, str]], shared_data: SharedData) -> None:
    assert fates[shared_data("weights/yolov8n.pt").name]["family"] == "yolov8n.yaml"


@pytest.mark.parametrize("name", ["malicious.pt", "malicious-legacy.pt", "pickle-magic.pt"])
def test_code_in_a_checkpoint_does_not_run(fates: dict[str, dict[str, str]], workshop: Path, name: str) -> None:
    assert fates[name]["error"] == "UnsafeWeights"
    assert "trust_weights" in fates[name]["hint"]
    assert not (workshop / "ran").exists()


def test_refused_code_is_named_with_the_switch_that_trusts_it(fates: dict[str, dict[str, str]]) -> None:
    assert fates["malicious.pt"]["error"] == "UnsafeWeights"
    assert "posix.system" in fates["malicious.pt"]["message"]
    assert "trust_weights" in fates["malicious.pt"]["hint"]
    assert "decimal.Decimal" in fates["needs-trust.pt"]["message"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        pytest.param("yolov5.pt", "the YOLOv5 repository", id="yolov5-repository"),
        pytest.param("state-dict.pt", "not a checkpoint of an Ultralytics model", id="state-dict"),
        pytest.param("list.pt", "not a checkpoint of an Ultralytics model", id="not-even-a-dict"),
        pytest.param("linear.pt", "holds a Linear", id="another-torch-model"),
        pytest.param("torchscript.pt", "TorchScript archive", id="torchscript"),
        pytest.param("zip.pt", "not a checkpoint of an Ultralytics model", id="other-zip"),
        pytest.param("rtdetr.pt", "ends in RTDETRDecoder", id="rt-detr"),
        pytest.param("other-task.pt", "does not convert .depth", id="another-task"),
    ],
)
def test_another_trainers_file_is_a_clear_error(fates: dict[str, dict[str, str]], name: str, words: str) -> None:
    fate = fates[name]
    assert fate["error"] == "WeightsError"
    assert re.search(words, fate["message"])
    assert fate["hint"]
    assert "\n" not in fate["message"]


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        pytest.param("grey.pt", "WeightsError", "grey.pt is a model of grey pictures", id="grey"),
        pytest.param("unnamed.pt", "WeightsError", "tells 4 classes apart, but names 1", id="fewer-names"),
        pytest.param("yolo11x.pt", "WeightsMismatch", "about as yolo11n", id="another-size"),
    ],
)
def test_what_cannot_be_converted_is_refused_before_it_is_exported(
    fates: dict[str, dict[str, str]], name: str, error: str, words: str
) -> None:
    assert fates[name]["error"] == error
    assert words in fates[name]["message"]
    assert fates[name]["hint"]


@pytest.mark.parametrize(
    "content",
    [pytest.param(b"", id="empty"), pytest.param(bytes(9000), id="zeros"), pytest.param(b"PK\x03\x04" * 99, id="cut")],
)
def test_what_is_no_archive_is_refused_before_a_process_starts(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.pt").write_bytes(content)
    with pytest.raises(WeightsError):
        run_export(tmp_path / "bad.pt", tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_the_wrong_model_is_refused(workshop: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsMismatch, match="yolov8n is YOLOv8, but the file was trained as yolo11n") as caught:
        run_export(workshop / "custom.pt", tmp_path, expected=parse_model_name("yolov8n"))
    assert "custom.pt" in caught.value.message
    assert "base_model" in caught.value.hint


# Safe loading stands or is refused; it never gives way silently


def _tasks(safe_only: bool = True, on: bool = True) -> SimpleNamespace:
    if safe_only:
        return SimpleNamespace(torch_safe_load=lambda weight, safe_only=None: None, SAFE_LOAD=on)
    return SimpleNamespace(torch_safe_load=lambda weight: None, SAFE_LOAD=on)


_NEW_TORCH = SimpleNamespace(__version__="2.6.0", serialization=SimpleNamespace(get_unsafe_globals_in_checkpoint=1))
_OLD_TORCH = SimpleNamespace(__version__="2.5.1", serialization=SimpleNamespace())


def test_a_torch_that_can_load_safely_is_accepted() -> None:
    loading._require_safe_load(_NEW_TORCH, _tasks())


@pytest.mark.parametrize(
    ("torch", "tasks", "words"),
    [
        pytest.param(_OLD_TORCH, _tasks(), "torch 2.5.1 is older than 2.6", id="old-torch"),
        pytest.param(_NEW_TORCH, _tasks(safe_only=False), "no safe load", id="old-ultralytics"),
        pytest.param(_NEW_TORCH, _tasks(on=False), "switched off", id="switched-off"),
    ],
)
def test_one_that_cannot_is_refused(torch: Any, tasks: Any, words: str) -> None:
    with pytest.raises(UnsafeWeights, match=words) as caught:
        loading._require_safe_load(torch, tasks)
    assert "trust_weights" in caught.value.hint


# Options that do not fit


def _checkpoint(**head: Any) -> loading.Checkpoint:
    return loading.Checkpoint(None, SimpleNamespace(**{"cv2": 1, **head}), Task.DETECT, "yolo11n.yaml", 32)


def _job(**changes: Any) -> dict[str, Any]:
    return {"shown": "x.pt", "imgsz": [64, 64], "batch": 1, "head": "raw", "opset": None, **changes}


@pytest.mark.parametrize(
    ("imgsz", "nearest"),
    [([100, 64], "[96, 64]"), ([64, 65], "[64, 64]"), ([0, 64], "[32, 64]"), ([16, 16], "[32, 32]")],
)
def test_a_size_that_is_no_multiple_of_the_stride_is_refused(imgsz: list[int], nearest: str) -> None:
    with pytest.raises(ExportFailed, match="multiples of 32") as caught:
        export_child._require_fitting_options(_checkpoint(), _job(imgsz=imgsz))
    assert nearest in caught.value.hint


def test_a_batch_of_nothing_is_refused() -> None:
    with pytest.raises(ExportFailed, match="batch of 0"):
        export_child._require_fitting_options(_checkpoint(), _job(batch=0))


_CLASSIFIER = loading.Checkpoint(None, SimpleNamespace(), Task.CLASSIFY, "yolo11n-cls.yaml", 1)


@pytest.mark.parametrize(
    ("checkpoint", "head", "words"),
    [
        pytest.param(_checkpoint(), "end2end", "no end-to-end head", id="no-such-head"),
        pytest.param(_checkpoint(one2one_cv2=1, cv2=None), "raw", "only its end-to-end head left", id="fused-raw"),
        pytest.param(_checkpoint(one2one_cv2=1, cv2=None), "nms", "only its end-to-end head left", id="fused-nms"),
        pytest.param(_CLASSIFIER, "end2end", "classification", id="classifier-end2end"),
        pytest.param(_CLASSIFIER, "nms", "classification", id="classifier-nms"),
    ],
)
def test_a_head_that_the_model_lacks_is_refused(checkpoint: loading.Checkpoint, head: str, words: str) -> None:
    with pytest.raises(ExportFailed, match=words) as caught:
        export_child._require_fitting_options(checkpoint, _job(head=head))
    assert caught.value.hint.startswith("Set head to")


@pytest.mark.parametrize(
    ("checkpoint", "head"),
    [(_checkpoint(), "nms"), (_checkpoint(one2one_cv2=1), "end2end"), (_checkpoint(one2one_cv2=1, cv2=None), "end2end"),
     (_CLASSIFIER, "raw")],
)  # fmt: skip
def test_a_head_that_the_model_has_is_accepted(checkpoint: loading.Checkpoint, head: str) -> None:
    export_child._require_fitting_options(checkpoint, _job(head=head))


def test_an_export_that_differs_from_what_was_asked_is_refused(watched: Watched) -> None:
    model = watched.exported.model
    props = {prop.key: prop.value for prop in model.metadata_props}
    asked = _job(imgsz=[160, 160])
    export_child._require_promised(model, props, asked)
    with pytest.raises(ExportFailed, match="end2end: False, not True"):
        export_child._require_promised(model, props, {**asked, "head": "end2end"})
    with pytest.raises(ExportFailed, match=r"imgsz: \(160, 160\), not \(320, 160\)"):
        export_child._require_promised(model, props, {**asked, "imgsz": [320, 160]})


# Failures of the child


def test_a_killed_child_is_a_clear_error(workshop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_CHILD", "tests.convert.dying_child")
    with pytest.raises(ExportFailed, match="killed by SIGKILL"):
        run_export(workshop / "custom.pt", tmp_path)


def test_a_child_that_takes_too_long_is_ended(workshop: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportFailed, match="no answer within"):
        export_onnx(workshop / "custom.pt", ExportOptions((64, 64)), tmp_path, SilentReporter(), timeout_s=0.3)
    assert not (tmp_path / "checkpoint.pt").is_symlink()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        pytest.param(OSError(errno.ENOSPC, "No space left on device"), "The disk is full", id="disk-full"),
        pytest.param(PermissionError(errno.EACCES, "Permission denied"), "could not write", id="denied"),
        pytest.param(RuntimeError("Unsupported operator\ndetails"), "RuntimeError: Unsupported operator", id="torch"),
        pytest.param(AssertionError(), "AssertionError", id="bare-assertion"),
        pytest.param(onnx.checker.ValidationError("bad node"), "bad node", id="checker"),
    ],
)
def test_errors_of_the_libraries_end_here(error: Exception, words: str) -> None:
    with pytest.raises(ExportFailed, match=words) as caught, export_child._errors_as_ours(_job()):
        raise error
    assert caught.value.hint
    assert "\n" not in caught.value.message


def test_a_work_folder_that_cannot_be_made_is_a_clear_error(workshop: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WeightsError, match="cannot be written"):
        run_export(workshop / "custom.pt", tmp_path / "file" / "work")


@pytest.mark.parametrize("event", ["socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system", "os.exec"])
def test_the_confined_process_refuses(event: str) -> None:
    with pytest.raises(PermissionError, match=event):
        confinement._refuse(event, ())
    confinement._refuse("open", ("file", "r", 0))


def test_the_child_can_neither_connect_nor_install(tmp_path: Path) -> None:
    program = """
import socket, subprocess, sys
from app.convert.confinement import forbid_network_and_programs
forbid_network_and_programs()
refused = 0
for act in (
    lambda: socket.create_connection(("127.0.0.1", 9)),
    lambda: socket.getaddrinfo("localhost", 80),
    lambda: subprocess.run([sys.executable, "-m", "pip", "--version"]),
):
    try:
        act()
    except PermissionError:
        refused += 1
print(refused)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT_ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "3", done.stderr


# Versions


def test_versions_are_read_without_importing(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = exporter_versions()
    assert set(versions) == {"ultralytics", "torch", "onnx", "onnxslim"}
    assert all(version[0].isdigit() for version in versions.values())
    program = (
        "import sys; from app.convert.export import exporter_versions; exporter_versions(); "
        "print({'torch', 'ultralytics', 'onnx', 'onnxslim', 'httpx', 'tenacity', 'numpy.random'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_missing_libraries_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(export, "_DISTRIBUTIONS", {"torch": ("torch",), "onnxslim": ("no-such-distribution",)})
    with pytest.raises(BackendUnavailable, match=r"not installed: onnxslim$") as caught:
        run_export(tmp_path / "x.pt", tmp_path)
    assert 'pip install "jetsmith[convert]"' in caught.value.hint


# Longer ones


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "head", "outputs"),
    [
        pytest.param("yolo11n-pose", Head.RAW, [[1, 56, 525]], id="pose-raw"),
        pytest.param("yolo11n-obb", Head.RAW, [[1, 20, 525]], id="obb-raw"),
        pytest.param("yolo11n-cls", Head.RAW, [[1, 10]], id="cls-raw"),
        pytest.param("yolo11n-seg", Head.RAW, [[1, 116, 525], [1, 32, 40, 40]], id="seg-raw"),
        pytest.param("yolov10n", Head.RAW, [[1, 84, 525]], id="yolov10-raw"),
        pytest.param("yolov10n", Head.END2END, [[1, 300, 6]], id="yolov10-end2end"),
        pytest.param("yolo26n-seg", Head.RAW, [[1, 116, 525], [1, 32, 40, 40]], id="yolo26-raw"),
        pytest.param("yolov8n", Head.NMS, [[1, 300, 6]], id="nms"),
        pytest.param("yolo11n-seg", Head.NMS, [[1, 300, 38], [1, 32, 40, 40]], id="seg-nms"),
        pytest.param("yolo11n-obb", Head.NMS, [[1, 300, 7]], id="obb-nms"),
        pytest.param("yolo11n-pose", Head.NMS, [[1, 300, 57]], id="pose-nms"),
    ],
)
def test_every_head_of_every_task(
    shared_data: SharedData, tmp_path: Path, name: str, head: Head, outputs: list[list[int]]
) -> None:
    weights = shared_data(f"weights/{name}.pt")
    exported = run_export(weights, tmp_path, head=head, expected=parse_model_name(name))
    assert exported.outputs == outputs
    assert exported.metadata.nms == (head is Head.NMS)
    assert exported.metadata.end2end == (head is Head.END2END)


@pytest.mark.slow
def test_an_opset_may_be_asked_for(workshop: Path, tmp_path: Path) -> None:
    exported = run_export(workshop / "custom.pt", tmp_path / "17", imgsz=(64, 64), opset=17)
    assert exported.model.opset_import[0].version == 17
    with pytest.raises(ExportFailed, match=r"opset|Opset") as caught:
        run_export(workshop / "custom.pt", tmp_path / "99", imgsz=(64, 64), opset=99)
    assert "opset 99" in caught.value.hint


@pytest.mark.slow
def test_a_disk_that_fills_up_is_a_clear_error(shared_data: SharedData, tmp_path: Path) -> None:
    """The child inherits a limit on the size of files, which a 12 MB graph runs into."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, hard))
    try:
        with pytest.raises(ExportFailed, match="The disk is full"):
            run_export(shared_data("weights/yolov8n.pt"), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
