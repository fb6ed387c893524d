#!/usr/bin/env python3
"""Bring a fleet of devices to what config/fleet.yaml says: `jetsmith fleet` by the guide's name, with its arguments."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a checkout that is not installed

try:
    from app.cli import main
except ModuleNotFoundError as error:
    sys.exit(
        f"error: the Python package {error.name!r} is missing\nhint:  pip install -e '.[fleet]' in the project's folder"
    )

if __name__ == "__main__":
    sys.exit(main(["fleet", *sys.argv[1:]]))
