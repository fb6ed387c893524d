#!/usr/bin/env python3
"""
Video to JSON lines against the bare graph, and against Ultralytics' predict of the same engine, if it is installed.

    scripts/bench_video.py --engine models/yolov8n.ort.onnx VIDEO
    scripts/bench_video.py --engine models/yolov8n.ort.onnx --rounds 20 --frames 100 VIDEO

Each of the three is a process of its own that stays, so that no start is timed. They work by turns, the same number
of frames each, in an order that changes; the ratios are the medians of those within one round, so that whatever else
the machine does hits all of them; between two turns there is a pause, in which the threads of the one before stop
spinning. jetsmith and Ultralytics open the video anew in each of their turns.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT_ROOT))

from scripts.bench_infer import _machine, _versions  # noqa: E402

GOALS = {"jetsmith_rate_of": {"bare": 0.95, "ultralytics": 1.0}}
_PAUSE_S = 0.2  # ONNX Runtime's threads wait for work by spinning, 35 ms of it seen

Work = Callable[[], int]
"""Returns how many frames it did."""


@dataclass(frozen=True)
class Turn:
    frames: int
    seconds: float
    cpu_seconds: float  # of all threads

    @property
    def ms(self) -> float:
        return self.seconds / self.frames * 1e3


def main() -> int:
    args = _arguments()
    if args.role:
        _serve(args.role, args.engine, args.video, args.frames)
        return 0
    roles = ["bare", "jetsmith"] + (["ultralytics"] if _has_ultralytics() else [])
    turns = _take_turns(roles, args)
    ms = {role: [turn.ms for turn in turns[role]] for role in roles}
    report = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": _machine(),
        "versions": _versions(),
        "video": args.video.name,
        "frames_a_turn": args.frames,
        "rounds": args.rounds,
        "ms_a_frame_median": {role: round(statistics.median(ms[role]), 2) for role in roles},
        "cpu_ms_a_frame_median": {
            role: round(statistics.median(turn.cpu_seconds / turn.frames * 1e3 for turn in turns[role]), 2)
            for role in roles
        },
        "ms_a_frame_best": {role: round(min(ms[role]), 2) for role in roles},
        "jetsmith_rate_of": {role: _ratio(ms[role], ms["jetsmith"]) for role in roles if role != "jetsmith"},
        "goals": GOALS,
    }
    print(json.dumps(report, indent=2))
    return 0


def _ratio(of: list[float], to: list[float]) -> float:
    return round(statistics.median(one / other for one, other in zip(of, to, strict=True)), 3)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", type=Path, required=True, help="an ONNX Runtime engine that `convert` built")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--frames", type=int, default=100, help="of each turn (100)")
    parser.add_argument("--role", choices=["bare", "jetsmith", "ultralytics"], help=argparse.SUPPRESS)
    parser.add_argument("video", type=Path)
    return parser.parse_args()


def _has_ultralytics() -> bool:
    import importlib.util

    return importlib.util.find_spec("ultralytics") is not None


def _take_turns(roles: list[str], args: argparse.Namespace) -> dict[str, list[Turn]]:
    with tempfile.TemporaryDirectory() as work:
        quiet = {"ORT_DISABLE_TELEMETRY": "1", "YOLO_CONFIG_DIR": work, "YOLO_AUTOINSTALL": "false"}
        command = [sys.executable, __file__, "--engine", str(args.engine), "--frames", str(args.frames)]
        programs = {
            role: subprocess.Popen(
                [*command, "--role", role, str(args.video)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ | quiet | {"YOLO_OFFLINE": "true"},
                text=True,
            )
            for role in roles
        }
        turns: dict[str, list[Turn]] = {role: [] for role in roles}
        for role in roles:
            _turn(programs[role])  # warm-up
        for number in range(args.rounds):
            for role in roles[number % len(roles) :] + roles[: number % len(roles)]:
                turns[role].append(_turn(programs[role]))
        for program in programs.values():
            program.communicate()
    return turns


def _turn(program: "subprocess.Popen[str]") -> Turn:
    assert program.stdin is not None and program.stdout is not None  # noqa: S101, PT018 (for the type checker)
    time.sleep(_PAUSE_S)
    program.stdin.write("go\n")
    program.stdin.flush()
    return Turn(**json.loads(program.stdout.readline()))


def _serve(role: str, engine: Path, video: Path, frames: int) -> None:
    """Work whenever a line comes."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # Ultralytics talks on standard output
    work = {"bare": _bare, "jetsmith": _jetsmith, "ultralytics": _ultralytics}[role](engine, video, frames)
    for _ in sys.stdin:
        started, cpu = time.perf_counter(), time.process_time()
        done = work()
        turn = Turn(done, time.perf_counter() - started, time.process_time() - cpu)
        print(json.dumps(asdict(turn)), file=answers, flush=True)


def _bare(engine: Path, video: Path, frames: int) -> Work:
    import numpy as np
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # the engine is optimised
    options.log_severity_level = 3
    session = ort.InferenceSession(str(engine), options, providers=["CPUExecutionProvider"])
    only = session.get_inputs()[0]
    feed = {only.name: np.random.default_rng(0).random(only.shape, np.float32)}

    def work() -> int:
        for _ in range(frames):
            session.run(None, feed)
        return frames

    return work


def _jetsmith(engine: Path, video: Path, frames: int) -> Work:
    from app.infer.at_once import EngineSize, Machine, batches_at_once
    from app.infer.pipeline import InferOptions, infer
    from app.infer.sources.base import Selection
    from app.infer.sources.choose import open_sources
    from app.progress import SilentReporter
    from app.runtime.onnxruntime import OnnxRuntimeRunner
    from app.vision.model import Model
    from app.vision.parallel import ParallelModel

    selection = Selection(duration=(frames - 0.5) / _rate(video))
    sources = open_sources([str(video)], selection)
    with OnnxRuntimeRunner(engine) as runner:
        described = EngineSize(engine.stat().st_size, runner.metadata.imgsz, runner.metadata.batch)
    several = batches_at_once(sources, described, Machine.here())
    session = OnnxRuntimeRunner(engine, threads=1 if several > 1 else None).__enter__()
    model = ParallelModel(session, None, several) if several > 1 else Model(session)
    options = InferOptions(sources, selection=selection)
    nowhere = Path(os.devnull).open("w")  # noqa: SIM115 (for as long as the process lives)

    def work() -> int:
        return infer(options, model, nowhere, SilentReporter()).pictures

    return work


def _ultralytics(engine: Path, video: Path, frames: int) -> Work:
    from ultralytics import YOLO

    from app.runtime.onnxruntime import OnnxRuntimeRunner

    with OnnxRuntimeRunner(engine) as runner:
        size = list(runner.inputs[0].shape[2:])
    model = YOLO(str(engine.resolve()), task="detect")

    def work() -> int:
        done = 0
        for _ in model.predict(str(video), imgsz=size, rect=False, stream=True, verbose=False):
            done += 1
            if done == frames:
                break
        return done

    return work


def _rate(video: Path) -> float:
    import av

    with av.open(str(video)) as container:
        return float(container.streams.video[0].average_rate or 25)


if __name__ == "__main__":
    sys.exit(main())
