"""The things that demo scenes are made of, each drawn on a transparent canvas of its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from scripts.demo_pen import CANVAS, Colour, Pen, Points

ROBOT_POINTS = (
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_hand",
    "right_hand",
    "left_hip",
    "right_hip",
    "left_foot",
    "right_foot",
)
"""A robot faces the viewer: its own left is on the right of the picture."""

ROBOT_MIRROR = (0, 2, 1, 4, 3, 6, 5, 8, 7)
"""Which keypoint each becomes when the picture is flipped."""

Rng = np.random.Generator

_CENTRE = CANVAS / 2
_PAINTS: tuple[Colour, ...] = (  # BGR
    (60, 76, 231),
    (34, 126, 230),
    (15, 196, 241),
    (96, 174, 39),
    (156, 188, 26),
    (219, 152, 52),
    (173, 68, 142),
    (180, 119, 255),
    (199, 195, 189),
    (94, 73, 52),
)


@dataclass(frozen=True, eq=False)
class Sprite:
    """`rgba` is (CANVAS, CANVAS, 4), BGR times alpha, then alpha; `points` (n, 2) are places on it, in pixels."""

    rgba: npt.NDArray[np.uint8]
    points: Points


def _paint(rng: Rng) -> Colour:
    base = np.array(_PAINTS[rng.integers(len(_PAINTS))]) + rng.integers(-25, 26, 3)
    blue, green, red = (int(value) for value in base.clip(0, 255))
    return blue, green, red


def _shade(colour: Colour, factor: float) -> Colour:
    blue, green, red = (int(min(255, value * factor)) for value in colour)
    return blue, green, red


def _step(start: Sequence[float], length: float, degrees: float) -> tuple[float, float]:
    """The point `length` away from `start`; 0 degrees is down, positive towards the right."""
    return (
        start[0] + length * float(np.sin(np.radians(degrees))),
        start[1] + length * float(np.cos(np.radians(degrees))),
    )


def robot(rng: Rng) -> Sprite:
    """A robot seen from the front in some posture; `points` are ROBOT_POINTS."""
    pen, body = Pen(), _paint(rng)
    edge, limb = _shade(body, 0.55), _shade(_paint(rng), 0.8)
    half, waist = rng.uniform(26, 34), rng.uniform(15, 22)
    ends: list[tuple[float, float]] = []
    for joint_y, reach, spread, low, high in ((102, half, 32.0, -10, 150), (164, waist, 28.0, -8, 50)):
        for side in (1, -1):
            joint = (_CENTRE + side * reach, float(joint_y))
            middle = _step(joint, spread, side * rng.uniform(low, high))
            end = _step(middle, spread, side * rng.uniform(low, high))
            pen.stroke([joint, middle, end], edge, 15)
            pen.stroke([joint, middle, end], limb, 10)
            pen.disc(end, 11, edge)
            pen.disc(end, 8, body)
            ends += [joint, end]
    _robot_body(pen, rng, body, half)
    left_arm, right_arm, left_leg, right_leg = ends[0:2], ends[2:4], ends[4:6], ends[6:8]
    pairs = zip((left_arm, left_leg), (right_arm, right_leg), strict=True)
    points = [(_CENTRE, 62.0)]
    for left, right in pairs:
        points += [left[0], right[0], left[1], right[1]]
    return Sprite(pen.canvas, np.array(points))


def _robot_body(pen: Pen, rng: Rng, body: Colour, half: float) -> None:
    edge, face = _shade(body, 0.55), _shade(body, 1.25)
    pen.stroke([(_CENTRE, 44), (_CENTRE, 22)], edge, 5)
    pen.disc((_CENTRE, 22), 7, _paint(rng))
    for grow, colour in ((3.5, edge), (0.0, body)):
        box = (_CENTRE - half - grow, 88 - grow, _CENTRE + half + grow, 170 + grow)
        pen.rounded(box, rng.uniform(8, 16), colour)
    round_head = rng.uniform(8, 20)
    for grow, colour in ((3.5, edge), (0.0, face)):
        pen.rounded((_CENTRE - 28 - grow, 40 - grow, _CENTRE + 28 + grow, 84 + grow), round_head, colour)
    for side in (-1, 1):
        pen.disc((_CENTRE + side * 12, 58), 7, (250, 250, 250))
        pen.disc((_CENTRE + side * 12 + rng.uniform(-2, 2), 58 + rng.uniform(-2, 2)), 3.5, (30, 30, 30))
    pen.stroke([(_CENTRE - 9, 73), (_CENTRE + 9, 73 + rng.uniform(-3, 3))], (40, 40, 40), 3)
    pen.rounded((_CENTRE - half * 0.55, 104, _CENTRE + half * 0.55, 128), 5, _shade(body, 0.75))
    pen.disc((_CENTRE - 8, 116), 4.5, _paint(rng))
    pen.disc((_CENTRE + 8, 116), 4.5, _paint(rng))


def ball(rng: Rng) -> Sprite:
    """A beach ball: coloured wedges, a highlight."""
    pen, centre, radius = Pen(), (_CENTRE, _CENTRE), 112.0
    first, second, wedges = _paint(rng), _paint(rng), int(rng.integers(2, 5))
    pen.disc(centre, radius, _shade(first, 0.5))
    pen.disc(centre, radius - 5, first)
    for i in range(wedges):
        turn = 2 * np.pi * i / wedges + np.linspace(0, np.pi / wedges, 12)
        rim = np.stack([_CENTRE + (radius - 5) * np.cos(turn), _CENTRE + (radius - 5) * np.sin(turn)], 1)
        pen.polygon(np.concatenate([[centre], rim]), second)
    pen.disc(centre, 16, (245, 245, 245))
    pen.disc((_CENTRE - 40, _CENTRE - 44), 14, (255, 255, 255))
    return Sprite(pen.canvas, np.array([centre]))


def crate(rng: Rng) -> Sprite:
    """A wooden crate: frame, planks, a brace."""
    pen, tone = Pen(), rng.uniform(0.75, 1.2)
    wood = _shade((92, 150, 200), tone)
    dark = _shade(wood, 0.55)
    top = rng.uniform(22, 60)
    pen.rounded((22, top, 234, 234), 6, dark)
    planks = np.linspace(top + 6, 228, int(rng.integers(4, 7)))
    for upper, lower in pairwise(planks):
        pen.rounded((28, upper + 2, 228, lower - 2), 3, _shade(wood, rng.uniform(0.85, 1.1)))
    brace = [(40, top + 16), (216, 218)] if rng.random() < 0.5 else [(216, top + 16), (40, 218)]
    pen.stroke(brace, dark, 30)
    pen.stroke(brace, wood, 22)
    for x in (36, 220):
        pen.stroke([(x, top + 12), (x, 222)], dark, 26)
        pen.stroke([(x, top + 12), (x, 222)], _shade(wood, 1.08), 18)
    return Sprite(pen.canvas, np.array([(_CENTRE, _CENTRE)]))


def cone(rng: Rng) -> Sprite:
    """A traffic cone with bands."""
    pen = Pen()
    body = _shade(((30, 90, 240), (40, 60, 220), (30, 160, 240))[rng.integers(3)], rng.uniform(0.85, 1.1))
    pen.rounded((38, 206, 218, 240), 8, _shade(body, 0.55))
    pen.rounded((43, 209, 213, 235), 6, _shade(body, 0.85))
    pen.polygon([(116, 18), (140, 18), (192, 212), (64, 212)], _shade(body, 0.55))
    pen.polygon([(119, 22), (137, 22), (186, 209), (70, 209)], body)
    for high, low in ((70, 100), (136, 172)):
        y = np.array([high, high, low, low])
        half = 9 + (y - 22) * (58 - 9) / (209 - 22)
        pen.polygon(np.stack([_CENTRE + half * [-1, 1, 1, -1], y], 1), (240, 240, 240))
    return Sprite(pen.canvas, np.array([(_CENTRE, _CENTRE)]))


def _oriented(pen: Pen, half_length: float, half_width: float) -> Sprite:
    """A thing seen from above; `points` are the corners of the rectangle around it."""
    signs = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    return Sprite(pen.canvas, _CENTRE + signs * (half_length, half_width))


def boat(rng: Rng) -> Sprite:
    """A boat from above, bow to the right."""
    pen, hull, half = Pen(), _paint(rng), rng.uniform(30, 46)
    bow = np.linspace(-np.pi / 2, np.pi / 2, 24)
    for shrink, colour in ((0.0, _shade(hull, 0.5)), (6.0, hull), (14.0, (150, 190, 225))):
        curve = np.stack([150 + (88 - shrink) * np.cos(bow), _CENTRE + (half - shrink) * np.sin(bow)], 1)
        stern = [(18 + shrink, _CENTRE + half - shrink), (18 + shrink, _CENTRE - half + shrink)]
        pen.polygon(np.concatenate([curve, stern]), colour)
    pen.rounded((70, _CENTRE - half * 0.45, 130, _CENTRE + half * 0.45), 8, (245, 245, 245))
    pen.rounded((112, _CENTRE - half * 0.35, 126, _CENTRE + half * 0.35), 3, (140, 90, 40))
    pen.stroke([(26, _CENTRE - 14), (26, _CENTRE + 14)], (50, 50, 50), 8)
    return _oriented(pen, 110, half)


def parcel(rng: Rng) -> Sprite:
    """A cardboard parcel from above: tape along it, an address label."""
    pen, card = Pen(), _shade((110, 160, 205), rng.uniform(0.7, 1.2))
    half = rng.uniform(55, 82)
    pen.rounded((18, _CENTRE - half, 238, _CENTRE + half), 4, _shade(card, 0.55))
    pen.rounded((22, _CENTRE - half + 4, 234, _CENTRE + half - 4), 3, card)
    pen.polygon([(22, _CENTRE - 10), (234, _CENTRE - 10), (234, _CENTRE + 10), (22, _CENTRE + 10)], _paint(rng))
    label = (160, _CENTRE - half + 14, 222, _CENTRE - 18)
    pen.rounded(label, 3, (240, 240, 240))
    for y in np.arange(label[1] + 8, label[3] - 4, 9):
        pen.stroke([(168, y), (168 + rng.uniform(15, 44), y)], (60, 60, 60), 3)
    return _oriented(pen, 110, half)


def bus(rng: Rng) -> Sprite:
    """A bus from above, front to the right."""
    pen, body, half = Pen(), _paint(rng), rng.uniform(32, 44)
    pen.rounded((18, _CENTRE - half, 238, _CENTRE + half), 14, _shade(body, 0.5))
    pen.rounded((22, _CENTRE - half + 4, 234, _CENTRE + half - 4), 11, body)
    pen.rounded((210, _CENTRE - half + 9, 227, _CENTRE + half - 9), 6, (90, 60, 40))
    for x in np.linspace(44, 170, int(rng.integers(2, 5))):
        pen.rounded((x - 13, _CENTRE - half * 0.5, x + 13, _CENTRE + half * 0.5), 4, _shade(body, 1.35))
    for y in (_CENTRE - half + 9, _CENTRE + half - 9):
        pen.stroke([(34, y), (200, y)], _shade(body, 0.7), 5)
    return _oriented(pen, 110, half)


def leaf(rng: Rng) -> Sprite:
    """A leaf with its veins."""
    pen, half = Pen(), rng.uniform(46, 70)
    green = _shade(((60, 160, 70), (50, 190, 140), (50, 130, 210))[rng.integers(3)], rng.uniform(0.75, 1.15))
    along = np.linspace(0, 1, 32)
    width = half * np.sin(np.pi * along**0.8)
    for shrink, colour in ((1.0, _shade(green, 0.55)), (0.93, green)):
        x = _CENTRE + (along - 0.5) * 216 * shrink
        upper, lower = np.stack([x, _CENTRE - width * shrink], 1), np.stack([x, _CENTRE + width * shrink], 1)
        pen.polygon(np.concatenate([upper, lower[::-1]]), colour)
    pen.stroke([(26, _CENTRE), (226, _CENTRE)], _shade(green, 0.65), 5)
    for vein in (70, 105, 140):
        for side in (-1, 1):
            pen.stroke([(vein, _CENTRE), (vein + 28, _CENTRE + side * half * 0.6)], _shade(green, 0.65), 3)
    return Sprite(pen.canvas, np.array([(_CENTRE, _CENTRE)]))


def cloud(rng: Rng) -> Sprite:
    """A cloud: four puffs over a flat base."""
    pen, tone = Pen(), _shade((250, 240, 232), rng.uniform(0.8, 1.0))
    nominal = ((72, 150, 44), (112, 112, 52), (158, 118, 46), (190, 152, 40))
    puffs = [(x + rng.uniform(-8, 8), y + rng.uniform(-10, 10), r * rng.uniform(0.9, 1.1)) for x, y, r in nominal]
    for grow, colour in ((5.0, _shade(tone, 0.6)), (0.0, tone)):
        pen.rounded((48 - grow, 140 - grow, 212 + grow, 190 + grow), 24, colour)
        for x, y, radius in puffs:
            pen.disc((x, y), radius + grow, colour)
    pen.disc((puffs[1][0] - 8, puffs[1][1] - 8), 30, _shade(tone, 1.05))
    return Sprite(pen.canvas, np.array([(_CENTRE, _CENTRE)]))


def star(rng: Rng) -> Sprite:
    """A five-pointed star."""
    pen, colour, inner = Pen(), _paint(rng), rng.uniform(0.45, 0.6)
    turn = -np.pi / 2 + np.arange(10) * np.pi / 5
    for outer, tone in ((114.0, _shade(colour, 0.5)), (101.0, colour)):
        radius = np.where(np.arange(10) % 2 == 0, outer, outer * inner)
        pen.polygon(np.stack([_CENTRE + radius * np.cos(turn), _CENTRE + radius * np.sin(turn)], 1), tone)
    pen.disc((_CENTRE, _CENTRE), 20, _shade(colour, 1.3))
    return Sprite(pen.canvas, np.array([(_CENTRE, _CENTRE)]))


def flower(rng: Rng) -> Sprite:
    """Petals around a disc."""
    pen, petal, count = Pen(), _paint(rng), int(rng.integers(5, 8))
    turns = 2 * np.pi * np.arange(count) / count
    spots = np.stack([_CENTRE + 66 * np.cos(turns), _CENTRE + 66 * np.sin(turns)], 1)
    for radius, colour in ((46.0, _shade(petal, 0.55)), (41.0, petal)):
        for spot in spots:
            pen.disc(spot, radius, colour)
    pen.disc((_CENTRE, _CENTRE), 40, _shade((40, 190, 240), 0.6))
    pen.disc((_CENTRE, _CENTRE), 35, (60, 200, 245))
    return Sprite(pen.canvas, np.array([(_CENTRE, _CENTRE)]))


Draw = Callable[[Rng], Sprite]
SHAPES: dict[str, Draw] = {
    shape.__name__: shape for shape in (robot, ball, crate, cone, boat, parcel, bus, leaf, cloud, star, flower)
}
