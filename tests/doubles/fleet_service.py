"""
An infer that needs no engine: `python3 -c` this, with its behaviour as argument.

It says how it fares as the real one does, and wants the camera for itself: a lock on a file of the volume.
"""

import fcntl
import json
import os
import signal
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

behaviour, name = sys.argv[1], os.environ["JETSMITH_INFER__NAME"]
started = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
models = Path("/opt/jetsmith/models")


def say(state: str, *why: str) -> None:
    words = {"service": name, "state": state, "why": why, "started": started, "host": os.uname().nodename}
    beat = {"heartbeat": datetime.now(timezone.utc).isoformat(timespec="milliseconds"), "pid": os.getpid()}
    path = models / ".status" / "infer" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{name}.{os.getpid()}")
    new.write_text(json.dumps({**words, **beat}))
    new.replace(path)


def has_camera() -> bool:
    try:
        fcntl.flock(camera, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return behaviour != "blind"


own_name = (models / name).open("w")
try:
    fcntl.flock(own_name, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    sys.exit(f"error: another service {name} runs")
camera = (models / "camera").open("w")
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
if behaviour == "silent":
    time.sleep(600)
say("starting")
if behaviour == "crash":
    say("failed", "there is no engine")
    sys.exit("error: there is no engine")
while True:
    say(*(("ready",) if has_camera() else ("degraded", "camera:0 is away")))
    time.sleep(0.2)
