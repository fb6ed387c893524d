"""
Cameras that stall, drop, change their size and send garbage, for long: does memory grow, does a thread die?

    python -m scripts.soak_streams --engine models/yolov8n.ort.onnx --minutes 30
    python -m scripts.soak_streams --engine models/yolov8n.ort.onnx --minutes 5 --haste 10
"""

import argparse
import contextlib
import io
import json
import os
import random
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from app.infer.ahead import Reading
from app.infer.pipeline import run
from app.infer.sinks.json_lines import JsonLines
from app.infer.sources.choose import open_sources
from app.infer.sources.live import Patience
from app.progress import SilentReporter
from app.runtime.onnxruntime import OnnxRuntimeRunner
from app.vision.model import Model
from tests.doubles.cameras import Camera, MjpegCamera, Mode, RtspCamera

_SIZES = (320, 240), (640, 360), (640, 480), (1280, 720)
_WARM_UP_S = 60.0
_GROWTH_ALLOWED = 1.05


@dataclass(frozen=True)
class Look:
    """At the process, once every few seconds."""

    seconds: float
    rss_mb: float
    threads: int
    descriptors: int


class _Nowhere(io.StringIO):
    def write(self, text: str) -> int:
        return len(text)


def main() -> int:
    args = _arguments()
    stop, looks = threading.Event(), list[Look]()
    # In a process of their own, so that this one's memory is that of what is tested.
    with _cameras(args.cameras, args.haste) as addresses, OnnxRuntimeRunner(args.engine, threads=1) as runner:
        patience = Patience(stall_s=3.0 / args.haste, first_retry_s=0.2 / args.haste, last_retry_s=2.0)
        sources = open_sources(addresses, patience=patience)
        reading = Reading(sources, SilentReporter(), stop)
        model = Model(runner)
        watch = threading.Thread(target=_look, args=(looks, stop, args.minutes * 60, args.every))
        watch.start()
        summary = run(reading, lambda: model, [JsonLines(_Nowhere(), model.metadata.names)], SilentReporter())
        watch.join()
    states = [asdict(state) | {"condition": state.condition.value} for state in reading.states()]
    print(json.dumps({"looks": [asdict(look) for look in looks], "sources": states}, indent=1, default=str))
    print(summary)
    return _judge(looks)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", type=Path, required=True, help="an ONNX Runtime engine that `convert` built")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--cameras", type=int, default=4, help="half of them MJPEG, half RTSP (4)")
    parser.add_argument("--haste", type=float, default=1.0, help="so many times as many losses and new sizes (1)")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two looks (5)")
    return parser.parse_args()


@contextlib.contextmanager
def _cameras(count: int, haste: float) -> Iterator[list[str]]:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _play(count, haste, writer)
    os.close(writer)
    with os.fdopen(reader) as told:
        addresses = json.loads(told.readline())
        yield addresses
    os.waitpid(child, 0)


def _play(count: int, haste: float, writer: int) -> None:
    """Until the parent no longer listens."""
    with contextlib.ExitStack() as stack:
        kinds = [MjpegCamera, RtspCamera]
        cameras = [stack.enter_context(kinds[number % 2]()) for number in range(count)]
        os.write(writer, (json.dumps([camera.url for camera in cameras]) + "\n").encode())
        for number, camera in enumerate(cameras):
            threading.Thread(target=_misbehave, args=(camera, random.Random(number), haste), daemon=True).start()  # noqa: S311
        with contextlib.suppress(BrokenPipeError):
            while True:
                time.sleep(1)
                os.write(writer, b"\n")
    os._exit(0)


def _misbehave(camera: Camera, chance: random.Random, haste: float) -> None:
    while True:
        camera.mode = Mode.GOOD
        camera.period_s = 1 / chance.choice([5, 15, 30])
        time.sleep(chance.uniform(1.0, 10.0) / haste)
        camera.mode = chance.choice([Mode.STALL, Mode.DROP, Mode.GARBAGE, Mode.GOOD])
        if camera.mode is Mode.GOOD:
            camera.size = chance.choice(_SIZES)
        time.sleep(chance.uniform(0.5, 8.0) / haste)


def _look(looks: list[Look], stop: threading.Event, seconds: float, every: float) -> None:
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        time.sleep(every)
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        rss, threads = int(status["VmRSS"].split()[0]) / 1024, int(status["Threads"])
        looks.append(Look(round(time.monotonic() - began, 1), round(rss, 1), threads, _open_files()))
    stop.set()


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _judge(looks: list[Look]) -> int:
    """Medians of the first and of the last minute after the warm-up: single looks jump with the frames' sizes."""
    warm = [look for look in looks if look.seconds >= _WARM_UP_S]
    if len(warm) < 6:
        print("too short to judge")
        return 1
    part = max(3, len(warm) // 5)
    first, last = (sorted(look.rss_mb for look in some)[part // 2] for some in (warm[:part], warm[-part:]))
    threads = sorted({look.threads for look in warm})
    files = sorted({look.descriptors for look in warm})
    print(f"memory {first:.0f} → {last:.0f} MB ({last / first - 1:+.1%}); threads {threads}; open files {files}")
    return 0 if last <= first * _GROWTH_ALLOWED else 1


if __name__ == "__main__":
    sys.exit(main())
