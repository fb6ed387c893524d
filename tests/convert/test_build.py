"""Memory that runs out: the build steps down, says so, and at the end explains. A double dies as the builder does."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.convert.build import BuildOptions, build_engine
from app.errors import BuildFailed, OutOfMemory
from app.types import Backend, Precision
from tests.doubles.reporters import ListReporter

CHILD = """
import json, os, signal, sys
from pathlib import Path
from app.convert.child import child_main
from app.errors import BuildFailed, OutOfMemory

def work(job, channel):
    log = Path("jobs.json")
    jobs = json.loads(log.read_text()) if log.exists() else []
    log.write_text(json.dumps([*jobs, job]))
    deaths = json.loads(Path("deaths.json").read_text())
    death = deaths[len(jobs)] if len(jobs) < len(deaths) else ""
    if death == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if death == "none":
        raise OutOfMemory("tensorrt built no engine: it gave no reason")
    if death == "bad_alloc":
        print("terminate called after throwing an instance of 'std::bad_alloc'", flush=True)
        os.kill(os.getpid(), signal.SIGABRT)
    if death == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if death == "refuse":
        raise BuildFailed("an operator that it lacks")
    Path(job["engine"]).write_bytes(b"a plan")
    return {"engine": job["engine"], "precision": "FP16", "header": {}, "peak_memory_bytes": 300 * 2**20}

child_main(work)
"""
OPTIONS = BuildOptions(Backend.TENSORRT, Precision.FP16, 2.0)


class Bench:
    def __init__(self, work: Path) -> None:
        self.work, self.listener = work, ListReporter()
        (work / "dying_builder.py").write_text(CHILD)
        (work / "graph.onnx").write_bytes(b"x" * 1000)
        self.memory(available_kb=8 * 2**20)

    def memory(self, available_kb: int) -> None:
        (self.work / "proc").mkdir(exist_ok=True)
        (self.work / "proc" / "meminfo").write_text(f"MemAvailable: {available_kb} kB\nSwapFree: 0 kB\n")

    def build(self, *deaths: str, options: BuildOptions = OPTIONS) -> Any:
        (self.work / "deaths.json").write_text(json.dumps(deaths))
        return build_engine(
            self.work / "graph.onnx", options, self.work, self.listener, child="dying_builder", root=self.work
        )

    def jobs(self) -> list[tuple[float | None, int | None, int | None]]:
        jobs = json.loads((self.work / "jobs.json").read_text())
        return [(job["workspace_gb"], job["optimization_level"], job["max_tactics"]) for job in jobs]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_enough_memory_is_one_try_and_one_line(bench: Bench) -> None:
    built = bench.build()
    assert bench.jobs() == [(2.0, None, None)]
    assert bench.listener.warnings == []
    assert "8 GB free (RAM 8 GB, swap 0 GB); the build takes about 1.5 GB" in bench.listener.notes[0]
    assert built.facts == {"workspace_gb": 2.0, "out_of_memory_with": [], "peak_memory_mb": 300}


def test_too_little_memory_is_said_before_the_build(bench: Bench) -> None:
    bench.memory(available_kb=2**20)
    bench.build()
    assert "1 GB free" in bench.listener.warnings[0]
    assert "add swap" in bench.listener.warnings[0]


@pytest.mark.parametrize("death", ["kill", "none", "bad_alloc"])
def test_each_way_to_run_out_of_memory_is_tried_again_with_half_the_workspace(death: str, bench: Bench) -> None:
    built = bench.build(death)
    assert bench.jobs() == [(2.0, None, None), (1.0, None, None)]
    assert bench.listener.warnings == [
        "the build ran out of memory with workspace 2 GB; trying again with workspace 1 GB"
    ]
    assert built.engine.read_bytes() == b"a plan"
    assert (built.facts["workspace_gb"], built.facts["out_of_memory_with"]) == (1.0, ["workspace 2 GB"])


def test_it_goes_down_the_whole_ladder(bench: Bench) -> None:
    built = bench.build("kill", "none", "bad_alloc")
    assert bench.jobs() == [(2.0, None, None), (1.0, None, None), (1.0, 1, None), (0.5, 0, 1)]
    assert len(bench.listener.warnings) == 3
    assert built.facts["optimization_level"] == 0


def test_every_step_of_the_ladder_is_for_the_same_dla_core(bench: Bench) -> None:
    bench.build("kill", "none", "bad_alloc", options=replace(OPTIONS, dla_core=1))
    jobs = json.loads((bench.work / "jobs.json").read_text())
    assert [job["dla_core"] for job in jobs] == [1, 1, 1, 1]


def test_at_the_end_it_explains_with_figures(bench: Bench) -> None:
    with pytest.raises(OutOfMemory, match="ran out of memory every time") as caught:
        bench.build(*["kill"] * 9)
    assert len(bench.jobs()) == 4
    for figure in ("workspace 2 GB", "workspace 0.5 GB, optimization level 0", "8 GB free", "about 1.5 GB", "SIGKILL"):
        assert figure in caught.value.message
    assert "swap" in caught.value.hint


@pytest.mark.parametrize("death", ["segfault", "refuse"])
def test_other_failures_are_not_tried_again(death: str, bench: Bench) -> None:
    with pytest.raises(BuildFailed) as caught:
        bench.build(death)
    assert not isinstance(caught.value, OutOfMemory)
    assert len(bench.jobs()) == 1


def test_a_backend_without_a_workspace_has_one_try(bench: Bench) -> None:
    with pytest.raises(OutOfMemory, match="the library's own limits"):
        bench.build("kill", options=replace(OPTIONS, backend=Backend.ONNXRUNTIME))
    assert bench.jobs() == [(None, None, None)]


def test_the_asked_level_is_where_the_ladder_begins(bench: Bench) -> None:
    bench.build("kill", "kill", options=replace(OPTIONS, optimization_level=0))
    assert bench.jobs() == [(2.0, 0, None), (1.0, 0, None), (0.5, 0, 1)]
