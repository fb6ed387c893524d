"""What `models/demo/README.md` says: how the models were made and how well they do."""

import json
from pathlib import Path

from app.types import Task
from scripts.demo_scenes import CLASSES
from scripts.demo_shapes import ROBOT_POINTS

SHORT = {Task.DETECT: "detect", Task.SEGMENT: "seg", Task.POSE: "pose", Task.OBB: "obb", Task.CLASSIFY: "cls"}
"""The tasks' short names, as model names end."""

_README = """# The demo models

Five tiny models, one per task, that jetsmith ships: they need no download, and tests know the true answer.
They know only the cartoon things that `scripts/demo_scenes.py` draws; they are of no use on photographs.

| model | classes | MB | pixels | on 400 held-back scenes, by Ultralytics' validation |
|---|---|---|---|---|
{rows}

The pose model's keypoints are {keypoints}. A robot faces the viewer, so its left is on the right of the picture.

## How they were made

`python scripts/train_demo_models.py --device 0 --minutes 4.6 --pictures 4000` trains all five anew, `--task pose` one;
it needs the `convert` extra, draws its own pictures into `runs/demo` and writes the models, these figures
(`demo-*.json`) and this page. These were trained side by side on one H100, 4.6 minutes each;
training is not deterministic, and one at a time gets through more epochs: expect other last digits.

{made}

The network is YOLO11 with a width of {width} (YOLO11n has 0.25), trained from nothing at 320 pixels (classification
224) with sizes varied from 160 to 480; the files hold FP16 weights. Seeds: training from 0, validation from
1 000 000, held-back scenes from 2 000 000, the samples in `scenes/` (`scripts/draw_sample_scenes.py`) from 3 000 000.

`scenes/<task>/` holds five sample pictures each with labels in Ultralytics' text form; for classification the
folder's name is the class.

Pictures and weights are this project's own, under its licence, AGPL-3.0-or-later.
"""


def readme(folder: Path, width: float) -> str:
    """What the models' README says, from the records that stand beside them."""
    rows, made = [], []
    for task, name in SHORT.items():
        path = folder / f"demo-{name}.json"
        if not path.exists():
            continue
        record = json.loads(path.read_text())
        versions = ", ".join(f"{key} {value}" for key, value in record["versions"].items())
        made.append(
            f"- `demo-{name}.pt`: {record['pictures']['train']} pictures, {record['epochs']} epochs; {versions}"
        )
        for size, figures in record["held_back"].items():
            shown = ", ".join(f"{key} {value:.3f}" for key, value in figures.items())
            rows.append(
                f"| demo-{name} | {', '.join(CLASSES[task])} | {record['bytes'] / 1e6:.2f} | {size} | {shown} |"
            )
    return _README.format(rows="\n".join(rows), made="\n".join(made), width=width, keypoints=", ".join(ROBOT_POINTS))
