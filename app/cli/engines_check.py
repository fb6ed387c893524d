"""`jetsmith engines check`: whether the engine that `infer` would take loads and runs here."""

import argparse
import json
import time
from typing import TYPE_CHECKING

from app.cli.infer import find_engine, inference_settings, open_model
from app.cli.own_stderr import own_stderr
from app.cli.reporters import make_reporter
from app.engines.engine import Engine, check_content
from app.engines.open import open_runner
from app.errors import EngineStale, ModelError
from app.text import printable
from config.settings import Settings

if TYPE_CHECKING:
    from app.runtime.base import Tensors
    from app.types import Image

_SEED = 20260101


def check_command(args: argparse.Namespace) -> int:
    """
    Returns 0; whatever is wrong is raised.

    Raises:
        EngineError: it is not there, does not fit, or was altered.
        ModelError: it computes what is no number, or what cannot be read.
    """
    with own_stderr():
        reporter = make_reporter(verbose=args.verbose)
        settings = inference_settings(args)
        engine = check_content(find_engine(settings, args.model, reporter))
        if args.sha256 not in ("", engine.manifest.sha256):
            raise EngineStale(
                f"{engine.path.name} is another engine than the one asked for: {engine.manifest.sha256[:12]}",
                hint="Was it built anew in the meantime? Look again: jetsmith engines list",
            )
        _require_numbers(engine, settings)
        started = time.perf_counter()
        with open_model(settings, engine, reporter) as model:
            loaded = time.perf_counter()
            results = model.predict_batch([_noise((480, 640)) for _ in range(model.metadata.batch)])
            done = time.perf_counter()
    record: dict[str, str | int | float] = {
        "engine": engine.path.name,
        "sha256": engine.manifest.sha256,
        "key": engine.identity.key,
        "pictures": len(results),
        "load_ms": round(1000 * (loaded - started), 1),
        "milliseconds": round(1000 * (done - loaded), 1),
    }
    print(json.dumps(record) if args.json else _line(record))
    return 0


def _line(record: dict[str, str | int | float]) -> str:
    return printable(f"{record['engine']} loads and runs here: {record['milliseconds']} ms for {record['pictures']}")


def _require_numbers(engine: Engine, settings: Settings) -> None:
    """Noise in; whatever comes out has to be finite."""
    import numpy as np

    with open_runner(engine.path, engine.backend, settings.vision.yolo.gpu_memory) as runner:
        random = np.random.default_rng(_SEED)
        feeds = {spec.name: random.random(spec.shape).astype(spec.dtype) for spec in runner.inputs}
        outputs: Tensors = runner.infer(feeds)
        strange = sorted(name for name, value in outputs.items() if not np.isfinite(value).all())
    if strange or not outputs:
        raise ModelError(
            f"{engine.path.name} computes {'no numbers: ' + ', '.join(strange) if strange else 'nothing'}",
            hint="Build it anew: jetsmith convert --force-convert",
        )


def _noise(size: tuple[int, int]) -> "Image":
    import numpy as np

    return np.random.default_rng(_SEED).integers(0, 256, (*size, 3), dtype=np.uint8)
