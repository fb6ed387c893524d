#!/usr/bin/env python3
"""
How many runs of a network a second, and what memory each takes: one at a time on all cores, and several at a time, each
on one core.

    scripts/bench_at_once.py models/yolov8n.ort.onnx
    scripts/bench_at_once.py graph.onnx --at-once 2 4 8 16 --rounds 5

Every way has a session of its own and is measured by turns, a second after the one before it, as idle sessions spin.
"""

import argparse
import json
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from app.cores import usable_cores
from app.runtime.onnxruntime import OnnxRuntimeRunner
from scripts.bench_infer import _machine

_PAUSE_S = 1.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graph", type=Path, help="an engine for ONNX Runtime, or an ONNX file")
    parser.add_argument("--at-once", type=int, nargs="+", default=[2**power for power in range(1, 5)])
    parser.add_argument("--runs", type=int, default=40, help="of each thread in a round (40)")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with ExitStack() as stack:
        ways = {1: Way(stack, args.graph, None, 1, args.runs)}
        for count in args.at_once:
            if count <= usable_cores():
                ways[count] = Way(stack, args.graph, 1, count, args.runs)
        rates: dict[int, list[float]] = {count: [] for count in ways}
        for _ in range(args.rounds):
            for count, way in ways.items():
                time.sleep(_PAUSE_S)
                rates[count].append(way.rate())
        median = {count: statistics.median(found) for count, found in rates.items()}
        found = {f"{count} at once": _told(median[count], median[1], way.mb_each) for count, way in ways.items()}
    print(json.dumps({"machine": _machine(), "graph": args.graph.name, **found}, indent=2))
    return 0


def _told(rate: float, one_at_a_time: float, mb_each: float) -> dict[str, float]:
    return {"a_second": round(rate, 1), "factor": round(rate / one_at_a_time, 2), "mb_each": round(mb_each)}


class Way:
    """A session of its own, warmed up."""

    def __init__(self, stack: ExitStack, graph: Path, threads: int | None, at_once: int, runs: int) -> None:
        self._runner = stack.enter_context(OnnxRuntimeRunner(graph, optimise=True, threads=threads))
        self._pool = stack.enter_context(ThreadPoolExecutor(at_once))
        self._count = runs * at_once
        (spec,) = self._runner.inputs
        random = np.random.default_rng(0)
        self._feeds = [{spec.name: random.random(spec.shape).astype(spec.dtype)} for _ in range(at_once)]
        before = _resident_mb()
        for _ in range(3):
            list(self._pool.map(self._runner.infer, self._feeds))
        self.mb_each = (_resident_mb() - before) / at_once

    def rate(self) -> float:
        """Runs a second."""
        started = time.perf_counter()
        list(self._pool.map(lambda run: self._runner.infer(self._feeds[run % len(self._feeds)]), range(self._count)))
        return self._count / (time.perf_counter() - started)


def _resident_mb() -> float:
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    sys.exit(main())
