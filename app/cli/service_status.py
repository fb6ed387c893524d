"""What `jetsmith status` says of services."""

import json
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from app.errors import JetsmithError
from app.infer.service.health import Health, State, health_folder, health_path, read_health
from app.status import Status
from app.text import printable


def show_services(models: Path, names: Sequence[str] = (), *, as_json: bool = False) -> int:
    """
    Returns 0 if all of them work, even if not every source does; 1 if one has failed or hangs.

    Raises:
        JetsmithError: a service of that name has never run, or its status cannot be read.
    """
    paths = [health_path(models, name) for name in names] or sorted(health_folder(models).glob("[!.]*.json"))
    now = datetime.now(timezone.utc)
    code = 0
    for path in paths:
        health = read_health(path)
        if health is None:
            raise JetsmithError(f"There is no status of a service at {path}", hint="Start it: jetsmith infer")
        hung = health.is_hung(now)
        print_status(health, _text(health, hung, now), hung=hung, as_json=as_json)
        code = max(code, int(hung or health.state is State.FAILED))
    return code


def print_status(status: Health | Status, text: str, *, hung: bool, as_json: bool) -> None:
    """What the file itself says, with what it cannot: whether its writer hangs. Or `text`, for people."""
    record = {**json.loads(status.to_json()), "hung": hung}
    print(json.dumps(record) if as_json else printable(text, keep="\n"))


def _text(health: Health, hung: bool, now: datetime) -> str:
    lines = [f"{health.service} (service): {_summary(health, hung, now)}"]
    lines += [f"    {reason}" for reason in health.why]
    if not hung and not health.state.is_over:
        lines += [f"    {_source(source)}" for source in health.facts.get("sources", ())]
        lines += [f"    {_sink(sink)}" for sink in health.facts.get("sinks", ())]
    return "\n".join(lines)


def _summary(health: Health, hung: bool, now: datetime) -> str:
    beat = datetime.fromisoformat(health.heartbeat)
    if hung:
        ago = (now - beat).total_seconds()
        return (
            f"hung: no sign of life for {ago:.0f} s (process {health.pid}): killed, or it stands still; start it again"
        )
    parts = [health.state.value]
    if health.state.is_over:
        parts[0] += f" at {beat.astimezone():%Y-%m-%d %H:%M:%S}"
    if "frames" in health.facts:
        parts.append(f"{health.facts['frames']} frames")
        parts.append(f"runs on {health.facts['engine']['name']}")
    return ", ".join(parts)


def _source(source: dict[str, Any]) -> str:
    parts = [source["state"], f"{source['frames']} frames"]
    if source["rate"] is not None:
        parts.append(f"{source['rate']:.1f} a second")
    if source["latency_ms"] is not None:
        parts.append(f"{source['latency_ms']:.0f} ms")
    if source["dropped"]:
        parts.append(f"{source['dropped']} dropped")
    if source["losses"]:
        parts.append(f"lost {source['losses']} time{'' if source['losses'] == 1 else 's'}")
    return f"{source['name']}: {', '.join(parts)}"


def _sink(sink: dict[str, Any]) -> str:
    missing = sink["lost"] + sink["left_out"]
    return f"{sink['name']}: {sink['error'] or 'works'}{f', {missing} results missing' if missing else ''}"
