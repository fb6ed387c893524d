"""
Graphs for tests to whom the export is only the way there: one process does what the export's child does, for all.

To import torch and Ultralytics takes most of an export's time, and a child of its own has to do it each time.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from app.convert.child import Channel
from app.convert.export import Exported, ExportOptions, _job, _link, library_environment
from app.convert.traits import Traits
from tests.command import PROJECT_ROOT


class Exporter:
    """Starts with the first graph that is asked for; makes each of them once."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._process: subprocess.Popen[str] | None = None
        self._made: dict[tuple[Path, ExportOptions], Exported] = {}

    def export(self, weights: Path, options: ExportOptions) -> Exported:
        if (weights, options) not in self._made:
            work = self._home / f"{weights.stem}-{len(self._made)}"
            work.mkdir()
            self._made[weights, options] = self._export(weights, options, work)
        return self._made[weights, options]

    def _export(self, weights: Path, options: ExportOptions, work: Path) -> Exported:
        self._process = self._process or self._started()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with _link(weights, work) as link:
            job = {"folder": str(work), **_job(link, weights, options)}
            print(json.dumps(job), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        assert line, (self._home / "log").read_text(errors="replace")[-3000:]
        answer = json.loads(line)
        traits = Traits.of_facts(answer["traits"])
        assert traits is not None
        return Exported(work / str(answer["onnx"]), traits)

    def _started(self) -> "subprocess.Popen[str]":
        own = {"CUDA_VISIBLE_DEVICES": "-1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROJECT_ROOT)}
        with (self._home / "log").open("w") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.exporter"],
                env={**os.environ, **library_environment(self._home, trust_weights=True), **own},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def close(self) -> None:
        if self._process is not None:
            self._process.communicate(timeout=60)


class _Unheard(Channel):
    def __init__(self) -> None:
        pass

    def _send(self, event: object) -> None:
        pass


def _serve() -> None:
    from app.convert.export_child import _export

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the libraries print is no answer
    for line in sys.stdin:
        job: dict[str, Any] = json.loads(line)
        os.chdir(job.pop("folder"))
        print(json.dumps(_export(job, _Unheard())), file=answers, flush=True)
    os._exit(0)  # to take all of torch apart takes a second


if __name__ == "__main__":
    _serve()
