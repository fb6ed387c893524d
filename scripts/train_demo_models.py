#!/usr/bin/env python3
"""
Train the five demo models on scenes that this project draws itself, and write them to `models/demo`.

    python scripts/train_demo_models.py                  all five, one after the other
    python scripts/train_demo_models.py --task pose --epochs 60 --device 0

It needs the `convert` extra. Pictures and runs stay in `runs/demo`, which git ignores.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PROJECT_ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT_ROOT))  # so that it runs from anywhere, installed or not

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import yaml  # noqa: E402

from app.types import Task  # noqa: E402
from scripts.demo_readme import SHORT, readme  # noqa: E402
from scripts.demo_scenes import CLASSES, TEST_SEED, VALIDATION_SEED, draw_scene, label_lines  # noqa: E402
from scripts.demo_shapes import ROBOT_MIRROR, ROBOT_POINTS  # noqa: E402

MODELS = PROJECT_ROOT / "models" / "demo"
FIRST_SEED = {"train": 0, "val": VALIDATION_SEED, "test": TEST_SEED}
WIDTH = 0.125  # YOLO11n has 0.25


@dataclass(frozen=True)
class Training:
    """How one model is trained."""

    pictures: int
    epochs: int
    minutes: float | None
    device: str
    jobs: int

    @property
    def count(self) -> dict[str, int]:
        return {"train": self.pictures, "val": min(200, self.pictures), "test": min(400, self.pictures)}


def main() -> None:
    arguments = _arguments()
    # Ultralytics keeps a settings file, asks the network and reports home unless told otherwise.
    os.environ["YOLO_CONFIG_DIR"] = str(arguments.work.resolve())
    os.environ["YOLO_OFFLINE"] = "1"
    arguments.work.mkdir(parents=True, exist_ok=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    training = Training(arguments.pictures, arguments.epochs, arguments.minutes, arguments.device, arguments.jobs)
    for task in arguments.task or list(SHORT):
        record = train(task, training, arguments.work.resolve(), arguments.out)
        (arguments.out / f"demo-{SHORT[task]}.json").write_text(json.dumps(record, indent=1) + "\n")
        print(json.dumps(record))
    (arguments.out / "README.md").write_text(readme(arguments.out, WIDTH))


def _arguments() -> argparse.Namespace:
    by_name = {name: task for task, name in SHORT.items()}
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("--task", action="append", type=lambda name: by_name[name], help=f"one of {', '.join(by_name)}")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--minutes", type=float, help="fit the epochs into this time instead")
    parser.add_argument("--device", default="cpu", help="cpu, or a GPU's number")
    parser.add_argument("--pictures", type=int, default=5000, help="training pictures to draw")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes that draw and load")
    parser.add_argument("--work", type=Path, default=PROJECT_ROOT / "runs" / "demo")
    parser.add_argument("--out", type=Path, default=MODELS)
    return parser.parse_args()


def train(task: Task, training: Training, work: Path, out: Path) -> dict[str, Any]:
    """Draw, train, slim, score; returns what the README of the models says."""
    from ultralytics import YOLO

    data = draw_dataset(task, training, work / "data" / task.value)
    model = YOLO(str(_architecture(task, work)), task=task.value)
    model.train(data=str(data), **_options(task, training, work))
    weights = out / f"demo-{SHORT[task]}.pt"
    slim(work / "train" / task.value / "weights" / "best.pt", weights, _image_size(task))
    return {
        "task": task.value,
        "bytes": weights.stat().st_size,
        "parameters": sum(p.numel() for p in model.model.parameters()),
        "epochs": model.trainer.epoch + 1,
        "pictures": training.count,
        "versions": {name: _version(name) for name in ("ultralytics", "torch", "opencv", "numpy")},
        "held_back": {str(size): score(weights, data, task, size, work) for size in _score_sizes(task)},
    }


def _image_size(task: Task) -> int:
    return 224 if task is Task.CLASSIFY else 320


def _score_sizes(task: Task) -> tuple[int, ...]:
    return (160, 224, 320) if task is Task.CLASSIFY else (160, 320, 640)


def _version(name: str) -> str:
    for package in (name, f"{name}-opencv-headless", f"{name}-python-headless", f"{name}-python"):
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return "unknown"


def draw_dataset(task: Task, training: Training, folder: Path) -> Path:
    """Draw the three splits in Ultralytics' folder form; returns what its `data` takes."""
    for split, count in training.count.items():
        with ProcessPoolExecutor(training.jobs) as pool:
            draw = partial(_draw, task, folder, split)
            for _ in pool.map(draw, range(count), chunksize=20):
                pass
    return folder if task is Task.CLASSIFY else _describe(task, folder)


def _draw(task: Task, folder: Path, split: str, index: int) -> None:
    cv2.setNumThreads(1)
    scene = draw_scene(task, FIRST_SEED[split] + index)
    quality = int(np.random.default_rng(index).integers(80, 98))
    if task is Task.CLASSIFY:
        name = CLASSES[task][scene.things[0].class_id]
        _save(folder / split / name / f"{index:05}.jpg", scene.image, quality)
        return
    _save(folder / "images" / split / f"{index:05}.jpg", scene.image, quality)
    labels = folder / "labels" / split / f"{index:05}.txt"
    labels.parent.mkdir(parents=True, exist_ok=True)
    labels.write_text("\n".join(label_lines(scene)) + "\n")


def _save(path: Path, image: Any, quality: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, quality]):
        raise OSError(f"{path} could not be written")


def _describe(task: Task, folder: Path) -> Path:
    description: dict[str, Any] = {
        "path": str(folder),
        **{split: f"images/{split}" for split in FIRST_SEED},
        "names": dict(enumerate(CLASSES[task])),
    }
    if task is Task.POSE:
        description |= {
            "kpt_shape": [len(ROBOT_POINTS), 3],
            "flip_idx": list(ROBOT_MIRROR),
            "kpt_names": {0: list(ROBOT_POINTS)},
        }
    return _write_yaml(folder / "data.yaml", description)


def _write_yaml(path: Path, content: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content))
    return path


def _architecture(task: Task, work: Path) -> Path:
    """YOLO11 with fewer channels; its file name must keep the `n`, which names the scale."""
    from ultralytics.nn.tasks import yaml_model_load

    suffix = "" if task is Task.DETECT else f"-{SHORT[task]}"
    layers: dict[str, Any] = yaml_model_load(f"yolo11n{suffix}.yaml")
    layers["scales"] = {"n": [0.5, WIDTH, 1024]}
    if task is Task.POSE:
        layers["kpt_shape"] = [len(ROBOT_POINTS), 3]
    return _write_yaml(work / "architecture" / f"yolo11n{suffix}.yaml", layers)


def _options(task: Task, training: Training, work: Path) -> dict[str, Any]:
    augmentation: dict[str, Any] = {"mosaic": 0.0, "scale": 0.2, "translate": 0.05, "multi_scale": 0.5}
    if task is Task.CLASSIFY:
        augmentation = {"scale": 0.5, "auto_augment": None, "erasing": 0.1}
    return {
        **augmentation,
        "imgsz": _image_size(task),
        "epochs": training.epochs,
        "time": None if training.minutes is None else training.minutes / 60,
        "device": training.device,
        "workers": min(training.jobs, 4) if training.device != "cpu" else 0,
        "batch": 64,
        "optimizer": "AdamW",
        "lr0": 0.004,
        "lrf": 0.01,
        "cos_lr": True,
        "warmup_epochs": 1.0,
        "patience": 0,
        "amp": False,  # a net this small is bound by launches; and the check for AMP fetches other weights
        "deterministic": False,
        "cache": False if task is Task.CLASSIFY else "ram",
        "pretrained": False,
        "plots": False,
        "project": str(work / "train"),
        "name": task.value,
        "exist_ok": True,
    }


def slim(trained: Path, out: Path, image_size: int) -> None:
    """Keep the model in FP16 and nothing of the machine that trained it: no path, date, branch or host."""
    import torch
    from ultralytics.nn.tasks import torch_safe_load

    checkpoint, _ = torch_safe_load(trained, safe_only=True)
    model = (checkpoint.get("ema") or checkpoint["model"]).half()
    for parameter in model.parameters():
        parameter.requires_grad = False
    arguments = {"task": model.task if hasattr(model, "task") else checkpoint["train_args"]["task"]}
    arguments |= {"imgsz": image_size, "mode": "train", "data": "demo", "model": "demo"}
    model.args = dict(arguments)
    model.yaml = {key: value for key, value in model.yaml.items() if key != "yaml_file"}
    torch.save(
        {
            "epoch": -1,
            "model": model,
            "ema": None,
            "optimizer": None,
            "train_args": arguments,
            "version": checkpoint["version"],
            "license": "AGPL-3.0-or-later",
            "docs": "models/demo/README.md of jetsmith",
        },
        out,
    )


def score(weights: Path, data: Path, task: Task, size: int, work: Path) -> dict[str, float]:
    """Ultralytics' own figures on the held-back scenes."""
    from ultralytics import YOLO

    options = {"split": "test", "imgsz": size, "plots": False, "verbose": False, "project": str(work / "val")}
    metrics = YOLO(str(weights)).val(data=str(data), exist_ok=True, workers=0, **options)
    if task is Task.CLASSIFY:
        return {"top1": round(float(metrics.top1), 4)}
    parts: Iterable[str] = {Task.SEGMENT: ("box", "seg"), Task.POSE: ("box", "pose")}.get(task, ("box",))
    figures = {part: getattr(metrics, part) for part in parts}
    return {
        f"{part}_{name}": round(float(value), 4)
        for part, figure in figures.items()
        for name, value in (("map50", figure.map50), ("map50_95", figure.map))
    }


if __name__ == "__main__":
    main()
