#!/usr/bin/env python3
"""
How much jetsmith adds to the bare graph, in one run: warm per picture, and cold from the process's start.

    scripts/bench_infer.py --weights yolov8n.pt PICTURE
    scripts/bench_infer.py --engine models/yolov8n.ort.onnx --runs 100 PICTURE

Warm: picture in memory → detections against `session.run` of the same session, by turns, so that whatever else
the machine does hits both. (Two sessions would not do: the idle one's threads spin and take the other's cores.)
Cold: seconds from the start of a process to its first line of output, and its peak memory; files are in the page
cache. Beside `jetsmith infer`: a bare ONNX Runtime script, and Ultralytics' predict if that is installed.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

PROJECT_ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT_ROOT))

GOALS = {"ratio_p50": 1.05, "cold_s": 1.0, "cold_rss_mb": 300.0}

_BARE = """
import sys
import numpy as np
import onnxruntime as ort
options = ort.SessionOptions()
options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
options.log_severity_level = 3
session = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
only = session.get_inputs()[0]
print(len(session.run(None, {only.name: np.zeros(only.shape, np.float32)})), flush=True)
"""
_ULTRALYTICS = """
import sys
from ultralytics import YOLO
size = [int(side) for side in sys.argv[3:]]
print(len(YOLO(sys.argv[1], task="detect").predict(sys.argv[2], imgsz=size, rect=False, verbose=False)), flush=True)
"""


@dataclass(frozen=True)
class Cold:
    """Medians over the runs."""

    first_line_s: float
    rss_mb: float
    runs: int


@dataclass(frozen=True)
class Warm:
    """Milliseconds a picture."""

    bare_p50: float
    jetsmith_p50: float
    ratio_p50: float
    ratio_of_pairs: float  # the median of each run's own ratio
    runs: int


def main() -> int:
    args = _arguments()
    with tempfile.TemporaryDirectory() as work:
        engine = args.engine or _convert(args.weights, Path(work))
        environment = _environment(engine, Path(work))
        cold = measure_cold(engine, args.picture, args.cold_runs, environment)  # first, while this process is small
        warm = measure_warm(engine, args.picture, args.runs)
    report = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": _machine(),
        "versions": _versions(),
        "engine": engine.name,
        "picture": args.picture.name,
        "warm_ms": asdict(warm),
        "cold": {name: asdict(value) for name, value in cold.items()},
        "goals": GOALS,
    }
    _show(warm, cold)
    print(json.dumps(report, indent=2))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="How much jetsmith adds to the bare graph, warm and cold.")
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--weights", type=Path, help="a .pt, converted for ONNX Runtime first")
    model.add_argument("--engine", type=Path, help="an ONNX Runtime engine that `convert` built: NAME.ort.onnx")
    parser.add_argument("--runs", type=int, default=200, help="warm runs of each (200)")
    parser.add_argument("--cold-runs", type=int, default=5, help="processes of each (5)")
    parser.add_argument("picture", type=Path)
    args = parser.parse_args()
    for path in (args.weights, args.engine, args.picture):
        if path is not None and not path.is_file():
            parser.error(f"{path} is not there")
    return args


def _convert(weights: Path, work: Path) -> Path:
    """Into a store of its own, so that nothing that is in use is touched."""
    engine = work / "models" / f"{weights.stem}.ort.onnx"
    environment = os.environ | {
        "JETSMITH_MODELS_DIR": str(engine.parent),
        "JETSMITH_VISION__YOLO__MODEL_PATH": str(engine.with_name(f"{weights.stem}.engine")),
    }
    command = [*_jetsmith(), "convert", "--model", str(weights.resolve()), "--backend", "onnxruntime"]
    subprocess.run([*command, "--skip-verify"], env=environment, cwd=PROJECT_ROOT, stdout=sys.stderr, check=True)
    return engine


def _jetsmith() -> list[str]:
    return [sys.executable, "-m", "app"]


def _environment(engine: Path, work: Path) -> dict[str, str]:
    store = {"JETSMITH_MODELS_DIR": str(engine.absolute().parent)}
    quiet = {"ORT_DISABLE_TELEMETRY": "1", "YOLO_CONFIG_DIR": str(work), "YOLO_AUTOINSTALL": "false"}
    return {**os.environ, **store, **quiet, "YOLO_OFFLINE": "true"}


def measure_cold(engine: Path, picture: Path, runs: int, environment: dict[str, str]) -> dict[str, Cold]:
    """Each program `runs` times, by turns."""
    engine, picture = engine.absolute(), picture.resolve()
    infer = ["infer", str(picture), "--model", str(engine), "--backend", "onnxruntime", "--format", "jsonl"]
    programs = {
        "jetsmith": [*_jetsmith(), *infer],
        "bare onnxruntime": [sys.executable, "-c", _BARE, str(engine.resolve())],
    }
    if importlib.util.find_spec("ultralytics") is not None:
        size = [str(side) for side in _input_size(engine)]
        programs["ultralytics"] = [sys.executable, "-c", _ULTRALYTICS, str(engine.resolve()), str(picture), *size]
    for command in programs.values():
        _run_cold(command, environment)  # fills the page cache and Python's byte code
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
    for _ in range(runs):
        for name, command in programs.items():
            found[name].append(_run_cold(command, environment))
    return {name: _median_of(values) for name, values in found.items()}


def _median_of(values: list[tuple[float, float]]) -> Cold:
    seconds, megabytes = zip(*values, strict=True)
    return Cold(round(statistics.median(seconds), 3), round(statistics.median(megabytes), 1), len(values))


def _run_cold(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """(seconds to the first line, peak memory in MB)."""
    started = time.perf_counter()
    program = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd=PROJECT_ROOT
    )
    assert program.stdout is not None and program.stderr is not None  # noqa: S101, PT018 (for the type checker)
    with program.stdout, program.stderr:
        line = program.stdout.readline()
        seconds = time.perf_counter() - started
        program.stdout.read()
        said = program.stderr.read().decode()
    _, status, usage = os.wait4(program.pid, 0)  # of this child alone; RUSAGE_CHILDREN is the largest of all
    program.returncode = os.waitstatus_to_exitcode(status)
    if not line or program.returncode:
        sys.exit(f"{' '.join(command[:4])} … failed:\n{said}")
    return seconds, usage.ru_maxrss / 1024


def _input_size(engine: Path) -> tuple[int, int]:
    """Asked in a child, since this process is to stay small until the cold runs are over."""
    code = (
        "import sys; from pathlib import Path; from app.runtime.onnxruntime import OnnxRuntimeRunner\n"
        "with OnnxRuntimeRunner(Path(sys.argv[1])) as runner: print(*runner.inputs[0].shape[2:])"
    )
    said = subprocess.run([sys.executable, "-c", code, str(engine)], cwd=PROJECT_ROOT, check=True, capture_output=True)
    height, width = said.stdout.split()
    return int(height), int(width)


def measure_warm(engine: Path, picture: Path, runs: int) -> Warm:
    import numpy as np

    from app.runtime.onnxruntime import OnnxRuntimeRunner
    from app.vision.model import Model
    from app.vision.pictures import read_picture

    image = read_picture(picture)
    with OnnxRuntimeRunner(engine) as runner:
        model = Model(runner)
        (spec,) = runner.inputs
        feed = {spec.name: np.random.default_rng(0).random(spec.shape, np.float32)}
        bare, whole = _by_turns(lambda: runner.infer(feed), lambda: model.predict(image), runs)
    return Warm(
        bare_p50=round(statistics.median(bare), 2),
        jetsmith_p50=round(statistics.median(whole), 2),
        ratio_p50=round(statistics.median(whole) / statistics.median(bare), 3),
        ratio_of_pairs=round(statistics.median(b / a for a, b in zip(bare, whole, strict=True)), 3),
        runs=runs,
    )


def _by_turns(first: Callable[[], object], second: Callable[[], object], runs: int) -> tuple[list[float], list[float]]:
    """Milliseconds of each; which of the two begins changes every run."""
    times: tuple[list[float], list[float]] = ([], [])
    pairs = list(zip((first, second), times, strict=True))
    for call in (first, second):
        call()
        call()
    for run in range(runs):
        for call, into in pairs if run % 2 else reversed(pairs):
            started = time.perf_counter()
            call()
            into.append((time.perf_counter() - started) * 1e3)
    return times


def _machine() -> dict[str, Any]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "load_1_min": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
    }


def _versions() -> dict[str, str]:
    names = ["onnxruntime", "numpy", "opencv-python-headless", "ultralytics", "ultralytics-opencv-headless"]
    installed = {dist.metadata["Name"]: dist.version for dist in importlib.metadata.distributions()}
    return {"python": platform.python_version()} | {name: installed[name] for name in names if name in installed}


def _show(warm: Warm, cold: dict[str, Cold]) -> None:
    print(f"warm, p50 of {warm.runs}: session.run {warm.bare_p50} ms, picture → detections {warm.jetsmith_p50} ms")
    print(f"  ratio {warm.ratio_p50} (of pairs {warm.ratio_of_pairs}), goal ≤ {GOALS['ratio_p50']}")
    print(f"cold{'':18}first line   peak memory   (goals {GOALS['cold_s']} s, {GOALS['cold_rss_mb']:.0f} MB)")
    for name, value in cold.items():
        print(f"  {name:18}{value.first_line_s:8.2f} s{value.rss_mb:11.0f} MB")


if __name__ == "__main__":
    sys.exit(main())
