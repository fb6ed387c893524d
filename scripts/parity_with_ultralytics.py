#!/usr/bin/env python3
"""
Compare jetsmith's detections with Ultralytics' own on the same ONNX graphs, and print the worst figures.

    python -m scripts.parity_with_ultralytics [--data DIR] [--weights NAME…] [--heads HEAD…] [--pictures N] [--imgsz N]

Needs the `convert` extra. DIR holds weights/*.pt and images/*; graphs are exported once, into .cache/parity.
Exits with 1 if a goal is missed: same count and classes, boxes, keypoints and corners within 0.5 px, confidence within
1e-3, masks (Ultralytics' `retina_masks=True`) with an IoU of at least 0.98, the five best classes within 1e-4.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

PROJECT_ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path.insert(0, str(PROJECT_ROOT))

from app.runtime.onnxruntime import OnnxRuntimeRunner  # noqa: E402
from app.types import Detections, FloatArray, Head, Image, Mask, Result, Task  # noqa: E402
from app.vision.decode import rotated_corners  # noqa: E402
from app.vision.model import Model, Thresholds  # noqa: E402
from app.vision.pictures import decode_picture  # noqa: E402

FOLDERS = ("photos", "coco8", "coco8-pose", "coco8-seg", "dota8", "imagenet10")
CONFIDENCES = (0.25, 0.001)
IOU = 0.7
# Ultralytics' export argument `nms`: None is the raw head, False the NMS-free one, True suppression in the graph.
NMS_ARGUMENT = {Head.RAW: None, Head.END2END: False, Head.NMS: True}
END2END_FAMILIES = ("yolov10", "yolo26")


@dataclass(frozen=True)
class Case:
    weights: Path
    head: Head

    @property
    def title(self) -> str:
        return f"{self.weights.stem} {self.head.value}"


@dataclass(frozen=True)
class Figures:
    """The worst of some pictures."""

    pictures: int = 0
    objects: int = 0  # that Ultralytics found
    unmatched: int = 0  # of either side, without a partner of the same class
    box_px: float = 0.0
    keypoint_px: float = 0.0
    corner_px: float = 0.0
    confidence: float = 0.0
    mask_iou: float = 1.0
    top5: float = 0.0

    def worst(self, other: "Figures") -> "Figures":
        return Figures(
            self.pictures + other.pictures,
            self.objects + other.objects,
            self.unmatched + other.unmatched,
            max(self.box_px, other.box_px),
            max(self.keypoint_px, other.keypoint_px),
            max(self.corner_px, other.corner_px),
            max(self.confidence, other.confidence),
            min(self.mask_iou, other.mask_iou),
            max(self.top5, other.top5),
        )

    @property
    def good(self) -> bool:
        pixels = max(self.box_px, self.keypoint_px, self.corner_px)
        exact = not self.unmatched and self.confidence <= 1e-3 and self.top5 <= 1e-4
        return exact and pixels <= 0.5 and self.mask_iou >= 0.98


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    _keep_ultralytics_quiet(options.cache)
    pictures = list(_pictures(options.data / "images", options.pictures))
    if not pictures:
        print(f"No pictures under {options.data / 'images'}: name the folder with --data", file=sys.stderr)
        return 1
    print(_HEADING)
    good = True
    for case in _cases(options.data / "weights", options.weights, [Head(head) for head in options.heads]):
        graph = export(case, options.cache, options.imgsz)
        for confidence in CONFIDENCES:
            figures = compare(graph, pictures, confidence)
            good &= figures.good
            print(_row(case, confidence, figures), flush=True)
    print("every goal met" if good else "a goal is missed")
    return 0 if good else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare jetsmith's detections with Ultralytics' own.")
    data = os.environ.get("JETSMITH_TEST_DATA", PROJECT_ROOT.parent / "shared")
    parser.add_argument("--data", type=Path, default=Path(data), help="folder with weights/ and images/")
    parser.add_argument("--weights", nargs="*", default=[], metavar="NAME", help="only these, such as yolov8n")
    heads = [head.value for head in Head]
    parser.add_argument("--heads", nargs="*", default=heads, choices=heads, help="only graphs that end so")
    parser.add_argument("--pictures", type=int, default=None, metavar="N", help="only so many per folder")
    parser.add_argument("--imgsz", type=int, default=None, metavar="N", help="export at this size")
    parser.add_argument("--cache", type=Path, default=PROJECT_ROOT / ".cache" / "parity", help="for graphs")
    return parser.parse_args(arguments)


def _keep_ultralytics_quiet(cache: Path) -> None:
    """It is imported after this: no network, no installing, nothing written outside the cache."""
    os.environ.update(YOLO_CONFIG_DIR=str(cache), YOLO_OFFLINE="true", YOLO_AUTOINSTALL="false", YOLO_VERBOSE="false")
    cache.mkdir(parents=True, exist_ok=True)


def _pictures(root: Path, limit: int | None) -> Iterator[Image]:
    """Every picture of the folders, each once: some lie in two of them."""
    seen = set()
    for folder in FOLDERS:
        found = (path for path in sorted((root / folder).rglob("*")) if path.suffix.lower() in (".jpg", ".jpeg"))
        for path in islice(found, limit):
            content = path.read_bytes()
            if content not in seen:
                seen.add(content)
                yield decode_picture(content)


def _cases(folder: Path, names: Sequence[str], heads: Sequence[Head]) -> Iterator[Case]:
    for weights in sorted(folder.glob("*.pt")):
        if not names or weights.stem in names:
            yield from (Case(weights, head) for head in _heads(weights) if head in heads)


def _heads(weights: Path) -> Iterator[Head]:
    yield Head.RAW
    if weights.stem.startswith(END2END_FAMILIES):
        yield Head.END2END
    if "-cls" not in weights.stem:
        yield Head.NMS


def export(case: Case, cache: Path, size: int | None) -> Path:
    """The case's ONNX graph; without `size` at that which the weights were trained for."""
    from ultralytics import YOLO

    graph = cache / f"{case.weights.stem}-{case.head.value}-{size or 'own'}.onnx"
    if graph.exists():
        return graph
    copy = Path(shutil.copy(case.weights, graph.with_suffix(".pt")))  # the graph lands beside the weights
    model = YOLO(copy)
    own_size = model.ckpt["train_args"].get("imgsz", 640)
    suppression = {"conf": min(CONFIDENCES), "iou": IOU} if case.head is Head.NMS else {}
    nms = NMS_ARGUMENT[case.head]
    written = model.export(format="onnx", imgsz=size or own_size, nms=nms, device="cpu", **suppression)
    copy.unlink()
    return Path(written)


def compare(graph: Path, pictures: Sequence[Image], confidence: float) -> Figures:
    """The worst figures of a graph over the pictures."""
    from ultralytics import YOLO

    worst = Figures()
    with OnnxRuntimeRunner(graph, optimise=True) as runner:
        ours = Model(runner, Thresholds(confidence=confidence, iou=IOU))
        theirs = YOLO(graph, task=ours.metadata.task.value)
        settings = {"imgsz": list(ours.metadata.imgsz), "rect": False, "conf": confidence, "iou": IOU}
        for picture in pictures:
            (expected,) = theirs.predict(picture, retina_masks=True, verbose=False, device="cpu", **settings)
            worst = worst.worst(differences(ours.predict(picture), expected))
    return worst


def differences(ours: Result, expected: Any) -> Figures:
    """How far our result of one picture is from Ultralytics' `Results`."""
    if ours.task is Task.CLASSIFY:
        assert ours.probs is not None  # noqa: S101
        return Figures(pictures=1, top5=_top5_difference(ours.probs, expected.probs.data.numpy()))
    found = ours.detections
    assert found is not None  # noqa: S101
    boxes = expected.obb if ours.task is Task.OBB else expected.boxes
    pairs, unmatched = _pairs(found, boxes.xyxy.numpy(), boxes.cls.numpy())
    figures = Figures(pictures=1, objects=len(boxes), unmatched=unmatched)
    if not pairs:
        return figures
    mine, other = (np.array(side) for side in zip(*pairs, strict=True))
    figures = replace(
        figures,
        box_px=_largest(found.xyxy[mine], boxes.xyxy.numpy()[other]),
        confidence=_largest(found.confidence[mine], boxes.conf.numpy()[other]),
    )
    return _task_differences(figures, found, expected, mine, other)


def _task_differences(
    figures: Figures, found: Detections, expected: Any, mine: FloatArray, other: FloatArray
) -> Figures:
    if found.keypoints is not None:
        theirs = expected.keypoints.data.numpy()[other]
        figures = replace(
            figures,
            keypoint_px=_largest(found.keypoints[mine][..., :2], theirs[..., :2]),
            confidence=max(figures.confidence, _largest(found.keypoints[mine][..., 2:], theirs[..., 2:])),
        )
    if found.xywhr is not None:
        corners = expected.obb.xyxyxyxy.numpy()[other]
        figures = replace(figures, corner_px=_largest(rotated_corners(found.xywhr[mine]), corners))
    if found.masks is not None:
        bitmaps = expected.masks.data.numpy()
        ious = [mask_iou(found.masks[i], bitmaps[j]) for i, j in zip(mine, other, strict=True)]
        figures = replace(figures, mask_iou=min(ious))
    return figures


def _pairs(found: Detections, boxes: FloatArray, classes: FloatArray) -> tuple[list[tuple[int, int]], int]:
    """One to one, each of theirs with the nearest free one of ours of its class; and how many are left over."""
    free = np.ones(len(found), np.bool_)
    pairs = []
    for index, (box, class_id) in enumerate(zip(boxes, classes, strict=True)):
        distance = np.abs(found.xyxy - box).max(axis=1)
        distance[~free | (found.class_id != int(class_id))] = np.inf
        if len(distance) and np.isfinite(distance.min()):
            nearest = int(distance.argmin())
            free[nearest] = False
            pairs.append((nearest, index))
    return pairs, len(boxes) + len(found) - 2 * len(pairs)


def mask_iou(mask: Mask, expected: FloatArray) -> float:
    """IoU of a mask with a bitmap of picture size."""
    height, width = mask.bitmap.shape
    part = expected[mask.y : mask.y + height, mask.x : mask.x + width] > 0
    shared = int((part & mask.bitmap).sum())
    return shared / max(int((expected > 0).sum()) + int(mask.bitmap.sum()) - shared, 1)


def _top5_difference(probs: FloatArray, expected: FloatArray) -> float:
    best = np.argsort(-expected, kind="stable")[:5]
    if set(best.tolist()) != set(np.argsort(-probs, kind="stable")[:5].tolist()):
        return float("inf")
    return _largest(probs[best], expected[best])


def _largest(ours: FloatArray, theirs: FloatArray) -> float:
    return float(np.abs(ours - theirs).max(initial=0.0))


_HEADING = (
    f"{'weights and head':<30}{'conf':>6}{'pictures':>9}{'objects':>8}{'unmatched':>10}{'box px':>9}"
    f"{'kpt px':>9}{'corner px':>10}{'conf diff':>10}{'mask IoU':>9}{'top-5':>9}"
)


def _row(case: Case, confidence: float, worst: Figures) -> str:
    return (
        f"{case.title:<30}{confidence:>6}{worst.pictures:>9}{worst.objects:>8}{worst.unmatched:>10}"
        f"{worst.box_px:>9.4f}{worst.keypoint_px:>9.4f}{worst.corner_px:>10.4f}{worst.confidence:>10.1e}"
        f"{worst.mask_iou:>9.4f}{worst.top5:>9.1e}{'' if worst.good else '  MISSED'}"
    )


if __name__ == "__main__":
    sys.exit(main())
