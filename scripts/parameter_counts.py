#!/usr/bin/env python3
"""Write how many parameters each official model has, untrained, to app/convert/parameter_counts.json."""

import contextlib
import io
import json
from pathlib import Path

from app.catalog import ModelName, official_names
from config.settings import PROJECT_ROOT

TABLE = PROJECT_ROOT / "app" / "convert" / "parameter_counts.json"


def count(name: ModelName) -> int:
    from ultralytics import YOLO

    text = str(name).replace("u", "") if name.family == "yolov5" else str(name)  # yolov5nu: yolov5n.yaml
    with contextlib.redirect_stdout(io.StringIO()):
        model = YOLO(f"{text}.yaml", verbose=False).model
    return sum(parameter.numel() for parameter in model.parameters())


def main() -> None:
    table = {}
    for name in official_names():
        table[str(name)] = count(name)
        print(f"{name!s:<16} {table[str(name)]:>12,}", flush=True)
    Path(TABLE).write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
