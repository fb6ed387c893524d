"""What `jetsmith engines check --json` says, which comes from the device: nothing of it is believed unchecked."""

import json
import math
import re
from dataclasses import dataclass

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Verdict:
    sha256: str
    milliseconds: float


def read_verdict(said: str) -> Verdict | None:
    """From the last line that is one; remarks may stand before it."""
    for line in reversed(said.splitlines()):
        try:
            values = json.loads(line)
            verdict = Verdict(str(values["sha256"]), float(values["milliseconds"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
        if _DIGEST.fullmatch(verdict.sha256) and math.isfinite(verdict.milliseconds):
            return verdict
    return None
