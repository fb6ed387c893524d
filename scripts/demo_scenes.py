"""
Draws the demo models' pictures and knows what is in them.

The same task and seed give the same scene. Seeds are kept apart: training from 0, validation from
VALIDATION_SEED, tests from TEST_SEED, the sample pictures in `models/demo/scenes` from SAMPLE_SEED.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import cv2
import numpy as np
import numpy.typing as npt

from app.types import BoolArray, FloatArray, Image, Task
from scripts.demo_pen import CANVAS, Points
from scripts.demo_shapes import SHAPES, Rng, Sprite

VALIDATION_SEED = 1_000_000
TEST_SEED = 2_000_000
SAMPLE_SEED = 3_000_000

CLASSES: Mapping[Task, tuple[str, ...]] = MappingProxyType(
    {
        Task.DETECT: ("robot", "ball", "crate", "cone"),
        Task.SEGMENT: ("leaf", "cloud", "star", "flower"),
        Task.POSE: ("robot",),
        Task.OBB: ("boat", "parcel", "bus"),
        Task.CLASSIFY: ("ball", "boat", "cone", "crate", "flower", "leaf", "robot", "star"),
    }
)
"""Sorted for classify: Ultralytics numbers the folders of a classification set by name."""


@dataclass(frozen=True)
class _Plan:
    """What one task's pictures look like."""

    count: tuple[int, int]  # things a picture, from and to
    size: tuple[float, float]  # a sprite's side, as a part of the picture's short side
    turn: float  # degrees, either way
    in_frame: float = 1.0  # part of a thing that must lie in the picture
    visible: float = 0.75  # part of it that what lies above must leave to see


_PLANS = {
    Task.DETECT: _Plan((1, 8), (0.14, 0.55), 20, in_frame=0.85),
    Task.SEGMENT: _Plan((1, 6), (0.25, 0.65), 180, in_frame=0.8, visible=0.6),
    Task.POSE: _Plan((1, 5), (0.28, 0.85), 25, visible=0.85),
    Task.OBB: _Plan((2, 9), (0.2, 0.55), 180, visible=0.85),
    Task.CLASSIFY: _Plan((1, 1), (0.45, 0.95), 40, in_frame=0.8),
}
_SHAPES_HW = ((320, 320), (320, 320), (240, 320), (320, 240), (360, 480), (480, 640))


@dataclass(frozen=True, eq=False)
class Thing:
    """One labelled thing, in pixels of the picture."""

    class_id: int
    mask: BoolArray  # (height, width): its pixels that can be seen
    xyxy: FloatArray  # (4,): the box around those pixels
    points: FloatArray  # (n, 3): its named points, and 2 where seen, 1 where covered


@dataclass(frozen=True, eq=False)
class Scene:
    task: Task
    image: Image
    things: tuple[Thing, ...]


@dataclass(frozen=True, eq=False)
class _Placed:
    class_id: int
    colour: npt.NDArray[np.uint8]  # (height, width, 4), BGR times alpha, then alpha
    solid: BoolArray  # (height, width): where it is more there than not
    points: Points


def draw_scene(task: Task, seed: int, image_hw: tuple[int, int] | None = None) -> Scene:
    """Draw one scene; without `image_hw` (height, width) its size is drawn too."""
    rng = np.random.default_rng([list(Task).index(task), seed])
    drawn_hw = _SHAPES_HW[rng.integers(len(_SHAPES_HW))]
    hw = image_hw or drawn_hw
    ground = _background(rng, hw)
    placed = _arrange(rng, task, hw)
    for thing in placed:
        _lay(ground, thing, max(2, min(hw) // 60))
    image = _photograph(rng, ground)
    owner = _owners(placed, hw)
    things = [_thing(thing, owner == i) for i, thing in enumerate(placed)]
    return Scene(task, image, tuple(things))


def _arrange(rng: Rng, task: Task, hw: tuple[int, int]) -> list[_Placed]:
    """Place things from the bottom up; a place that would hide too much is given up for another."""
    plan, placed = _PLANS[task], list[_Placed]()
    wanted = int(rng.integers(plan.count[0], plan.count[1] + 1))
    for _ in range(wanted * 8):
        candidate = _throw(rng, task, hw)
        whole = candidate is not None and _all_seen([*placed, candidate], hw, task)
        if candidate is not None and whole:
            placed.append(candidate)
        if len(placed) == wanted:
            break
    return placed or _arrange(rng, task, hw)


def _throw(rng: Rng, task: Task, hw: tuple[int, int]) -> _Placed | None:
    """One thing somewhere; None if too little of it lies in the picture."""
    plan, short = _PLANS[task], min(hw)
    class_id = int(rng.integers(len(CLASSES[task])))
    sprite = SHAPES[CLASSES[task][class_id]](rng)
    side = short * float(np.exp(rng.uniform(*np.log(plan.size))))
    spread = 0.12 if task is Task.CLASSIFY else 0.5
    centre = np.array([hw[1], hw[0]]) * (0.5 + rng.uniform(-spread, spread, 2))
    turned = _turned(side, rng.uniform(-plan.turn, plan.turn), centre)
    points = _moved(sprite.points, turned, side)
    if plan.in_frame == 1.0 and not bool(((points >= 0) & (points < hw[::-1])).all()):
        return None
    thing = _place(sprite, class_id, side, turned, hw)
    area = np.count_nonzero(sprite.rgba[..., 3] > 127) * (side / CANVAS) ** 2
    return thing if np.count_nonzero(thing.solid) > 0.97 * plan.in_frame * area else None


def _turned(side: float, degrees: float, centre: Points) -> Points:
    """The (2, 3) matrix from the pixels of a sprite shrunk to round(side) to those of the picture."""
    small = round(side)
    matrix: Points = cv2.getRotationMatrix2D((small / 2 - 0.5, small / 2 - 0.5), degrees, side / small)
    matrix[:, 2] += centre - small / 2
    return matrix


def _moved(points: Points, matrix: Points, side: float) -> Points:
    """Where places on a sprite come to lie: a pixel's centre is half a pixel into it."""
    scaled = points * round(side) / CANVAS - 0.5
    moved: Points = scaled @ matrix[:, :2].T + matrix[:, 2] + 0.5
    return moved


def _place(sprite: Sprite, class_id: int, side: float, matrix: Points, hw: tuple[int, int]) -> _Placed:
    """Shrink and turn a sprite into the picture."""
    small = round(side)
    shrunk = cv2.resize(sprite.rgba, (small, small), interpolation=cv2.INTER_AREA)
    colour = cv2.warpAffine(shrunk, matrix, (hw[1], hw[0]), flags=cv2.INTER_LINEAR)
    return _Placed(class_id, colour, colour[..., 3] > 127, _moved(sprite.points, matrix, side))


def _owners(placed: list[_Placed], hw: tuple[int, int]) -> npt.NDArray[np.int64]:
    """For each pixel the index of the topmost thing there, or -1."""
    owner = np.full(hw, -1, np.int64)
    for i, thing in enumerate(placed):
        owner[thing.solid] = i
    return owner


def _all_seen(placed: list[_Placed], hw: tuple[int, int], task: Task) -> bool:
    owner = _owners(placed, hw)
    for i, thing in enumerate(placed):
        seen = owner == i
        if int(np.count_nonzero(seen)) < _PLANS[task].visible * np.count_nonzero(thing.solid):
            return False
        if task is Task.SEGMENT and not _one_piece(seen):
            return False
    return True


def _one_piece(mask: BoolArray) -> bool:
    """Whether one polygon tells the whole mask: no second part, no hole."""
    filled = np.zeros(mask.shape, np.uint8)
    cv2.fillPoly(filled, [outline(mask)], 1)
    wrong = np.count_nonzero(filled.astype(bool) != mask)
    return bool(wrong <= 0.04 * np.count_nonzero(mask))


def outline(mask: BoolArray) -> npt.NDArray[np.int32]:
    """The largest part's outer contour, (n, 2)."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    largest: npt.NDArray[np.int32] = max(contours, key=cv2.contourArea)
    return largest.reshape(-1, 2)


def _thing(placed: _Placed, seen: BoolArray) -> Thing:
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    xyxy = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
    height, width = seen.shape
    x, y = placed.points.astype(int).T
    inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
    shown = inside & seen[y.clip(0, height - 1), x.clip(0, width - 1)]
    flags = np.where(shown, 2.0, 1.0)
    points = np.concatenate([placed.points, flags[:, None]], axis=1).astype(np.float32)
    return Thing(placed.class_id, seen, xyxy, points)


def _noise(rng: Rng, hw: tuple[int, int], cells: int) -> FloatArray:
    """Smooth noise from -1 to 1, about `cells` bumps across."""
    grid = rng.uniform(-1, 1, (cells + 1, cells + 1)).astype(np.float32)
    smooth: FloatArray = cv2.resize(grid, (hw[1], hw[0]), interpolation=cv2.INTER_CUBIC)
    return smooth


def _background(rng: Rng, hw: tuple[int, int]) -> FloatArray:
    """Wood, grass, tiles, water or sand, with pebbles and sticks that are no class."""
    grounds = ((95, 135, 175), (80, 150, 100), (190, 190, 185), (190, 150, 90), (150, 195, 220), (90, 90, 95))
    base = np.array(grounds[rng.integers(len(grounds))]) * rng.uniform(0.75, 1.1)
    ground = np.ones((*hw, 3), np.float32) * base.astype(np.float32)
    for cells, depth in ((3, 14), (12, 9), (60, 7)):
        ground += _noise(rng, hw, cells)[..., None] * rng.uniform(0.3, 1) * depth
    pattern = np.zeros((*hw, 3), np.uint8)
    gap = int(min(hw) * rng.uniform(0.12, 0.3))
    kind = rng.integers(3)  # planks, tiles, none
    if kind < 2:
        for y in range(int(rng.integers(gap)), hw[0], gap):
            cv2.line(pattern, (0, y), (hw[1], y), (30, 30, 30), int(rng.integers(1, 3)), cv2.LINE_AA)
    if kind == 1:
        for x in range(int(rng.integers(gap)), hw[1], gap):
            cv2.line(pattern, (x, 0), (x, hw[0]), (30, 30, 30), int(rng.integers(1, 3)), cv2.LINE_AA)
    return _litter(rng, ground - pattern)


def _litter(rng: Rng, ground: FloatArray) -> FloatArray:
    height, width = ground.shape[:2]
    unit = min(height, width)
    for _ in range(int(rng.integers(0, 7))):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        colour = tuple(float(value) for value in rng.uniform(50, 220, 3))
        turn = rng.uniform(0, np.pi)
        if rng.random() < 0.5:
            axes = (int(unit * rng.uniform(0.01, 0.05)), int(unit * rng.uniform(0.01, 0.03)))
            cv2.ellipse(ground, (x, y), axes, np.degrees(turn), 0, 360, colour, -1)
        else:
            length = unit * rng.uniform(0.08, 0.35)
            end = (int(x + length * np.cos(turn)), int(y + length * np.sin(turn)))
            cv2.line(ground, (x, y), end, colour, int(rng.integers(1, 5)))
    return ground


def _lay(picture: FloatArray, thing: _Placed, drop: int) -> None:
    """Lay a thing on the picture, with its soft shadow `drop` pixels down and right."""
    left, top, width, height = cv2.boundingRect(thing.colour[..., 3])
    reach = 4 * drop
    part = np.s_[max(0, top - reach) : top + height + reach, max(0, left - reach) : left + width + reach]
    colour = thing.colour[part].astype(np.float32)
    alpha = colour[..., 3] / 255
    moved = np.array([[1, 0, drop], [0, 1, drop]], np.float32)
    shadow = cv2.warpAffine(alpha, moved, (alpha.shape[1], alpha.shape[0]))
    shadow = cv2.GaussianBlur(shadow, (0, 0), drop)
    kept = (1 - 0.4 * shadow) * (1 - alpha)
    picture[part] = picture[part] * kept[..., None] + colour[..., :3]


def _photograph(rng: Rng, picture: FloatArray) -> Image:
    """Uneven light, a tint, a little blur, grain."""
    hw = (picture.shape[0], picture.shape[1])
    light = rng.uniform(0.7, 1.15) + _noise(rng, hw, 2) * rng.uniform(0, 0.22)
    tint = rng.uniform(0.9, 1.1, 3).astype(np.float32)
    lit = picture * light[..., None].astype(np.float32) * tint
    blur = rng.uniform(0, 1.1) * min(hw) / 320
    if blur > 0.3:
        lit = cv2.GaussianBlur(lit, (0, 0), blur)
    grain = rng.uniform(0, 9) * rng.standard_normal(picture.shape, np.float32)
    return np.clip(lit + grain, 0, 255).astype(np.uint8)


def label_lines(scene: Scene) -> list[str]:
    """The scene's labels in Ultralytics' text form: one line a thing, numbers as parts of width and height."""
    height, width = scene.image.shape[:2]
    size = np.array([width, height], np.float32)
    return [_label_line(scene.task, thing, size) for thing in scene.things]


def _label_line(task: Task, thing: Thing, size: FloatArray) -> str:
    left_top, right_bottom = thing.xyxy[:2] / size, thing.xyxy[2:] / size
    box = [*((left_top + right_bottom) / 2), *(right_bottom - left_top)]
    if task is Task.SEGMENT:
        contour = cv2.approxPolyDP(outline(thing.mask), 0.6, True).reshape(-1, 2)
        values = [*((contour + 0.5) / size).ravel()]
    elif task is Task.OBB:
        values = [*(thing.points[:, :2] / size).ravel()]
    elif task is Task.POSE:
        rows = [[*(point[:2] / size), float(point[2])] for point in thing.points]
        values = box + [value for row in rows for value in row]
    else:
        values = box
    return " ".join([str(thing.class_id), *(f"{value:.6g}" for value in values)])
