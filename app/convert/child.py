"""
Heavy steps run in a child process: the memory of one is gone before the next begins, and a crash of a foreign
library ends the child, not the command.

The child gets its job as JSON on stdin and speaks back in JSON lines through a pipe of its own, so whatever
the libraries print goes to a log file and cannot be mistaken for an answer.
"""

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from app import errors
from app.convert.effort import tells_of_no_memory
from app.convert.pulse import Pulse, Quiet, Sign
from app.errors import ConvertError, JetsmithError
from app.progress import Phase, Reporter

_LOG_LINES_SHOWN = 12
_TERMINATE_GRACE_S = 3.0
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PROJECT_ROOT = Path(__file__).resolve().parents[2]


class Channel:
    """The child's way to speak to its parent."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def progress(self, fraction: float) -> None:
        """Report that `fraction`, 0 to 1, of the step is done."""
        self._send({"progress": fraction})

    def note(self, message: str) -> None:
        self._send({"note": message})

    def warn(self, message: str) -> None:
        self._send({"warn": message})

    def _send(self, event: Mapping[str, Any]) -> None:
        data = json.dumps(event).encode() + b"\n"
        while data:  # a pipe may take less than all of a long line
            data = data[os.write(self._descriptor, data) :]


def child_main(work: Callable[[dict[str, Any], Channel], dict[str, Any]]) -> None:
    """Run `work(job, channel)` in the child and send what it returns, or the error that a user can mend."""
    descriptor, parent = (int(argument) for argument in sys.argv[1:3])
    die_with_parent(parent)
    channel = Channel(descriptor)
    job = json.load(sys.stdin)
    try:
        channel._send({"result": work(job, channel)})
    except JetsmithError as error:
        channel._send({"error": type(error).__name__, "message": error.message, "hint": error.hint})
        sys.exit(1)


def die_with_parent(parent: int) -> None:
    """Let the kernel kill this process when its parent ends, even by SIGKILL: an orphan would write on."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the kernel was told
        os.kill(os.getpid(), signal.SIGKILL)


def run_child(  # noqa: PLR0913 (the whole description of a step, in one place)
    module: str,
    job: Mapping[str, Any],
    *,
    work: Path,
    reporter: Reporter,
    phase: str,
    env: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
    error: type[ConvertError] = ConvertError,
    out_of_memory: type[ConvertError] | None = None,
    quiet: Quiet | None = None,
) -> dict[str, Any]:
    """
    Run `python -m module` on `job` and return its result.

    Its output goes to `work/<last part of module>.log`. A child that crashes, is killed, runs longer than
    `timeout_s`, gives no sign of life for longer than `quiet` allows or ends without an answer raises `error`, with
    the end of that log; one that was killed as the kernel does when memory runs out, or whose last words tell of
    that, raises `out_of_memory`, if given. An error that the child itself sent arrives as the class it was.
    """
    log = work / f"{module.rpartition('.')[2]}.log"
    reader, writer = os.pipe()
    with log.open("ab") as output, os.fdopen(reader, "rb", buffering=0) as events:
        try:
            child = subprocess.Popen(  # noqa: S603 (our own module, no shell)
                [sys.executable, "-m", module, str(writer), str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=work,
                env={**os.environ, "PYTHONPATH": _python_path(), **(env or {})},
                pass_fds=(writer,),
                start_new_session=True,  # Ctrl-C reaches the parent alone, which ends the child in order
            )
        finally:
            os.close(writer)
        listener = _Listener(reporter, phase, module, timeout_s, error, Pulse(child.pid, quiet or Quiet()))
        try:
            return _converse(child, job, events.fileno(), listener)
        except _NoAnswer:
            tail = _log_tail(log)
            lacked = child.returncode == -signal.SIGKILL or tells_of_no_memory(tail)
            kind = out_of_memory if out_of_memory and lacked else error
            raise kind(_how_it_ended(module, child.returncode), hint=tail) from None
        finally:
            _end(child)
            for line in log.read_text(errors="replace").splitlines():
                reporter.detail(f"{log.stem}: {line}")


def _python_path() -> str:
    return os.pathsep.join(filter(None, [str(_PROJECT_ROOT), os.environ.get("PYTHONPATH")]))


class _NoAnswer(Exception):
    """The child has ended without a result, or not well."""


class _Listener:
    """Turns a child's events into progress, notes, a result or an error."""

    def __init__(
        self,
        reporter: Reporter,
        phase: str,
        module: str,
        timeout_s: float | None,
        error: type[ConvertError],
        pulse: Pulse,
    ) -> None:
        self.reporter, self.phase = reporter, phase
        self._module, self._timeout_s, self._error, self._pulse = module, timeout_s, error, pulse
        self._deadline = float("inf") if timeout_s is None else time.monotonic() + timeout_s

    def wait(self, descriptor: int) -> None:
        """Returns once there is something to read."""
        while not select.select([descriptor], [], [], self._patience_s())[0]:
            if time.monotonic() >= self._deadline:
                raise self._error(
                    f"{self._module} gave no answer within {self._timeout_s:.0f} s and was ended",
                    hint="Close other programs that take memory or processor time, then run the command again.",
                )
            self._feel()
        self._pulse.heard()

    def _patience_s(self) -> float:
        return max(0.0, min(self._pulse.tick_s, self._deadline - time.monotonic()))

    def _feel(self) -> None:
        sign = self._pulse.feel()
        silence = f"no sign of life for {self._pulse.silence_s:.0f} s, neither progress nor processor time"
        if sign is Sign.QUIET:
            self.reporter.warn(f"{self.phase}: {silence}")
        elif sign is Sign.DEAD:
            raise self._error(
                f"{self._module} gave {silence}, and was ended",
                hint="Run the command again. If it hangs again, restart the device: its driver may hang.",
            )

    def hear(self, event: Mapping[str, Any], step: Phase) -> dict[str, Any] | None:
        if "progress" in event:
            step.update(100 * float(event["progress"]), 100)
        elif "note" in event:
            self.reporter.note(str(event["note"]))
        elif "warn" in event:
            self.reporter.warn(str(event["warn"]))
        elif "error" in event:
            raise getattr(errors, event["error"])(event["message"], hint=event["hint"])
        elif "result" in event:
            return dict(event["result"])
        return None


def _converse(
    child: "subprocess.Popen[bytes]", job: Mapping[str, Any], descriptor: int, listener: _Listener
) -> dict[str, Any]:
    """
    Hand the job over, follow the events to their end, and return the result.

    Raises:
        _NoAnswer: within the phase, so that nobody is told that it is done.
    """
    assert child.stdin is not None  # noqa: S101 (it was opened as a pipe)
    with suppress(BrokenPipeError):  # it died before it read: the exit status says how
        child.stdin.write(json.dumps(job).encode())
        child.stdin.close()
    result: dict[str, Any] | None = None
    with listener.reporter.phase(listener.phase) as step:
        for event in _events(descriptor, listener):
            answer = listener.hear(event, step)
            result = result if answer is None else answer
        if child.wait() != 0 or result is None:
            raise _NoAnswer
    return result


def _events(descriptor: int, listener: _Listener) -> Iterator[dict[str, Any]]:
    pending = b""
    while True:
        listener.wait(descriptor)
        data = os.read(descriptor, 1 << 16)
        if not data:
            return
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            yield json.loads(line)


def _end(child: "subprocess.Popen[bytes]") -> None:
    if child.stdin is not None:
        with suppress(BrokenPipeError):
            child.stdin.close()
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(_TERMINATE_GRACE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _how_it_ended(module: str, code: int) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        why = ": most often the kernel, for want of memory" if code == -signal.SIGKILL else ""
        return f"{module} was killed by {name}{why}"
    return f"{module} ended with exit code {code} and no result"


def _log_tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    if not lines:
        return "It printed nothing. Run the command again with --verbose."
    return "\n".join(["The end of its output:", *lines[-_LOG_LINES_SHOWN:]])
