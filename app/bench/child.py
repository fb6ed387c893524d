"""
One measured program: `python -m app.bench.child`. It does a round whenever it is told to, and nothing between.

Jobs come as JSON lines on stdin, answers go as JSON lines through a pipe of their own; what libraries print goes to a
log.
"""

import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path
from time import monotonic, perf_counter, process_time
from typing import Any

from app.bench.programs import Done, Program, opened
from app.convert.child import die_with_parent
from app.errors import JetsmithError

_SETTLE_CALLS = 2  # not counted: caches and clocks find their way back after the others' rounds
_WARM_CALLS, _WARM_S, _WARM_AT_MOST_S = 5, 1.0, 20.0
Batches = Iterator[Sequence[Any]]


def main() -> None:
    descriptor, parent = (int(argument) for argument in sys.argv[1:3])
    die_with_parent(parent)
    job = json.loads(sys.stdin.readline())
    try:
        _serve(job, descriptor)
    except JetsmithError as error:
        _say(descriptor, {"error": error.message, "hint": error.hint})
        sys.exit(1)


def _serve(job: dict[str, Any], descriptor: int) -> None:
    size = int(job["batch"])
    with opened(job) as program:
        program.run([program.place(_load(job["frames"][0]))] * size)
        _say(descriptor, {"first": monotonic(), "detail": program.detail})
        frames = [program.place(_load(path)) for path in job["frames"]]
        batches = _batches(frames, size)
        objects = _objects(program, frames, size)
        _warm_up(program, batches)
        _say(descriptor, {"objects": objects, "cpu_s": process_time()})
        for line in sys.stdin:
            _say(descriptor, {"round": _round(program, batches, size, float(json.loads(line)["seconds"]))})


def _load(path: str) -> Any:
    import numpy as np

    return np.load(path, allow_pickle=False)


def _batches(frames: Sequence[Any], size: int) -> Batches:
    """For ever."""
    each = cycle(frames)
    while True:
        yield [next(each) for _ in range(size)]


def _objects(program: Program, frames: Sequence[Any], size: int) -> int | None:
    found = [program.run([frame] * size).objects for frame in frames]
    counts = [objects // size for objects in found if objects is not None]
    return sum(counts) if counts else None


def _warm_up(program: Program, batches: Batches) -> None:
    began, calls = monotonic(), 0
    while calls < _WARM_CALLS or monotonic() - began < _WARM_S:
        program.run(next(batches))
        calls += 1
        if monotonic() - began > _WARM_AT_MOST_S:
            break


def _round(program: Program, batches: Batches, size: int, seconds: float) -> dict[str, Any]:
    for _ in range(_SETTLE_CALLS):
        program.run(next(batches))
    began, cpu_began = monotonic(), process_time()
    rows: list[list[float]] = []
    busy_s = 0.0
    while not rows or monotonic() - began < seconds:
        batch, at_s = next(batches), monotonic()
        started = perf_counter()
        done: Done = program.run(batch)
        took_s = perf_counter() - started
        busy_s += took_s
        rows.append([at_s, *done.stages, took_s * 1e3 / size])
    ended, cpu_s = monotonic(), process_time() - cpu_began
    return {
        **{"rows": rows, "busy_s": busy_s, "began_s": began, "ended_s": ended, "cpu_s": cpu_s},
        **{"frames": len(rows) * size, "peak_rss": _peak_rss(), "cpu_total_s": process_time()},
    }


def _peak_rss() -> int:
    """Bytes, of this process since its start."""
    found = re.search(r"^VmHWM:\s*([0-9]+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    if found is not None:
        return int(found[1]) * 1024
    import resource  # some sandboxes' /proc does not tell

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _say(descriptor: int, answer: dict[str, Any]) -> None:
    data = json.dumps(answer).encode() + b"\n"
    while data:  # a pipe may take less than all of a long line
        data = data[os.write(descriptor, data) :]


if __name__ == "__main__":
    main()
