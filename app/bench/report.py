"""A benchmark as JSON: everything, in a form with a version."""

import os
import platform
import sys
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

from app import __version__
from app.bench.benchmark import Benchmark
from app.bench.comparison import compare
from app.bench.figures import STAGES, Figures, thinned
from app.bench.tables import gpu_memory_name
from app.board import board_facts

SCHEMA = 1
"""Raise it when a key changes its meaning or goes."""

_MOST_SAMPLES = 10_000  # of a program


def as_json(bench: Benchmark) -> dict[str, Any]:
    theirs = bench.of("pytorch")
    lines = [] if theirs is None else compare(theirs, bench.ours, gpu=gpu_memory_name(bench.device))
    return {
        "schema": SCHEMA,
        "jetsmith": __version__,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": _machine(bench),
        "model": _model(bench),
        "source": _source(bench),
        "programs": {found.name: _program(found) for found in bench.figures},
        "absent": [absent._asdict() for absent in bench.absent],
        "comparison": [
            {
                "metric": line.metric,
                "unit": line.unit,
                "pytorch": line.theirs,
                "jetsmith": line.ours,
                "times": line.factor,
            }
            for line in lines
        ],
        "conditions": asdict(bench.conditions),
        "verdicts": [asdict(found) for found in bench.verdicts],
    }


def _machine(bench: Benchmark) -> dict[str, Any]:
    device = bench.device
    return {
        **{"kind": device.kind, "cpu": device.cpu_model, "cpus": os.cpu_count(), "ram_bytes": device.ram_bytes},
        **{"gpu": None if device.gpu is None else asdict(device.gpu), "l4t": device.l4t},
        **{"system": platform.platform(), "python": sys.version.split()[0], "board": dict(board_facts(device))},
    }


def _model(bench: Benchmark) -> dict[str, Any]:
    engine = bench.options.engine
    return {
        "weights": engine.manifest.weights.name,
        "engine": engine.path.name,
        "task": engine.metadata.task.value,
        "input": list(engine.metadata.imgsz),
        "batch": engine.metadata.batch,
        "backend": engine.backend.value,
        "precision": engine.manifest.actual.value,
        "precision_asked_for": engine.manifest.requested.value,
    }


def _source(bench: Benchmark) -> dict[str, Any]:
    frames = bench.frames
    return {
        "name": frames.source,
        "frames": len(frames.images),
        "sizes": [list(size) for size in frames.sizes],
        "bytes": frames.nbytes,
        "failures": [{"source": failure.source, "error": failure.error.message} for failure in frames.failures],
        "seconds_each": bench.options.duration_s,
    }


def _program(found: Figures) -> dict[str, Any]:
    columns = ("at_s", *STAGES)
    return {
        "title": found.title,
        "detail": found.start.detail,
        "ms": {stage: asdict(values) for stage, values in found.stages.items()},
        "frames": found.frames,
        "frames_a_second": found.per_second,
        "start_s": found.start.seconds,
        "peak_rss_bytes": found.peak_rss,
        "gpu_memory_bytes": found.start.gpu_bytes,
        "cpus_busy": found.cpus,
        "watts": found.watts,
        "joules_a_frame": found.joules_a_frame,
        "objects": found.start.objects,
        "samples": {
            "columns": list(columns),
            "rows": [[round(getattr(row, name), 4) for name in columns] for row in thinned(found.rows, _MOST_SAMPLES)],
        },
    }
