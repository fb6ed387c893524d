"""Draw a result into its picture, with `supervision`. Lines and letters grow with the picture."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np

from app.errors import OutputError
from app.infer.records import name_of, top_classes, track_of
from app.infer.skeleton import LIMBS
from app.types import Detections, FloatArray, Image, IntArray, Result

_MASK_OPACITY = 0.45
_KEYPOINT_CONFIDENCE = 0.25
"""Points below it are guesses at what is hidden: they would be drawn anywhere."""
_LIGHT = 140


def import_supervision() -> ModuleType:
    """
    Import `supervision`, which takes a second: so only in order to draw.

    Raises:
        OutputError: it is not installed.
    """
    try:
        import supervision
    except ImportError as error:
        raise OutputError(
            f"Annotated pictures need the library supervision: {error}",
            hint="Install it: pip install 'jetsmith[draw]'; or leave --save out.",
        ) from error
    module: ModuleType = supervision
    return module


@dataclass(frozen=True)
class _Pen:
    """How thick and how large, for one picture."""

    line: int
    font: int
    padding: int

    @classmethod
    def for_picture(cls, image: Image) -> "_Pen":
        side = min(image.shape[:2])
        font = int(np.clip(round(side / 45), 11, 200))
        return cls(line=max(1, round(side / 320)), font=font, padding=max(2, font // 4))


class Drawer:
    """Draws results of one model."""

    def __init__(self, names: Mapping[int, str]) -> None:
        self._sv: Any = import_supervision()
        self._names = names
        self._text_colors = self._sv.ColorPalette(
            [self._readable_on(color) for color in self._sv.ColorPalette.DEFAULT.colors]
        )

    def draw(self, image: Image, result: Result) -> Image:
        """A copy of `image` with the result in it."""
        scene = image.copy()
        pen = _Pen.for_picture(scene)
        if result.probs is not None:
            return self._draw_best_class(scene, result.probs, pen)
        if result.detections is None or len(result.detections) == 0:
            return scene
        labels = [self._label_of(result.detections, row) for row in range(len(result.detections))]
        detections = _by_hue(result.detections)
        if detections.masks is not None:
            self._draw_masks(scene, detections, pen)
        scene = self._draw_boxes(scene, detections, pen)
        if detections.keypoints is not None:
            for row in range(len(detections)):
                self._draw_keypoints(scene, detections.keypoints[row], int(detections.class_id[row]), pen)
        # From the last to the first, so that the best labels are on top.
        return self._label(scene, detections.xyxy[::-1], detections.class_id[::-1], labels[::-1], pen)

    def _draw_masks(self, scene: Image, detections: Detections, pen: _Pen) -> None:
        import cv2

        from app.vision.masks import mask_polygons

        # Mask by mask, each within its box: supervision wants a full bitmap an object, 144 MB in a large picture.
        pairs = list(zip(detections.masks or (), detections.class_id, strict=True))
        for mask, class_id in reversed(pairs):  # the best last, on top
            color = self._color(int(class_id))
            height, width = mask.bitmap.shape
            region = scene[mask.y : mask.y + height, mask.x : mask.x + width]
            bitmap = mask.bitmap[: region.shape[0], : region.shape[1]]
            tint = np.array(color, np.float32) * _MASK_OPACITY
            region[bitmap] = (region[bitmap] * (1 - _MASK_OPACITY) + tint).astype(np.uint8)
            cv2.polylines(
                scene,
                [polygon.astype(np.int32) for polygon in mask_polygons(mask)],
                isClosed=True,
                color=color,
                thickness=pen.line,
                lineType=cv2.LINE_AA,
            )

    def _draw_boxes(self, scene: Image, detections: Detections, pen: _Pen) -> Image:
        sv = self._sv
        if detections.xywhr is None:
            drawn = sv.BoxAnnotator(thickness=pen.line).annotate(scene, self._as_supervision(detections))
        else:
            turned = self._as_supervision(detections)
            turned.data["xyxyxyxy"] = corners_of(detections.xywhr)
            drawn = sv.OrientedBoxAnnotator(thickness=pen.line).annotate(scene, turned)
        annotated: Image = drawn
        return annotated

    def _label_of(self, detections: Detections, row: int) -> str:
        track = track_of(detections, row)
        number = "" if track is None else f"#{track} "
        return f"{number}{name_of(int(detections.class_id[row]), self._names)} {detections.confidence[row]:.2f}"

    def _label(self, scene: Image, xyxy: FloatArray, class_id: IntArray, labels: list[str], pen: _Pen) -> Image:
        """Above the upper left corner of each box, but within the picture."""
        # Rich labels are drawn with Pillow: its letters are smooth, and not only ASCII.
        annotator = self._sv.RichLabelAnnotator(
            font_size=pen.font, text_padding=pen.padding, text_color=self._text_colors
        )
        anchors = self._sv.Detections(xyxy=_anchors_within(scene, xyxy, labels, pen), class_id=class_id.astype(int))
        annotated: Image = np.asarray(annotator.annotate(scene, anchors, labels))
        return annotated

    def _draw_keypoints(self, scene: Image, points: FloatArray, class_id: int, pen: _Pen) -> None:
        import cv2

        seen = np.isfinite(points).all(axis=1) & (points[:, 2] >= _KEYPOINT_CONFIDENCE)
        at = [(round(float(x)), round(float(y))) if ok else (0, 0) for (x, y, _), ok in zip(points, seen, strict=True)]
        for limb, (start, end) in enumerate(LIMBS.get(len(points), ())):
            if seen[start] and seen[end]:
                cv2.line(scene, at[start], at[end], self._color(limb), pen.line, cv2.LINE_AA)
        for index in np.flatnonzero(seen):
            cv2.circle(scene, at[index], pen.line + 1, (255, 255, 255), -1, cv2.LINE_AA)
            cv2.circle(scene, at[index], pen.line + 1, self._color(class_id), max(1, pen.line // 2), cv2.LINE_AA)

    def _draw_best_class(self, scene: Image, probs: FloatArray, pen: _Pen) -> Image:
        best = top_classes(probs)[:1]
        labels = [f"{name_of(class_id, self._names)} {probs[class_id]:.2f}" for class_id in best]
        corner = np.full((len(best), 4), pen.padding, np.float32)
        return self._label(scene, corner, np.array(best, np.int64), labels, pen)

    def _color(self, index: int) -> tuple[int, int, int]:
        """BGR, the colour that supervision gives this class."""
        color: tuple[int, int, int] = self._sv.ColorPalette.DEFAULT.by_idx(index).as_bgr()
        return color

    def _readable_on(self, color: Any) -> Any:
        """Black on light colours, white on dark ones. Luma: ITU-R BT.601."""
        luma = 0.299 * color.r + 0.587 * color.g + 0.114 * color.b
        return self._sv.Color.BLACK if luma > _LIGHT else self._sv.Color.WHITE

    def _as_supervision(self, detections: Detections) -> Any:
        return self._sv.Detections(
            xyxy=detections.xyxy.astype(np.float32),
            confidence=detections.confidence,
            class_id=detections.class_id.astype(int),
        )


def _by_hue(detections: Detections) -> Detections:
    """With the number that chooses the colour for its class: an object that is followed keeps its own colour."""
    if detections.track_id is None:
        return detections
    hue = np.where(detections.track_id < 0, detections.class_id, detections.track_id)
    return replace(detections, class_id=hue)


def _anchors_within(scene: Image, xyxy: FloatArray, labels: list[str], pen: _Pen) -> FloatArray:
    """Boxes moved so far that their labels, which stand on the upper left corner, are not cut off."""
    from PIL import ImageFont

    font = ImageFont.load_default(pen.font)
    widths = np.array([font.getbbox(label)[2] + 2 * pen.padding for label in labels], np.float32)
    heights = np.array([np.ptp(font.getbbox(label)[1::2]) + 2 * pen.padding for label in labels], np.float32)
    left = np.clip(xyxy[:, 0], 0, np.maximum(0, scene.shape[1] - widths))
    top = np.clip(xyxy[:, 1], heights, np.maximum(heights, scene.shape[0]))
    return np.stack([left, top, left + 1, top + 1], axis=1).astype(np.float32)


def corners_of(xywhr: FloatArray) -> FloatArray:
    """(n, 5) centre, width, height, angle in radians → (n, 4, 2) corners in order around the box."""
    centre, size, angle = xywhr[:, None, :2], xywhr[:, None, 2:4], xywhr[:, 4]
    unit = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]], np.float32) / 2
    offset = unit[None] * size
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    x = offset[..., 0] * cos - offset[..., 1] * sin
    y = offset[..., 0] * sin + offset[..., 1] * cos
    corners: FloatArray = (centre + np.stack([x, y], axis=-1)).astype(np.float32)
    return corners
