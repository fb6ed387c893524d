#!/usr/bin/env python3
"""The same command as yolo_to_tensorrt.py, by the guide's other name for it."""

import runpy
from pathlib import Path

if __name__ == "__main__":
    runpy.run_path(str(Path(__file__).with_name("yolo_to_tensorrt.py")), run_name="__main__")
