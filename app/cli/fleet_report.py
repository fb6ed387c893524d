"""report.json and report.html of a run over a fleet."""

import argparse
import json
import os
from datetime import datetime, timezone
from pathlib import Path

from app.cli.settings import own_file
from app.errors import OutputError
from app.fleet.report import Report, as_json
from config.settings import PROJECT_ROOT


def report_folder(args: argparse.Namespace) -> Path:
    """
    Made before anything is begun.

    Raises:
        OutputError: it cannot be made or written to.
    """
    folder = Path(own_file(str(args.report))) if args.report else _new_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror}", hint="Name another folder: --report") from error
    if not os.access(folder, os.W_OK):
        raise OutputError(f"{folder} cannot be written to", hint="Name another folder: --report")
    return folder


def _new_folder() -> Path:
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H-%M-%SZ")
    usual = PROJECT_ROOT / "runs" / "fleet" / now
    names = (usual, *(usual.with_name(f"{now}-{number}") for number in range(2, 1000)))
    return next(folder for folder in names if not folder.exists())


def write_report(folder: Path, report: Report) -> Path:
    """Returns the page for people."""
    from app.fleet.page import as_html
    from app.infer.sinks.files import write_atomically

    page = folder / "report.html"
    write_atomically(folder / "report.json", (json.dumps(as_json(report), indent=1) + "\n").encode())
    write_atomically(page, as_html(report).encode())
    return page
