#!/usr/bin/env python3
"""Write the tables of the README that the code knows: settings and models. A test keeps them in agreement."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from app.catalog import FAMILIES, demo_names  # noqa: E402
from config.settings import settings_reference  # noqa: E402

IN_THE_FILE = {
    "vision.yolo.model_path",
    "vision.yolo.input_size",
    "vision.yolo.tensorrt_engine_settings.precision",
    "vision.yolo.tensorrt_engine_settings.batch_size",
    "vision.yolo.tensorrt_engine_settings.workspace_size",
    "vision.yolo.model_source.base_model",
    "vision.yolo.model_source.pt_model_path",
}
COLUMNS = ("detect", "segment", "pose", "obb", "classify")


def settings_table() -> str:
    rows = ["| key | default | meaning |", "|---|---|---|"]
    for row in settings_reference():
        if row.key not in IN_THE_FILE:
            default = row.default if row.default.startswith("`") else f"`{row.default}`"
            rows.append(f"| `{row.key}` | {default} | {row.meaning} |")
    return "\n".join(rows)


def models_table() -> str:
    rows = ["| family | detect | `-seg` | `-pose` | `-obb` | `-cls` |", "|---|---|---|---|---|---|"]
    for name, family in FAMILIES.items():
        sizes = {task.value: " ".join(known) for task, known in family.official.items()}
        cells = " | ".join(f"{sizes[task]}" if task in sizes else "–" for task in COLUMNS)
        rows.append(f"| `{name}` | {cells} |")
    demos = {name.task.value: f"`{name}`" for name in demo_names()}
    rows.append("| demo | " + " | ".join(demos[task] for task in COLUMNS) + " |")
    return "\n".join(rows)


def with_tables(readme: str) -> str:
    for name, table in (("settings", settings_table()), ("models", models_table())):
        mark, end = f"<!-- {name}: scripts/readme_tables.py -->", f"<!-- end of {name} -->"
        before, found, rest = readme.partition(mark)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise SystemExit(f"README.md has no place for the {name}")
        readme = f"{before}{mark}\n{table}\n{end}{after}"
    return readme


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(with_tables(path.read_text()))
