"""A pen that draws with soft edges on a transparent canvas."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

CANVAS = 256
"""Side of a canvas in pixels."""

Colour = tuple[int, int, int]
"""Blue, green, red."""
Points = npt.NDArray[np.float64]


class Pen:
    """Draws with soft edges: the canvas starts as zeros, so colours come out multiplied by their alpha."""

    def __init__(self) -> None:
        self.canvas = np.zeros((CANVAS, CANVAS, 4), np.uint8)

    def polygon(self, points: Any, colour: Colour) -> None:
        cv2.fillPoly(self.canvas, [_fixed(points)], (*colour, 255), cv2.LINE_AA, _SHIFT)

    def stroke(self, points: Any, colour: Colour, width: int) -> None:
        cv2.polylines(self.canvas, [_fixed(points)], False, (*colour, 255), width, cv2.LINE_AA, _SHIFT)

    def disc(self, centre: Sequence[float], radius: float, colour: Colour) -> None:
        self.polygon(_ellipse(centre, radius, radius), colour)

    def rounded(self, box: Sequence[float], radius: float, colour: Colour) -> None:
        self.polygon(_rounded(box, radius), colour)


_SHIFT = 4  # sixteenths of a pixel


def _fixed(points: Any) -> npt.NDArray[np.int32]:
    return np.round(np.asarray(points, float) * (1 << _SHIFT)).astype(np.int32)


def _ellipse(centre: Sequence[float], rx: float, ry: float, steps: int = 48) -> Points:
    turn = np.linspace(0, 2 * np.pi, steps, endpoint=False)
    return np.stack([centre[0] + rx * np.cos(turn), centre[1] + ry * np.sin(turn)], axis=1)


def _rounded(box: Sequence[float], radius: float) -> Points:
    left, top, right, bottom = box
    quarter = np.linspace(0, np.pi / 2, 8)
    corners = [(right - radius, bottom - radius), (left + radius, bottom - radius)]
    corners += [(left + radius, top + radius), (right - radius, top + radius)]
    arcs = [
        np.stack([x + radius * np.cos(quarter + i * np.pi / 2), y + radius * np.sin(quarter + i * np.pi / 2)], 1)
        for i, (x, y) in enumerate(corners)
    ]
    return np.concatenate(arcs)
