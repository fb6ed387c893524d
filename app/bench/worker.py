"""The parent's end of a measured program."""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from app.bench.figures import Round, Row
from app.errors import BenchmarkFailed

_CHILD = "app.bench.child"
_PROJECT_ROOT = Path(__file__).resolve().parents[2]
_START_S, _ROUND_S = 600.0, 300.0  # a slow board takes minutes to load PyTorch; longer is a hang
_GRACE_S = 5.0
_LOG_LINES_SHOWN = 6


@dataclass(frozen=True)
class Spec:
    """One program to be measured."""

    name: str
    title: str
    job: Mapping[str, Any]
    env: Mapping[str, str] = field(default_factory=dict)


class Worker:
    """A measured program: entering starts it, leaving ends it."""

    def __init__(self, spec: Spec, frames: list[str], batch: int, work: Path) -> None:
        self.spec = spec
        self._job = {**spec.job, "frames": frames, "batch": batch}
        self._folder, self._log = work, work / f"{spec.name}.log"
        self._pending = b""
        self._stack = ExitStack()
        self._child: subprocess.Popen[bytes]
        self.detail = ""
        self.start_s = 0.0
        self.objects: int | None = None
        self.peak_rss = 0
        self.cpu_s = 0.0  # of processors since it was warm, between its rounds too: threads spin for a while
        self._cpu_before_s = 0.0

    def __enter__(self) -> "Worker":
        """
        Raises:
            BenchmarkFailed: it cannot be started; the message says why.
        """
        with ExitStack() as stack:
            stack.callback(self._end)
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def warm_up(self) -> None:
        """Wait until it is ready for rounds. Without this it is left as soon as it was up once."""
        told = self._answer("objects", _START_S)
        self.objects, self._cpu_before_s = told["objects"], float(told["cpu_s"])

    def round(self, seconds: float, zero_s: float) -> Round:
        """
        Let it work for so long. Moments count from `zero_s`, on the clock that all processes share.

        Raises:
            BenchmarkFailed: it died of it, or hangs.
        """
        self._tell({"seconds": seconds})
        told = self._answer("round", seconds + _ROUND_S)["round"]
        self.peak_rss, self.cpu_s = int(told["peak_rss"]), told["cpu_total_s"] - self._cpu_before_s
        rows = tuple(Row(at - zero_s, *milliseconds) for at, *milliseconds in told["rows"])
        began, ended = told["began_s"] - zero_s, told["ended_s"] - zero_s
        return Round(rows, told["busy_s"], began, ended, told["cpu_s"], told["frames"])

    def _start(self, stack: ExitStack) -> None:
        reader, writer = os.pipe()
        self._events = reader
        stack.callback(os.close, reader)
        path = os.pathsep.join(filter(None, [str(_PROJECT_ROOT), os.environ.get("PYTHONPATH")]))
        with self._log.open("wb") as output:
            began = time.monotonic()
            try:
                self._child = subprocess.Popen(  # noqa: S603 (our own module, no shell)
                    [sys.executable, "-m", _CHILD, str(writer), str(os.getpid())],
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=self._folder,
                    env={**os.environ, "PYTHONPATH": path, **self.spec.env},
                    pass_fds=(writer,),
                    start_new_session=True,  # Ctrl-C reaches the parent alone, which ends the child in order
                )
            finally:
                os.close(writer)
        self._tell(self._job)
        up = self._answer("first", _START_S)
        self.start_s, self.detail = up["first"] - began, str(up["detail"])

    def _tell(self, message: Mapping[str, Any]) -> None:
        assert self._child.stdin is not None  # noqa: S101 (it was opened as a pipe)
        with suppress(BrokenPipeError):  # it has died: the answer that does not come says so
            self._child.stdin.write(json.dumps(message).encode() + b"\n")
            self._child.stdin.flush()

    def _answer(self, key: str, patience_s: float) -> dict[str, Any]:
        deadline = time.monotonic() + patience_s
        while b"\n" not in self._pending:
            if not select.select([self._events], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise BenchmarkFailed(f"{self.spec.title} gave no answer within {patience_s:.0f} s", hint=_AGAIN)
            data = os.read(self._events, 1 << 16)
            if not data:
                raise self._died()
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        told: dict[str, Any] = json.loads(line)
        if "error" in told:
            raise BenchmarkFailed(f"{self.spec.title}: {told['error']}", hint=told["hint"])
        assert key in told, f"{key} was expected: {told}"  # noqa: S101 (our own child)
        return told

    def _died(self) -> BenchmarkFailed:
        code = self._child.wait()
        lines = [line for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        why = f": {lines[-1].strip()}" if lines else ""
        tail = "\n".join(["The end of its output:", *lines[-_LOG_LINES_SHOWN:]]) if lines else _AGAIN
        return BenchmarkFailed(f"{self.spec.title} {how}{why}", hint=tail)

    def _end(self) -> None:
        child = getattr(self, "_child", None)
        if child is None:
            return
        assert child.stdin is not None  # noqa: S101 (it was opened as a pipe)
        with suppress(BrokenPipeError):
            child.stdin.close()
        child.terminate()  # it holds nothing that is worth keeping
        try:
            child.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


_AGAIN = "Run it again with fewer other programs, or leave this one out of --compare."
