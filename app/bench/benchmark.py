"""The order of a benchmark: frames, programs up one after another, rounds by turns, and what they come to."""

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from app.bench import conditions as seen
from app.bench.compared import Absent, lacks_memory, our_spec, plan_compared
from app.bench.conditions import Conditions
from app.bench.figures import OURS, Figures, Round, Started, figures_of
from app.bench.frames import Frames, read_frames
from app.bench.load import Load, read_load
from app.bench.nvml import Nvml, opened_nvml
from app.bench.options import BenchOptions
from app.bench.sensors import Sensors, whole
from app.bench.verdicts import Model, Verdict, verdicts
from app.bench.watch import Watch, between, measured_as, rails, watts
from app.bench.worker import Spec, Worker
from app.device import Device, read_device
from app.errors import BenchmarkFailed
from app.memory import read_free_memory
from app.power import read_clocks, read_power
from app.progress import Phase, Reporter

_ROUND_S, _LEAST_ROUNDS = 1.0, 3
_IDLE_S = 1.0


@dataclass(frozen=True)
class Benchmark:
    """All that one benchmark found."""

    options: BenchOptions
    device: Device
    frames: Frames
    figures: tuple[Figures, ...]  # this engine first
    absent: tuple[Absent, ...]
    conditions: Conditions
    verdicts: tuple[Verdict, ...]

    @property
    def ours(self) -> Figures:
        return self.figures[0]

    def of(self, name: str) -> Figures | None:
        return next((found for found in self.figures if found.name == name), None)


@dataclass
class _Measured:
    """One program while the benchmark runs."""

    worker: Worker
    gpu_bytes: int | None
    rounds: list[Round]


def run_benchmark(options: BenchOptions, reporter: Reporter, root: Path = Path("/")) -> Benchmark:
    """
    Raises:
        SourceError: there is nothing to measure on.
        BenchmarkFailed, EngineError: this engine cannot be measured; other programs that cannot are `absent`.
    """
    frames = read_frames(options.source, options.demo_scenes)
    device = read_device(root)
    with tempfile.TemporaryDirectory(prefix="jetsmith-bench-") as folder, opened_nvml() as nvml:
        work = Path(folder)
        plan = plan_compared(options, work, reporter)
        bench = _Bench(options, frames.save(work / "frames"), work, reporter, root)
        with ExitStack() as stack:
            bench.start_all(stack, [our_spec(options), *plan.specs], _gpu_memory(device, nvml, root))
            bench.measure(stack, Sensors(root, nvml))
    figures, conditions = bench.figures(), bench.conditions()
    model = _model(options, device, figures[0])
    found = verdicts(figures[0], model, conditions, frames.sizes)
    return Benchmark(options, device, frames, tuple(figures), (*plan.absent, *bench.absent), conditions, tuple(found))


class _Bench:
    def __init__(self, options: BenchOptions, frames: list[str], work: Path, reporter: Reporter, root: Path) -> None:
        self._options, self._frames, self._work, self._reporter, self._root = options, frames, work, reporter, root
        self._all: list[_Measured] = []
        self.absent: list[Absent] = []
        self._before: Load
        self._after: Load
        self._watch: Watch
        self._parent_cpu_s = 0.0
        self._zero_s = 0.0
        self._ended_s = 0.0

    def start_all(self, stack: ExitStack, specs: Sequence[Spec], gpu_memory: Callable[[], int | None]) -> None:
        """One after another, so that each has the machine for itself while it starts."""
        self._before = read_load(self._root)
        for spec in specs:
            lacking = lacks_memory(spec.name, read_free_memory(self._root)) if spec.name != OURS else None
            if lacking is not None:
                self.absent.append(Absent(spec.name, lacking))
                continue
            with self._reporter.phase(f"start {spec.title}"):
                try:
                    self._all.append(self._started(stack, spec, gpu_memory))
                except BenchmarkFailed as error:
                    self._leave_out(spec, error)

    def _started(self, stack: ExitStack, spec: Spec, gpu_memory: Callable[[], int | None]) -> _Measured:
        batch = self._options.engine.metadata.batch
        with Worker(spec, self._frames, batch, self._work):
            pass  # the second start counts: whoever comes first would otherwise read the disk for all
        before = gpu_memory()
        worker = stack.enter_context(Worker(spec, self._frames, batch, self._work))
        worker.warm_up()
        after = gpu_memory()
        taken = None if before is None or after is None else max(0, after - before)
        return _Measured(worker, taken, [])

    def measure(self, stack: ExitStack, sensors: Sensors) -> None:
        """Rounds by turns: whatever else the machine does, and however warm it gets, meets all of them."""
        rounds = max(_LEAST_ROUNDS, round(self._options.duration_s / _ROUND_S))
        self._zero_s = time.monotonic()
        began, cpu_began = read_load(self._root), time.process_time()
        with (
            self._reporter.phase("measure by turns", total=rounds) as phase,
            Watch(sensors, self._zero_s) as self._watch,
        ):
            time.sleep(_IDLE_S)
            for number in range(rounds):
                self._round(number, self._options.duration_s / rounds, phase)
        self._parent_cpu_s = time.process_time() - cpu_began
        self._ended_s = time.monotonic() - self._zero_s
        self._before = Load(
            began.cpus, began.busy_s, self._before.average, began.swapped_bytes, began.swap_used_bytes, None
        )
        self._after = read_load(self._root)

    def _round(self, number: int, seconds: float, phase: Phase) -> None:
        shift = number % len(self._all)  # who begins changes
        for measured in self._all[shift:] + self._all[:shift]:
            try:
                measured.rounds.append(measured.worker.round(seconds, self._zero_s))
            except BenchmarkFailed as error:
                self._leave_out(measured.worker.spec, error)
                self._all.remove(measured)
        phase.update(number + 1)

    def _leave_out(self, spec: Spec, error: BenchmarkFailed) -> None:
        """The others go on; without this engine there is nothing to compare."""
        if spec.name == OURS:
            raise error
        self._reporter.warn(f"{error.message}. {error.hint}".rstrip())
        self.absent.append(Absent(spec.name, error.message))

    def figures(self) -> list[Figures]:
        return [self._figures(measured) for measured in self._all]

    def _figures(self, measured: _Measured) -> Figures:
        worker = measured.worker
        started = Started(worker.start_s, worker.detail, measured.gpu_bytes, worker.objects)
        drawn = watts(self._watch.samples, _intervals(measured))
        spec = worker.spec
        return figures_of(spec.name, spec.title, started, measured.rounds, worker.peak_rss, drawn)

    def conditions(self) -> Conditions:
        samples, last = self._watch.samples, self._watch.samples[-1]
        idle = whole(rails(between(samples, 0.0, _IDLE_S)))
        own_cpu_s = self._parent_cpu_s + sum(measured.worker.cpu_s for measured in self._all)
        return Conditions(
            power=read_power(self._root),
            clocks=read_clocks(self._root),
            gpu_hz_at_work=seen.clock_at_work(samples, _intervals(self._all[0])),
            gpu_limit_hz=last.gpu_limit_hz,
            gpu_top_hz=last.gpu_top_hz,
            hottest=seen.hottest(samples),
            throttled=seen.throttled(samples),
            power_rails=measured_as(samples),
            idle_watts=None if idle is None else idle[0],
            load_average=self._before.average,
            others_cpus=seen.others_cpus(self._before, self._after, self._ended_s, own_cpu_s),
            cpus=self._after.cpus,
            swapped_bytes=seen.swapped(self._before, self._after),
            swap_used_bytes=self._after.swap_used_bytes,
        )


def _intervals(measured: _Measured) -> list[tuple[float, float]]:
    return [(done.began_s, done.ended_s) for done in measured.rounds]


def _gpu_memory(device: Device, nvml: Nvml | None, root: Path) -> Callable[[], int | None]:
    """What is taken of the GPU's memory; where that is the machine's own, of all that the machine has."""
    if device.gpu is not None and device.gpu.integrated:

        def shared() -> int | None:
            available = read_load(root).available_bytes
            return None if available is None else -available

        return shared
    return (lambda: None) if nvml is None else nvml.memory_used


def _model(options: BenchOptions, device: Device, ours: Figures) -> Model:
    engine = options.engine
    return Model(
        task=engine.metadata.task,
        input_hw=engine.metadata.imgsz,
        backend=engine.backend,
        precision=engine.manifest.actual,
        has_gpu=device.gpu is not None,
        frames_on_gpu="by the GPU" in ours.start.detail,
    )
