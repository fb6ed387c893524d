"""Weights in, detections out: the whole way, by the commands of the README, on the demo model."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.command import PROJECT_ROOT, SCENES, Jetsmith

MODEL = ("--model", "demo-detect", "--imgsz", "64", "64")
ALIAS = "demo-detect.ort.onnx"


@pytest.fixture(scope="module")
def offline() -> list[str]:
    """What a command is begun with that shall have no network; empty where that is not allowed."""
    unshare = ["unshare", "--map-root-user", "--net"]
    refused = subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode
    return [] if refused else unshare


@pytest.fixture(scope="module")
def converted(offline: list[str], tmp_path_factory: pytest.TempPathFactory) -> Jetsmith:
    """A models folder in which the demo detector was converted once; tests copy it before they harm it."""
    root = tmp_path_factory.mktemp("converted")
    (root / "home").mkdir()
    jetsmith = Jetsmith(root / "models", root / "home")
    command = [*offline, *jetsmith.command("convert", *MODEL)]
    done = subprocess.run(command, env=jetsmith.env, cwd=jetsmith.home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "built in" in done.stdout
    return jetsmith


@pytest.fixture
def jetsmith(converted: Jetsmith, quick: Jetsmith) -> Jetsmith:
    shutil.copytree(converted.models, quick.models, symlinks=True)
    return quick


@pytest.fixture
def empty(tmp_path: Path) -> Jetsmith:
    (tmp_path / "home").mkdir()
    return Jetsmith(tmp_path / "models", tmp_path / "home")


@pytest.fixture
def quick(empty: Jetsmith, ready_exports: Callable[..., Path]) -> Jetsmith:
    """Empty too. The weights are as good as exported: for what comes before that, and after."""
    return replace(empty, exports=ready_exports(64, "demo-detect", "demo-seg"))


def test_the_manifest_says_what_was_asked_for_what_was_built_and_how_well(converted: Jetsmith) -> None:
    manifest = converted.manifest()
    assert (manifest["requested"], manifest["actual"]) == ("FP16", "FP32")
    assert manifest["identity"]["recipe"]["imgsz"] == "64x64"
    assert manifest["identity"]["platform"]["backend"] == "onnxruntime"
    errors = manifest["verification"]["tensor_error"]
    assert set(errors) == {"output0 boxes", "output0 scores"}
    assert max(errors.values()) < 0.005
    assert set(manifest["seconds"]) == {"export", "build", "verify"}
    assert manifest["build"]["peak_memory_mb"] > 20
    assert manifest["build"]["out_of_memory_with"] == []


def test_the_alias_is_a_relative_link_into_the_store(converted: Jetsmith) -> None:
    alias = converted.models / ALIAS
    assert alias.is_symlink()
    assert not alias.readlink().is_absolute()
    assert alias.resolve() == converted.engines()[0]


def test_nothing_is_left_beside_the_engine_and_nothing_is_written_elsewhere(converted: Jetsmith) -> None:
    """HOME, the folder for temporary files and the working folder are one, and it stays empty."""
    converted("infer", "--model", "demo-detect", SCENES / "detect")
    assert converted.litter() == []
    assert list(converted.home.rglob("*")) == []


def test_it_works_with_no_network_at_all(converted: Jetsmith, offline: list[str]) -> None:
    """What was converted without one, too."""
    if not offline:
        pytest.skip("a network namespace of one's own is not allowed here")
    command = [*offline, *converted.command("infer", "--model", "demo-detect", SCENES / "detect")]
    subprocess.run(command, env=converted.env, cwd=converted.home, capture_output=True, check=True)


def test_a_second_run_does_nothing_and_imports_no_torch(jetsmith: Jetsmith) -> None:
    before = _times(jetsmith)
    code = (
        "import sys\nfrom app.cli import main\n"
        f"code = main({['convert', *MODEL]!r})\n"
        "assert not {'torch', 'ultralytics', 'onnx', 'onnxruntime', 'cv2'} & set(sys.modules), sorted(sys.modules)\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env=jetsmith.env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "up to date, nothing to build" in done.stdout
    assert _times(jetsmith) == before


def _times(jetsmith: Jetsmith) -> dict[Path, int]:
    """Of all files but the job's status, which says that somebody looked."""
    paths = [path for path in jetsmith.models.rglob("*") if ".status" not in path.parts]
    return {path: path.lstat().st_mtime_ns for path in paths}


def test_a_changed_setting_rebuilds_and_says_which(jetsmith: Jetsmith) -> None:
    done = jetsmith("convert", *MODEL, "--precision", "fp32")
    assert "precision FP16 → FP32" in done.stderr
    assert "built in" in done.stdout
    assert len(jetsmith.engines()) == 2
    assert "-fp32-" in (jetsmith.models / ALIAS).resolve().name
    back = jetsmith("convert", *MODEL)
    assert "up to date" in back.stdout
    assert "-fp16-" in (jetsmith.models / ALIAS).resolve().name
    pruned = jetsmith("engines", "prune", "--yes")
    assert "Removed 1" in pruned.stdout
    assert "up to date" in jetsmith("convert", *MODEL).stdout


def test_infer_prints_one_object_a_picture(jetsmith: Jetsmith) -> None:
    done = jetsmith("infer", "--model", "demo-detect", SCENES / "detect")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == len([path for path in (SCENES / "detect").iterdir() if path.suffix == ".jpg"])
    for line in lines:
        assert set(line) == {"source", "frame", "shape", "task", "detections", "speed_ms"}
        assert (line["frame"], line["task"]) == (0, "detect")
        for found in line["detections"]:
            assert set(found) == {"class_id", "class_name", "confidence", "box"}
            assert len(found["box"]) == 4


def test_a_bad_picture_is_a_line_and_exit_3_and_the_rest_is_done(jetsmith: Jetsmith, tmp_path: Path) -> None:
    (tmp_path / "bad picture.jpg").write_bytes(b"no picture")
    good = next(path for path in sorted((SCENES / "detect").iterdir()) if path.suffix == ".jpg")
    done = jetsmith(
        "infer", "--model", "demo-detect", tmp_path / "bad picture.jpg", good, tmp_path / "gone.jpg", code=3
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [set(line) == {"source", "error"} for line in lines] == [True, False, True]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        pytest.param(["infer", "--model", "yolo11m", "x.jpg"], 1, "jetsmith convert --model yolo11m", id="not-built"),
        pytest.param(["convert", "--model", "yolo10m-seg"], 1, "no official weights", id="no-such-model"),
        pytest.param(["convert", "--model", "nonsense"], 1, "nonsense", id="no-name"),
        pytest.param(["convert", "--precision", "FP8"], 1, "FP16, FP32 or INT8", id="bad-value"),
        pytest.param(["convert", "--config", "gone.yaml"], 1, "gone.yaml", id="no-config"),
        pytest.param(["convert", "--imgsz", "100", "100"], 1, "input_size", id="not-a-multiple-of-the-stride"),
        pytest.param(["convert", "--backend", "tensorrt_rtx", *MODEL], 1, "GPU", id="backend-that-cannot-run"),
        pytest.param(["infer"], 1, "infer.sources", id="no-source"),
        pytest.param(["infer", "--fps", "often", "x.jpg"], 2, "--fps", id="usage"),
        pytest.param(["infer", "--model", "demo-detect", "--classes", "unicorn", "x.jpg"], 1, "unicorn", id="class"),
        pytest.param(["engines", "show", "nothing"], 1, "There is no engine", id="no-engine"),
    ],
)
def test_errors_are_two_lines(converted: Jetsmith, arguments: list[str], code: int, says: str) -> None:
    done = converted(*arguments, code=code)
    assert says in done.stderr
    if code == 1:
        assert "\nhint:  " in "\n" + done.stderr


def test_weights_of_another_task_than_the_name_are_refused(empty: Jetsmith, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    weights = PROJECT_ROOT / "models" / "demo" / "demo-detect.pt"
    config.write_text(
        f"vision: {{yolo: {{model_source: {{base_model: yolo11n-pose, pt_model_path: {json.dumps(str(weights))}}}}}}}\n"
    )
    done = empty("convert", "--config", config, code=1)
    assert "yolo11n-pose is a pose model, but the file holds a detect model" in done.stderr
    assert empty.litter() == []


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(_truncate, id="truncated"),
        pytest.param(lambda path: path.write_bytes(b""), id="zero-length"),
        pytest.param(_flip, id="one-bit"),
        pytest.param(lambda path: path.unlink(), id="gone"),
        pytest.param(lambda path: path.with_name(path.name.split(".")[0] + ".json").write_text("{"), id="manifest"),
    ],
)
def test_a_damaged_engine_is_refused_with_the_command_that_mends_it(jetsmith: Jetsmith, harm) -> None:  # type: ignore[no-untyped-def]
    harm(jetsmith.engines()[0])
    done = jetsmith("infer", "--model", "demo-detect", SCENES / "detect", code=1)
    assert done.stdout == ""
    assert "jetsmith convert" in done.stderr


def test_a_damaged_engine_is_built_again(jetsmith: Jetsmith) -> None:
    _flip(jetsmith.engines()[0])
    done = jetsmith("convert", *MODEL)
    assert "altered" in done.stderr
    assert "built in" in done.stdout
    jetsmith("infer", "--model", "demo-detect", SCENES / "detect")


def test_an_engine_of_another_processor_is_refused_before_it_is_loaded(jetsmith: Jetsmith) -> None:
    engine = jetsmith.engines()[0]
    manifest_path = engine.with_name(engine.name.split(".")[0] + ".json")
    manifest = json.loads(manifest_path.read_text())
    from app.engines.identity import Identity

    parts = manifest["identity"]
    parts["platform"]["cpu"] = "Another Processor"
    identity = Identity(parts["recipe"], parts["platform"], parts["format"])
    manifest["key"] = identity.key
    moved = engine.with_name(engine.name.replace(engine.name.split(".")[0][-12:], identity.short_key))
    manifest["engine"] = moved.name
    engine.rename(moved)
    manifest_path.unlink()
    moved.with_name(moved.name.split(".")[0] + ".json").write_text(json.dumps(manifest))
    (jetsmith.models / ALIAS).unlink()
    (jetsmith.models / ALIAS).symlink_to(moved.relative_to(jetsmith.models))
    done = jetsmith("infer", "--model", "demo-detect", SCENES / "detect", code=1)
    assert "CPU Another Processor → " in done.stderr


def test_a_file_of_the_users_own_at_the_alias_is_left_alone(empty: Jetsmith) -> None:
    empty.models.mkdir()
    (empty.models / ALIAS).write_bytes(b"mine")
    done = empty("convert", *MODEL, code=1)
    assert "left alone" in done.stderr
    assert (empty.models / ALIAS).read_bytes() == b"mine"


def test_four_converters_at_once_build_once(empty: Jetsmith) -> None:
    running = [empty.start("convert", *MODEL) for _ in range(4)]
    outputs = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0] * 4, outputs
    assert sum("built in" in output for output in outputs) == 1, outputs
    assert len(empty.engines()) == 1
    assert empty.litter() == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_an_error_and_leaves_nothing(small_disk: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    jetsmith = Jetsmith(small_disk, tmp_path / "home")
    done = jetsmith("convert", *MODEL, code=1)
    assert "full" in done.stderr.lower() or "no space" in done.stderr.lower()
    assert list(small_disk.glob("*.ort.onnx")) == []
    assert jetsmith.engines() == jetsmith.litter() == []


def test_a_read_only_store_can_be_read_and_not_written(jetsmith: Jetsmith) -> None:
    bind = ["mount", "--bind", str(jetsmith.models), str(jetsmith.models)]
    if subprocess.run(bind, capture_output=True, check=False).returncode:
        pytest.skip("a read-only mount needs root")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(jetsmith.models)], check=True)
        jetsmith("infer", "--model", "demo-detect", SCENES / "detect")
        assert "up to date" in jetsmith("convert", *MODEL).stdout
        done = jetsmith("convert", *MODEL, "--force-convert", code=1)
        assert str(jetsmith.models) in done.stderr
    finally:
        subprocess.run(["umount", str(jetsmith.models)], check=True)


@pytest.mark.parametrize("script", ["yolo_to_tensorrt.py", "convert_yolo_to_tensorrt.py"])
def test_the_guides_script_has_exactly_the_guides_options(script: str) -> None:
    shown = subprocess.run(
        [sys.executable, str(PROJECT_ROOT / "scripts" / script), "--help"], capture_output=True, text=True, check=True
    ).stdout
    options = {word.strip("[],") for word in shown.split() if word.startswith(("--", "[--"))}
    assert options == {
        "--config", "--force-download", "--force-convert", "--force-all", "--download-only", "--skip-verify",
        "--verbose", "--help",
    }  # fmt: skip


def test_the_guides_script_converts(jetsmith: Jetsmith, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("vision: {yolo: {input_size: [64, 64], model_source: {base_model: demo-detect}}}\n")
    script = [sys.executable, str(PROJECT_ROOT / "scripts" / "yolo_to_tensorrt.py"), "--config", str(config)]
    done = subprocess.run(script, env=jetsmith.env, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "up to date" in done.stdout


def test_an_engine_that_was_never_verified_is_built_again_when_that_is_wanted(quick: Jetsmith) -> None:
    quick("convert", *MODEL, "--skip-verify")
    assert "up to date" in quick("convert", *MODEL, "--skip-verify").stdout
    done = quick("convert", *MODEL)
    assert "never verified" in done.stderr
    assert "verified: yes" in done.stdout


def test_force_convert_builds_whatever_the_clock_says(jetsmith: Jetsmith) -> None:
    """A Jetson without a battery wakes up in the past."""
    engine = jetsmith.engines()[0]
    path = engine.with_name(engine.name.split(".")[0] + ".json")
    manifest = json.loads(path.read_text())
    manifest["created"] = "2099-01-01T00:00:00+00:00"
    path.write_text(json.dumps(manifest))
    assert "built in" in jetsmith("convert", *MODEL, "--force-convert").stdout


def test_weights_that_change_meanwhile_are_refused(empty: Jetsmith, tmp_path: Path) -> None:
    weights = tmp_path / "best.pt"
    shutil.copy(PROJECT_ROOT / "models" / "demo" / "demo-detect.pt", weights)
    process = empty.start("convert", "--model", weights, "--imgsz", "64", "64")
    while not list((empty.models / "engines").glob(".work/*/checkpoint.pt")):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
    shutil.copy(PROJECT_ROOT / "models" / "demo" / "demo-seg.pt", tmp_path / "other.pt")
    (tmp_path / "other.pt").replace(weights)
    output = process.communicate()[0]
    assert process.returncode == 1
    assert "was changed while it was converted" in output
    assert empty.engines() == []


def test_stale_weights_are_seen_under_any_name(quick: Jetsmith, tmp_path: Path) -> None:
    """Two files with the same bytes share one engine; when one of them changes, it is stale for that one alone."""
    for name in ("best", "mine"):
        shutil.copy(PROJECT_ROOT / "models" / "demo" / "demo-detect.pt", tmp_path / f"{name}.pt")
        quick("convert", "--model", tmp_path / f"{name}.pt", "--imgsz", "64", "64")
    assert len(quick.engines()) == 1
    shutil.copy(PROJECT_ROOT / "models" / "demo" / "demo-seg.pt", tmp_path / "mine.pt")
    done = quick("infer", "--model", tmp_path / "mine.pt", SCENES / "detect", code=1)
    assert "weights" in done.stderr
    quick("infer", "--model", tmp_path / "best.pt", SCENES / "detect")


def test_the_onnx_is_kept_and_its_loss_does_not_cost_the_engine(quick: Jetsmith, tmp_path: Path) -> None:
    shutil.copy(PROJECT_ROOT / "models" / "demo" / "demo-detect.pt", tmp_path / "best.pt")
    config = tmp_path / "config.yaml"
    source = f"{{base_model: null, pt_model_path: {json.dumps(str(tmp_path / 'best.pt'))}, keep_onnx: true}}"
    config.write_text(f"vision: {{yolo: {{input_size: [64, 64], model_source: {source}}}}}\n")
    quick("convert", "--config", config)
    assert (tmp_path / "best.onnx").stat().st_size > 100_000
    (tmp_path / "best.onnx").unlink()
    (tmp_path / "best.onnx").mkdir()
    done = quick("convert", "--config", config, "--force-convert")
    assert "the ONNX was not kept" in done.stderr
    assert sorted(path.name for path in tmp_path.glob("*best*") if path.name != "best.onnx") == ["best.pt"]


def test_by_which_name_the_weights_were_given_makes_no_other_engine(jetsmith: Jetsmith, tmp_path: Path) -> None:
    shutil.copy(PROJECT_ROOT / "models" / "demo" / "demo-detect.pt", tmp_path / "mine.pt")
    done = jetsmith("convert", "--model", tmp_path / "mine.pt", "--imgsz", "64", "64")
    assert "up to date" in done.stdout
    (engine,) = jetsmith.engines()
    assert {(jetsmith.models / name).resolve() for name in (ALIAS, "mine.ort.onnx")} == {engine}
    wrong = tmp_path / "wrong.yaml"
    weights = json.dumps(str(tmp_path / "mine.pt"))
    source = f"{{base_model: yolo11n-pose, pt_model_path: {weights}}}"
    wrong.write_text(f"vision: {{yolo: {{input_size: [64, 64], model_source: {source}}}}}")
    assert "is a pose model" in jetsmith("convert", "--config", wrong, code=1).stderr


def test_the_onnx_of_a_demo_model_is_kept_in_the_models_folder(quick: Jetsmith) -> None:
    before = sorted((PROJECT_ROOT / "models" / "demo").iterdir())
    quick("convert", *MODEL, "--keep-onnx")
    assert (quick.models / "demo-detect.onnx").stat().st_size > 100_000
    assert sorted((PROJECT_ROOT / "models" / "demo").iterdir()) == before


def test_two_models_of_ones_own_are_not_compared(quick: Jetsmith, tmp_path: Path) -> None:
    for name in ("detect", "seg"):
        shutil.copy(PROJECT_ROOT / "models" / "demo" / f"demo-{name}.pt", tmp_path / f"{name}.pt")
        done = quick("convert", "--model", tmp_path / f"{name}.pt", "--imgsz", "64", "64")
        assert "No engine has been built for this model yet" in done.stderr
