#!/usr/bin/env python3
"""Convert the configured YOLO model into an engine for this device: `jetsmith convert` by the guide's name."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a checkout that is not installed

try:
    from app.cli import convert_main
except ModuleNotFoundError as error:
    sys.exit(
        f"error: the Python package {error.name!r} is missing\n"
        "hint:  pip install -e '.[convert]' in the project's folder, or run scripts/quickstart"
    )

if __name__ == "__main__":
    sys.exit(convert_main())
