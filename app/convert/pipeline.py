"""Weights to a published engine: each step in its own module, their order here."""

import platform as python_platform
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from app import __version__
from app.board import board_facts, board_name, dla_cores, require_supported
from app.convert.attempts import Attempts
from app.convert.build import BuildOptions, Built, build_engine
from app.convert.calibrate import calibrate_on
from app.convert.dla import require_dla
from app.convert.export import Exported, ExportOptions, export, exporter_versions
from app.convert.keep import keep_graphs, onnx_beside
from app.convert.layers import layers_by_precision
from app.convert.library import try_library
from app.convert.offered import Offer
from app.convert.options import ConvertOptions
from app.convert.pictures import calibration_digest, verification_pictures
from app.convert.precision import require_ranges
from app.convert.recipe import recipe_of
from app.convert.room import room_watched
from app.convert.traits import Traits, require_expected
from app.convert.verify import VerifyOptions, verify_engine
from app.convert.weights import Weights, resolve_weights
from app.device import read_device
from app.engines.engine import Engine, alias_for, split_name
from app.engines.files import sha256_of
from app.engines.identity import Identity, platform_of
from app.engines.locks import Holder
from app.engines.manifest import BuildRecord, WeightsFacts
from app.engines.store import EngineStore, Found, Miss
from app.errors import BackendUnavailable, WeightsMismatch
from app.progress import Reporter
from app.runtime.choose import backend_versions, choose_backend
from app.status import status_path
from app.status_reporter import StatusReporter
from app.types import Backend, Precision


@dataclass(frozen=True)
class Conversion:
    """What came of it; without an engine where only the weights were asked for."""

    weights: Weights
    engine: Engine | None = None
    alias: Path | None = None
    built: bool = False  # False: it was there already


def convert(options: ConvertOptions, reporter: Reporter) -> Conversion:
    """
    Bring the engine that `options` describe into the store, building it only if it is not there.

    How far it is stands in the job's status file, for others to read.

    Raises:
        JetsmithError: one of its kinds for each step; nothing was published then, and what was there still is.
    """
    if options.download_only:
        return Conversion(resolve_weights(options.weights, reporter))
    job_name = split_name(options.alias.name)[0]
    with StatusReporter(reporter, status_path(options.store.parent, job_name)) as watched:
        conversion = _convert(options, watched)
        watched.ready("the engine is built" if conversion.built else "the engine was there already")
    return conversion


def _convert(options: ConvertOptions, reporter: StatusReporter) -> Conversion:
    job, found = _prepared(options, reporter)
    if found is not None:
        job.store.link(found, job.alias)
        return Conversion(job.weights, found, job.alias)
    job.store.preflight(job.alias)
    with ExitStack() as shown, job.store.lock(job.identity, lambda holder: _wait(holder, shown, reporter)):
        shown.close()
        found = _look(job, reporter, quietly=True)  # another process may have built it while this one waited
        if found is not None:
            job.store.link(found, job.alias)
            return Conversion(job.weights, found, job.alias)
        with room_watched(job.store.root, job.weights.path, reporter):
            return Conversion(job.weights, _build(job, reporter), job.alias, built=True)


def _prepared(options: ConvertOptions, reporter: Reporter) -> tuple["_Job", Engine | None]:
    """The job and, where it is there, its engine. TensorRT is loaded only where something must be built."""
    unusable: dict[Backend, str] = {}
    while True:
        job = _Job.prepare(options, reporter, unusable)
        job.store.sweep()
        found = _look(job, reporter)
        if found is not None:
            return job, found
        backend = job.identity.backend
        try:
            version = job.versions.get(backend.value, "")
            try_library(
                backend, version, reporter, precision=options.precision, head=options.head, dla_core=options.dla_core
            )
        except BackendUnavailable as error:
            if options.backend is not None:
                raise
            unusable[backend] = error.message
        else:
            return job, None


def _wait(holder: Holder, shown: ExitStack, reporter: StatusReporter) -> None:
    shown.close()  # the wait for another one, which ended without an engine
    shown.enter_context(reporter.waiting(f"waiting for {holder}, which builds this engine"))


@dataclass
class _Job:
    """What is known before anything is built."""

    options: ConvertOptions
    weights: Weights
    identity: Identity
    versions: dict[str, str]
    device_slug: str
    board: Mapping[str, str]
    store: EngineStore
    alias: Path
    replaced: tuple[int, int] | None = None  # inode and time of the engine that `--force-convert` met first
    seconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def prepare(cls, options: ConvertOptions, reporter: Reporter, unusable: Mapping[Backend, str]) -> "_Job":
        device = read_device()
        if options.backend is not Backend.ONNXRUNTIME:  # which needs nothing of JetPack
            require_supported(device)
        backend, why = choose_backend(options.backend, loading=False, unusable=unusable)
        reporter.note(why)
        if options.dla_core is not None:
            require_dla(options.dla_core, options.precision, backend, board_name(device), dla_cores(device))
        weights = resolve_weights(options.weights, reporter)
        versions = backend_versions(backend)
        digest = "none"
        if options.precision is Precision.INT8 and options.pictures is not None:
            digest = calibration_digest(options.pictures)
        elif backend is not Backend.ONNXRUNTIME:  # which builds FP32 whatever was asked for
            require_ranges(options.precision, None)
        return cls(
            options=options,
            weights=weights,
            identity=Identity(recipe_of(options, weights, backend, digest), platform_of(device, backend, versions)),
            versions={**versions, **exporter_versions(), "python": python_platform.python_version()},
            device_slug=device.slug,
            board=board_facts(device),
            store=EngineStore(options.store),
            alias=alias_for(options.alias, backend),
        )

    def was_replaced(self, engine: Engine) -> bool:
        """Whether this is another file than at the first look: a clock may jump back, an inode does not."""
        stamp = (engine.path.stat().st_ino, engine.path.stat().st_mtime_ns)
        if self.replaced is None:
            self.replaced = stamp
        return stamp != self.replaced

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[phase] = round(self.seconds.get(phase, 0.0) + time.monotonic() - started, 2)


def _look(job: _Job, reporter: Reporter, *, quietly: bool = False) -> Engine | None:
    answer = job.store.find(job.identity, alias=job.alias)
    if isinstance(answer, Miss):
        job.replaced = job.replaced or (0, 0)  # none: whatever comes is new
        if not quietly:
            reporter.note(answer.reason)
        return None
    return _usable(job, answer, reporter)


def _usable(job: _Job, found: Found, reporter: Reporter) -> Engine | None:
    """Not one that was never verified, unless that is wanted; with `--force-convert` only one made meanwhile."""
    engine = found.engine
    traits = Traits.of_facts(engine.manifest.build.get("checkpoint"))
    if traits is not None:  # the same weights may have been converted under another name
        require_expected(job.options.expected, traits, str(job.weights.path))
    if job.options.force_convert and not job.was_replaced(engine):
        return None
    if engine.manifest.verification.get("skipped") and not job.options.skip_verify:
        reporter.note("The engine that is there was never verified (--skip-verify): it is built again.")
        return None
    return engine


def _build(job: _Job, reporter: Reporter) -> Engine:
    with job.store.workspace(job.identity) as work:
        exported = _export(job, work, reporter)
        built, figures = _offered(job, exported.onnx, work, reporter) or _build_and_verify(
            job, exported.onnx, work, reporter
        )
        layers = layers_by_precision(built.engine, job.identity.backend, work, reporter)
        record = _record(job, built, figures, {**layers, "checkpoint": exported.traits.facts()})
        engine = job.store.publish(built.engine, record, device_slug=job.device_slug, alias=job.alias)
        if job.options.keep_onnx:
            keep_graphs(exported.onnx, built, onnx_beside(job.options), reporter)
        return engine


def _offered(job: _Job, onnx: Path, work: Path, reporter: Reporter) -> tuple[Built, dict[str, Any]] | None:
    if job.options.force_convert or job.options.skip_verify:
        return None
    offer = Offer(job.store.root.parent, job.identity, reporter)
    return offer.taken(work, lambda built: _verify(job, built, onnx, work, reporter))


def _build_and_verify(job: _Job, onnx: Path, work: Path, reporter: Reporter) -> tuple[Built, dict[str, Any]]:
    ranges = _ranges(job, onnx, work, reporter)

    def build(precision: Precision, folder: Path) -> Built:
        with job.timed("build"):
            return build_engine(onnx, _build_options(job, precision, ranges), folder, reporter)

    highest = Precision.FP32 if job.options.dla_core is None else Precision.FP16
    attempts = Attempts(job.options.precision, job.options.fall_back, highest)
    return attempts.run(build, lambda built: _verify(job, built, onnx, work, reporter), work, reporter)


def _ranges(job: _Job, onnx: Path, work: Path, reporter: Reporter) -> dict[str, float] | None:
    options = job.options
    if options.precision is not Precision.INT8 or options.pictures is None:
        return None
    if job.identity.backend is Backend.ONNXRUNTIME:
        return None
    with job.timed("calibrate"):
        return calibrate_on(onnx, options.pictures, work, reporter)


def _export(job: _Job, work: Path, reporter: Reporter) -> Exported:
    given = job.options
    options = ExportOptions(
        given.imgsz, given.batch, given.head, trust_weights=given.trust_weights, expected=given.expected
    )
    with job.timed("export"):
        exported = export(job.weights.path, options, work, reporter)
    if sha256_of(job.weights.path) != job.weights.sha256:  # a training run writes its best.pt again and again
        raise WeightsMismatch(
            f"{job.weights.path} was changed while it was converted, so nothing was published",
            hint="Convert a copy, or run the command again once the file is at rest.",
        )
    return exported


def _build_options(job: _Job, precision: Precision, ranges: dict[str, float] | None) -> BuildOptions:
    options = job.options
    return BuildOptions(
        job.identity.backend,
        precision,
        options.workspace_gb,
        options.optimization_level,
        job.store.root,
        job.device_slug,
        ranges,
        options.dla_core,
    )


def _verify(job: _Job, built: Built, onnx: Path, work: Path, reporter: Reporter) -> dict[str, Any]:
    if job.options.skip_verify:
        reporter.warn("the engine is not verified (--skip-verify): nothing is known of its accuracy")
        return {"skipped": True}
    pictures = verification_pictures(job.options.pictures, job.options.demo_scenes)
    with job.timed("verify"):
        labelled = job.options.pictures is not None
        verify = VerifyOptions(job.identity.backend, built.precision, tuple(pictures), labelled)
        return verify_engine(built.engine, onnx, verify, work, reporter)


def _record(job: _Job, built: Built, figures: dict[str, Any], facts: dict[str, Any]) -> BuildRecord:
    weights = job.weights
    return BuildRecord(
        identity=job.identity,
        model=built.header,
        requested=job.options.precision,
        actual=built.precision,
        created=datetime.now(timezone.utc).isoformat(timespec="microseconds"),
        versions={**job.versions, "jetsmith": __version__},
        seconds=job.seconds,
        verification=figures,
        weights=WeightsFacts(weights.path.name, weights.sha256, weights.path.stat().st_size),
        build={**built.facts, **facts},
        board=job.board,
    )
