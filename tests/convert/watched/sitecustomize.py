"""
Python imports this by itself where its folder is on PYTHONPATH: it writes down what a process tries to do
outside of $WATCH_FOLDER, before anything else has a say.
"""

import os
import sys
from typing import Any

_LOG = os.open(os.environ["WATCH_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
_FOLDER = os.environ["WATCH_FOLDER"]
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {"os.mkdir", "os.rename", "os.symlink", "os.link", "os.truncate", "os.remove", "os.rmdir", "os.chmod"}


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event.startswith(("socket.connect", "socket.get", "socket.send", "subprocess.", "os.system", "os.exec")) or (
        event.startswith(("os.posix_spawn", "os.fork"))
    ):
        _write(f"{event} {arguments[0]!r}")
    elif event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES:
        _write_if_outside("open", arguments[0])
    elif event in _CHANGES:
        _write_if_outside(event, arguments[0])


def _write_if_outside(event: str, path: object) -> None:
    if isinstance(path, (str, bytes, os.PathLike)):
        full = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 (pathlib here would hide from itself)
        if not full.startswith((_FOLDER, "/dev/")) and "__pycache__" not in full:
            _write(f"{event} {full}")


def _write(line: str) -> None:
    os.write(_LOG, f"{line}\n".encode())


sys.addaudithook(_watch)
