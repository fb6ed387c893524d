"""`jetsmith doctor`: works where the other commands fail, so nothing but Python's own library is taken for granted."""

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from app import __version__
from app.board import board_facts, dla_cores
from app.device import Device, read_device
from app.doctor.checks import diagnose, is_well
from app.doctor.facts import Facts, Finding, State, Store, Weights
from app.doctor.look import (
    has_gpu_files,
    read_container,
    read_docker,
    read_libraries,
    read_store,
)
from app.doctor.reach import ask
from app.errors import JetsmithError
from app.memory import read_free_memory
from app.power import read_clocks, read_power
from app.text import printable

if TYPE_CHECKING:
    from config.settings import Settings

_ROOT = Path("/")


def doctor_command(args: argparse.Namespace) -> int:
    facts = _look(args)
    findings = diagnose(facts)
    print(json.dumps(_as_json(facts.device, findings), indent=2) if args.json else _as_text(findings))
    return 0 if is_well(findings) else 1


@dataclass(frozen=True)
class _Project:
    """What the settings say, or why they say nothing."""

    problem: str = ""
    hint: str = ""
    store: Store | None = None
    weights: Weights | None = None


def _look(args: argparse.Namespace) -> Facts:
    device = read_device(_ROOT)
    project = _project(args)
    return Facts(
        device=device,
        power=read_power(_ROOT),
        clocks=read_clocks(_ROOT),
        python=sys.version_info[:2],
        now=datetime.now(timezone.utc),
        docker=read_docker(_ROOT),
        dla_cores=dla_cores(device, _ROOT),
        container=read_container(_ROOT, device.l4t),
        gpu_files=has_gpu_files(_ROOT),
        libraries=read_libraries(),
        memory_bytes=read_free_memory(_ROOT).total,
        settings_problem=project.problem,
        settings_hint=project.hint,
        store=project.store,
        weights=project.weights,
        role=args.role,
    )


def _project(args: argparse.Namespace) -> _Project:
    try:
        from app.cli.settings import load, store_root

        settings = load(args, {})
        weights = None if args.role == "infer" else _weights(settings)
        return _Project(store=read_store(store_root(settings)), weights=weights)
    except JetsmithError as error:
        return _Project(error.message, error.hint)
    except ImportError as error:
        return _Project(f"they cannot be read: {error}", "Install jetsmith's own requirements: pip install -e .")


def _weights(settings: "Settings") -> Weights:
    """As `convert` looks for them: the file, the one that ships with a demo model, a download."""
    from app.catalog import bundled_weights, parse_model_name, require_official
    from app.convert.connection import file_address, parse_address
    from config.settings import PROJECT_ROOT

    source = settings.vision.yolo.model_source
    name = None if source.base_model is None else parse_model_name(source.base_model)
    bundled = None if name is None else bundled_weights(name, PROJECT_ROOT / "models")
    path = bundled if bundled is not None and not source.pt_model_path.exists() else source.pt_model_path
    if path.exists() or name is None or name.is_demo:
        return Weights(path, path.exists())
    require_official(name)
    address = parse_address(file_address(source.weights_url, name.weights_file))
    answer = ask(address.url, address.auth)
    return Weights(path, False, name.weights_file, address.shown, answer.status, answer.problem)


def _as_text(findings: Iterable[Finding]) -> str:
    lines = []
    for finding in findings:
        lines.append(f"{finding.state.value:<8} {finding.check}: {printable(finding.message)}")
        if finding.fix:
            lines.append(f"{'':8}   fix: {printable(finding.fix)}")
    return "\n".join(lines)


def _as_json(device: Device, findings: list[Finding]) -> dict[str, object]:
    counts = {state.value: sum(finding.state is state for finding in findings) for state in State}
    return {
        "jetsmith": __version__,
        "well": is_well(findings),
        "counts": counts,
        "device": {"kind": device.kind, "slug": device.slug, "l4t": device.l4t, **board_facts(device, _ROOT)},
        "checks": [
            {"check": found.check, "state": found.state.value, "message": found.message, "fix": found.fix}
            for found in findings
        ],
    }
