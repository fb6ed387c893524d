"""`jetsmith benchmark`."""

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from app.cli.infer import find_engine, inference_settings
from app.cli.own_stderr import own_stderr
from app.cli.pasteable import pasteable
from app.cli.reporters import make_reporter
from app.cli.settings import own_file, store_root
from app.cli.show import shown
from app.errors import OutputError
from config.settings import PROJECT_ROOT, Settings

if TYPE_CHECKING:
    from app.bench.benchmark import Benchmark
    from app.bench.options import BenchOptions
    from app.engines.engine import Engine

_SOME_FAILED = 3


def benchmark_command(args: argparse.Namespace) -> int:
    with own_stderr():
        return _benchmark(args)


def _benchmark(args: argparse.Namespace) -> int:
    from app.bench.benchmark import run_benchmark
    from app.bench.tables import as_text

    reporter = make_reporter(verbose=args.verbose)
    _require_outputs(args)
    settings = inference_settings(args)
    bench = run_benchmark(_options(args, settings, find_engine(settings, args.model, reporter)), reporter)
    print(pasteable(as_text(bench), args))
    _write(args, bench)
    for failure in bench.frames.failures:
        reporter.warn(f"{failure.source}: {failure.error.message}. {failure.error.hint}".rstrip())
    lacking = args.compare is not None and bench.absent  # by default all that can be is compared
    return _SOME_FAILED if bench.frames.failures or lacking else 0


def _require_outputs(args: argparse.Namespace) -> None:
    """Before minutes of work, whether its results can be kept."""
    if args.plot is not None:
        from app.bench.plot import require_plotting

        require_plotting()
    for path in (args.json, args.plot):
        if path is None:
            continue
        folder = Path(own_file(str(path))).parent
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            raise OutputError(f"{folder} is no folder that can be written to", hint="Make it, or name another file.")


def _options(args: argparse.Namespace, settings: Settings, engine: "Engine") -> "BenchOptions":
    from app.bench.options import COMPARED, BenchOptions
    from app.catalog import bundled_weights, parse_model_name
    from app.cli.infer import thresholds_of

    yolo, source = settings.vision.yolo, settings.vision.yolo.model_source
    name = None if source.base_model is None else parse_model_name(source.base_model)
    bundled = None if name is None else bundled_weights(name, PROJECT_ROOT / "models")
    found = thresholds_of(settings, engine)
    return BenchOptions(
        engine=engine,
        store=store_root(settings),
        weights=bundled if bundled is not None and not source.pt_model_path.exists() else source.pt_model_path,
        demo_scenes=PROJECT_ROOT / "models" / "demo" / "scenes",
        source=args.source,
        compare=COMPARED if args.compare is None else args.compare,
        duration_s=args.duration,
        thresholds=(found.confidence, found.iou, found.max_detections, found.classes),
        gpu_memory=yolo.gpu_memory,
        frame_path=yolo.frame_path,
        trust_weights=source.trust_weights,
    )


def _write(args: argparse.Namespace, bench: "Benchmark") -> None:
    """Whole or not at all: somebody may be reading the last ones."""
    from app.infer.sinks.files import write_atomically

    if args.json is not None:
        from app.bench.report import as_json

        data = json.dumps(as_json(bench), indent=1, allow_nan=False) + "\n"
        write_atomically(Path(own_file(str(args.json))), data.encode())
    if args.plot is not None:
        from app.bench.plot import draw

        path = Path(own_file(str(args.plot)))
        draw(bench.figures, f"{bench.options.engine.manifest.weights.name}, {bench.frames.source}", path)
        print(f"\npicture: {shown(path)}")
