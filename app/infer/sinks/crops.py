"""Each object as a picture of its own, in a folder of its class."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from app.errors import OutputError
from app.infer.frame import Failure, Frame, Kind
from app.infer.records import name_of, track_of
from app.infer.sinks.files import (
    PICTURE_SUFFIXES,
    FreeNames,
    Inputs,
    encoded,
    make_writable,
    picture_suffix,
    safe_name,
    stem_of,
    write_atomically,
)
from app.infer.sinks.limits import Limits, Shelf, StampedNames
from app.types import FloatArray, Image, Result, Task


class Crops:
    """
    Cuts every object's box out of its picture: `car/street-1.jpg`, of a video `car/street-000250-1.jpg`.

    The last number is the object's place in `detections`, counted from 1, or after `t` its track.

    Raises:
        OutputError: the model finds no objects, or the folder cannot be made or written.
    """

    def __init__(
        self,
        folder: Path,
        names: Mapping[int, str],
        task: Task,
        inputs: Iterable[Path] = (),
        limits: Limits | None = None,
    ) -> None:
        if task is Task.CLASSIFY:
            raise OutputError(
                "A model that classifies finds no objects to cut out", hint="Leave --crops out, or take another model."
            )
        make_writable(folder)
        self._folder, self._inputs, self._limits = folder, Inputs(inputs), limits
        self._names, self._shelf = names, Shelf(folder, limits, "*/*", PICTURE_SUFFIXES)
        self._folders: dict[int, Path] = {}
        self._stems = FreeNames(folder, Inputs())
        self._sources: dict[str, tuple[str, int]] = {}  # the stem of each, and its last frame

    def write(self, frame: Frame, result: Result) -> None:
        if result.detections is None:
            return
        stem = self._stem(frame)
        for row, box in enumerate(_whole_pixels(result.detections.xyxy, frame.image)):
            left, top, right, bottom = box
            if left < right and top < bottom:  # a box may lie at the edge, or be thinner than a pixel
                track = track_of(result.detections, row)
                name = f"{stem}-{row + 1 if track is None else f't{track}'}"
                folder = self._folder_of(int(result.detections.class_id[row]))
                self._save(folder, name, frame, frame.image[top:bottom, left:right])

    def fail(self, failure: Failure) -> None:
        return None

    def close(self) -> None:
        return None

    def _save(self, folder: Path, name: str, frame: Frame, crop: Image) -> None:
        suffix = picture_suffix(frame, crop)
        if self._limits is not None:
            target = StampedNames(folder).take(name, suffix)
        else:
            target = folder / f"{name}{suffix}"
            while self._inputs.hold(target):
                target = target.with_name(f"{target.stem}-crop{suffix}")
        write_atomically(target, encoded(crop, suffix))
        self._shelf.add(target)

    def _stem(self, frame: Frame) -> str:
        """Of its own for each source, and for each picture that comes twice."""
        stem, last = self._sources.get(frame.source, ("", frame.index))
        if frame.index <= last:
            stem = self._stems.take(stem_of(frame), "").name
        self._sources[frame.source] = (stem, frame.index)
        return stem if frame.kind is Kind.PICTURE else f"{stem}-{frame.index:06}"

    def _folder_of(self, class_id: int) -> Path:
        """Made when the first object of its class is found."""
        if class_id not in self._folders:
            name = safe_name(name_of(class_id, self._names)) or str(class_id)
            taken = {folder.name.casefold() for folder in self._folders.values()}
            self._folders[class_id] = self._folder / (f"{name}-{class_id}" if name.casefold() in taken else name)
            make_writable(self._folders[class_id])
        return self._folders[class_id]


def _whole_pixels(xyxy: FloatArray, image: Image) -> list[list[int]]:
    """Every pixel that a box touches, within the picture."""
    height, width = image.shape[:2]
    finite = np.nan_to_num(xyxy, nan=0.0, posinf=0.0, neginf=0.0)
    low = np.clip(np.floor(finite[:, :2]), 0, (width, height))
    high = np.clip(np.ceil(finite[:, 2:]), 0, (width, height))
    boxes: list[list[int]] = np.concatenate([low, high], axis=1).astype(int).tolist()
    return boxes
