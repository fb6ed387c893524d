#!/usr/bin/env python3
"""
A `jetsmith` that needs no model, for containers: `convert` keeps a status file as the real one does, `engines check`
names an engine. What becomes of it is told by variables: DOUBLE (well, fails, dumb, killed, waits) and SHA256.
"""

import json
import os
import signal
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

started = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
behaviour = os.environ.get("DOUBLE", "well")
engine = Path(os.environ["JETSMITH_VISION__YOLO__MODEL_PATH"])


def say(state: str, phase: str, percent: float | None = None, message: str = "", hint: str = "") -> None:
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    times = {"started": started, "updated": now, "heartbeat": now}
    words = {"state": state, "phase": phase, "percent": percent, "message": message, "hint": hint}
    path = engine.parent / ".status" / f"{engine.stem}.json"
    path.parent.mkdir(exist_ok=True)
    new = path.with_name(f".{engine.stem}.{os.getpid()}")
    new.write_text(json.dumps({"job": engine.stem, "pid": os.getpid(), **times, **words}))
    new.replace(path)


def check() -> None:
    sys.stderr.write("a remark\n")
    sys.stdout.write(json.dumps({"sha256": os.environ["SHA256"], "milliseconds": 3.5}) + "\n")
    if behaviour == "fails" or sys.argv[-1] != os.environ["SHA256"]:
        sys.exit("error: the engine does not load" if behaviour == "fails" else "error: it is another engine")


def convert() -> None:
    if behaviour == "dumb":
        sys.exit("error: the settings are wrong")
    say("running", "build", 40.0)
    time.sleep(2.5)
    while behaviour == "waits":
        say("running", "build", 41.0)
        time.sleep(0.2)
    if behaviour == "fails":
        say("failed", "build", 40.0, "the builder refused", "Take FP32.")
        sys.exit(1)
    if behaviour == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    say("ready", "publish", 100.0)


signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
check() if sys.argv[1] == "engines" else convert()
