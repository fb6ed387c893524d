"""
Model names: `yolo[v]<version><size>[-<task>]`, and which of them have official weights.

Source of the table: the asset names in ultralytics 8.4.190, `utils/downloads.py`.
"""

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from app.errors import UnknownModel
from app.types import Task

DEMO = "demo"

_SUFFIXES = {
    Task.DETECT: "",
    Task.SEGMENT: "-seg",
    Task.POSE: "-pose",
    Task.OBB: "-obb",
    Task.CLASSIFY: "-cls",
}
_TASK_WORDS = {
    "detect": Task.DETECT,
    "seg": Task.SEGMENT,
    "segment": Task.SEGMENT,
    "pose": Task.POSE,
    "obb": Task.OBB,
    "cls": Task.CLASSIFY,
    "classify": Task.CLASSIFY,
}


@dataclass(frozen=True)
class Family:
    """One generation of YOLO: its sizes, and for each task the sizes that have official weights."""

    title: str
    sizes: tuple[str, ...]
    official: dict[Task, tuple[str, ...]]
    ending: str = ""  # what the file name carries after the size: YOLOv5's retrained weights end in "u"


_NSMLX = ("n", "s", "m", "l", "x")
_FIVE = (*_NSMLX, *(f"{size}6" for size in _NSMLX))
_NINE = ("t", "s", "m", "c", "e")
_TEN = ("n", "s", "m", "b", "l", "x")

FAMILIES = {
    "yolov5": Family("YOLOv5u", _FIVE, {Task.DETECT: _FIVE}, ending="u"),
    "yolov8": Family("YOLOv8", _NSMLX, dict.fromkeys(Task, _NSMLX)),
    "yolov9": Family("YOLOv9", _NINE, {Task.DETECT: _NINE, Task.SEGMENT: ("c", "e")}),
    "yolov10": Family("YOLOv10", _TEN, {Task.DETECT: _TEN}),
    "yolo11": Family("YOLO11", _NSMLX, dict.fromkeys(Task, _NSMLX)),
    "yolo12": Family("YOLO12", _NSMLX, {Task.DETECT: _NSMLX}),
    "yolo26": Family("YOLO26", _NSMLX, dict.fromkeys(Task, _NSMLX)),
}
_BY_VERSION = {re.sub(r"\D", "", family): family for family in FAMILIES}

_NAME = re.compile(r"yolov?(?P<version>5|8|9|10|11|12|26)(?P<size>[a-z]6?)(?P<u>u?)(?:-(?P<task>[a-z]+))?")
_CHECKPOINT_FAMILY = re.compile(r"yolov?(\d+)[a-z]?(?:-(?:seg|pose|obb|cls|p2|p6|ghost))*\.ya?ml")
_HEAD_FAMILIES = {
    "v10Detect": "yolov10",
    "Segment26": "yolo26",
    "Pose26": "yolo26",
    "OBB26": "yolo26",
}
_TASK_SIZES = {Task.CLASSIFY: (224, 224), Task.OBB: (1024, 1024)}  # what Ultralytics trained them at
_LONGEST_NAME = 40

OWN_WEIGHTS_HINT = (
    "To convert a file of your own, whatever its name, give it as `--model my.pt`, "
    "or in the YAML as vision.yolo.model_source.pt_model_path."
)


@dataclass(frozen=True)
class ModelName:
    family: str  # a key of FAMILIES, or "demo"
    size: str  # "" for the demo models
    task: Task

    def __str__(self) -> str:
        if self.is_demo:
            return f"{DEMO}{_SUFFIXES[self.task] or '-detect'}"
        return f"{self.family}{self.size}{FAMILIES[self.family].ending}{_SUFFIXES[self.task]}"

    @property
    def is_demo(self) -> bool:
        return self.family == DEMO

    @property
    def weights_file(self) -> str:
        """The file's name, as Ultralytics publishes it."""
        return f"{self}.pt"

    @property
    def input_size(self) -> tuple[int, int]:
        """The height and width that the model was trained at."""
        if self.is_demo and self.task is not Task.CLASSIFY:
            return (320, 320)
        return _TASK_SIZES.get(self.task, (640, 640))


def parse_model_name(text: str) -> ModelName:
    """
    Read a name in any case, with or without the `v`, and with any spelling of its task.

    Raises:
        UnknownModel: it is no such name; the message has the nearest ones.
    """
    name = text.strip().lower()
    if name.startswith(f"{DEMO}-") and name[len(DEMO) + 1 :] in _TASK_WORDS:
        return ModelName(DEMO, "", _TASK_WORDS[name[len(DEMO) + 1 :]])
    match = _NAME.fullmatch(name)
    if match is None:
        raise _unreadable(text)
    family = _BY_VERSION[match["version"]]
    known = FAMILIES[family]
    task = _TASK_WORDS.get(match["task"] or "detect")
    if match["size"] not in known.sizes or match["u"] not in ("", known.ending) or task is None:
        raise _unreadable(text)
    return ModelName(family, match["size"], task)


def require_official(name: ModelName) -> None:
    """
    Raises:
        UnknownModel: nobody publishes weights under this name; the message lists what there is.
    """
    if name.is_demo:
        return
    family = FAMILIES[name.family]
    if name.size in family.official.get(name.task, ()):
        return
    offers = "; ".join(f"{task.value}: {', '.join(_family_names(name.family, task))}" for task in family.official)
    message = f"There are no official weights for {name}. {family.title} has {offers}."
    others = list(_families_with(name.task))
    hint = f"Official weights for {name.task.value}: {'; '.join(others)}. {OWN_WEIGHTS_HINT}"
    raise UnknownModel(message, hint=hint)


def official_names() -> Iterator[ModelName]:
    """Every model that has official weights."""
    for family, known in FAMILIES.items():
        for task, sizes in known.official.items():
            yield from (ModelName(family, size, task) for size in sizes)


def demo_names() -> Iterator[ModelName]:
    """The models that come with the project."""
    return (ModelName(DEMO, "", task) for task in Task)


def bundled_weights(name: ModelName, models_dir: Path) -> Path | None:
    """Where a demo model's weights lie under the project's `models`; None for a model that does not come with it."""
    return models_dir / DEMO / name.weights_file if name.is_demo else None


def contradiction(name: ModelName, task: Task, yaml_or_head: str | None) -> str | None:
    """
    Say in which way a checkpoint's own metadata contradicts the wanted name, or None.

    `yaml_or_head` is the checkpoint's `yaml_file` ("yolo11n-pose.yaml") or the class name of its head ("Pose26").
    The family is compared only where one of them tells it for certain; the demo models are of no family.
    """
    if task is not name.task:
        return f"{name} is a {name.task.value} model, but the file holds a {task.value} model"
    family = _checkpoint_family(yaml_or_head or "")
    if name.is_demo or family is None or family == name.family:
        return None
    return f"{name} is {FAMILIES[name.family].title}, but the file was trained as {yaml_or_head}"


def _checkpoint_family(yaml_or_head: str) -> str | None:
    if yaml_or_head in _HEAD_FAMILIES:
        return _HEAD_FAMILIES[yaml_or_head]
    match = _CHECKPOINT_FAMILY.fullmatch(yaml_or_head.replace("\\", "/").rpartition("/")[2].lower())
    if match is None:
        return None
    return _BY_VERSION.get(match[1], f"yolov{match[1]}")


def _family_names(family: str, task: Task) -> Iterable[str]:
    return (str(ModelName(family, size, task)) for size in FAMILIES[family].official[task])


def _families_with(task: Task) -> Iterator[str]:
    for family, known in FAMILIES.items():
        if task in known.official:
            yield f"{known.title} ({', '.join(_family_names(family, task))})"


def _unreadable(text: str) -> UnknownModel:
    shown = text if len(text) <= _LONGEST_NAME else text[:_LONGEST_NAME] + "…"
    near = difflib.get_close_matches(_comparable(text[:_LONGEST_NAME]), _spellings(), n=3, cutoff=0.6)
    nearest = list(dict.fromkeys(_spellings()[spelling] for spelling in near))
    suggestion = f" Did you mean {' or '.join(nearest)}?" if nearest else ""
    families = ", ".join(f"{key} ({' '.join(known.sizes)})" for key, known in FAMILIES.items())
    return UnknownModel(
        f"{shown!r} is not a model name.{suggestion}",
        hint=f"A name is a family and a size, then for other tasks than detect -seg, -pose, -obb or -cls: {families}; "
        f"or demo-detect, demo-seg, demo-pose, demo-obb, demo-cls. {OWN_WEIGHTS_HINT}",
    )


def _comparable(text: str) -> str:
    """People write `yolo_v8-n`, `yolov8n.pt` or `yolo 11 n pose`: what matters is letters and digits."""
    return re.sub(r"[^a-z0-9]", "", text.lower().removesuffix(".pt"))


def _spellings() -> dict[str, str]:
    names = [*map(str, official_names()), *map(str, demo_names())]
    return {_comparable(name): name for name in names}
