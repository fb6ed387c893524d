"""A model whose frames stay on the GPU from upload to detections: `app.vision.model.Model`, only faster."""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from struct import Struct
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from app.infer.frame import Nv12, Pixels
from app.infer.gpu import layout
from app.infer.gpu.frame_path import FramePath
from app.infer.gpu.frames import FrameBuffers, check_frame
from app.infer.gpu.geometry import filter_taps, frame_record
from app.infer.gpu.kernels import load_kernels
from app.infer.gpu.results import detections_of
from app.infer.gpu.workspace import Workspace, plan_of
from app.metadata import ModelMetadata
from app.progress import Reporter
from app.runtime.base import DeviceRunner
from app.runtime.cuda import cuda_errors_as_ours
from app.runtime.ranges import stage
from app.types import Result, Speed, Task
from app.vision.decode import Thresholds

_SIZES_KEPT = 64
_FIRST_MASK_UNITS = 1 << 16  # of 16 bytes: 1 MiB
_AROUND = 64  # bytes more than a frame, so that whole words around it may be read
_ADDRESSES, _ROOM = Struct("=4Q2q"), Struct("=Qq")  # of a frame's record; the rest hangs on its size alone
_FIXED = _ADDRESSES.size + _ROOM.size
_Reachable = tuple[npt.NDArray[np.uint8], int]


class GpuModel:
    """
    Runs frames through an engine. One call at a time, from any thread.

    Args:
        runner: entered by the caller, who also leaves it; with it goes all that this model has on the GPU.
        store: the folder of engines, whose cache keeps compiled kernels.

    Raises:
        BackendUnavailable, EngineError: the kernels cannot be had, or the GPU refuses them.
        ModelError: the engine's tensors are of no layout that jetsmith knows.
    """

    takes_nv12 = True

    def __init__(self, runner: DeviceRunner, thresholds: Thresholds, store: Path, reporter: Reporter) -> None:
        self._runner, self._session = runner, runner.session
        self._plan = plan_of(runner)
        with self._session.current(), ExitStack() as undo, cuda_errors_as_ours("preparing the GPU for frames"):
            undo.callback(self._session.free_allocations)  # the CPU path that runs instead has no use for them
            kernels = load_kernels(self._session, store, reporter)
            undo.callback(kernels.close)  # the error that is under way holds on to them
            self._workspace = Workspace(self._session, self._plan, thresholds, runner.keep_on_gpu())
            self.frame_buffers = FrameBuffers(self._session)
            self._path = FramePath(runner, kernels, self._plan, self._workspace, reporter)
            undo.pop_all()
        self._record = lru_cache(_SIZES_KEPT)(self._new_record)
        self._mask_units = [_FIRST_MASK_UNITS] * self._plan.batch
        self._frames = self._workspace.frames.view(np.uint8).data

    @property
    def metadata(self) -> ModelMetadata:
        return self._runner.metadata

    @property
    def captured(self) -> bool:
        """Whether a frame's work is one CUDA graph."""
        return self._path.captured

    def prepare(self, frame: Pixels) -> Pixels:
        """The frame where the GPU reads it itself, for `predict`: copied there in the thread that reads it."""
        check_frame(frame)
        if isinstance(frame, Nv12):
            y, uv = (self._reachable(plane)[0] for plane in (frame.y, frame.uv))
            return frame if y is frame.y and uv is frame.uv else Nv12(y, uv)
        return self._reachable(frame)[0]

    def predict(self, frame: Pixels) -> Result:
        """
        Raises:
            SourceError: it is neither BGR bytes (height, width, 3) nor NV12.
        """
        return self.predict_batch([frame])[0]

    def predict_batch(self, frames: Sequence[Pixels]) -> list[Result]:
        """As `predict`, for any number of frames: as many at once as the engine takes."""
        for frame in frames:
            check_frame(frame)
        size = self._plan.batch
        results: list[Result] = []
        for start in range(0, len(frames), size):
            results += self._run(frames[start : start + size])
        return results

    def _run(self, frames: Sequence[Pixels]) -> list[Result]:
        start = perf_counter()
        with stage("frame"), cuda_errors_as_ours("running frames"), self._session.current():
            held = [self._place(slot, frame) for slot, frame in enumerate(frames)]
            self._workspace.frames["used"][len(frames) :] = 0
            masks = [self._give_room(slot, frame) for slot, frame in enumerate(frames)]
            launched = perf_counter()
            self._path.launch()
            with stage("wait"):
                self._session.synchronize()
            del held  # the GPU has read what was copied for it
            self._grow_masks(masks)
            done = perf_counter()
            stages = self._path.stages_ms()
        with stage("results"):
            found = [self._result(slot, frame, masks[slot]) for slot, frame in enumerate(frames)]
        speed = _speed(stages, launched - start, done - launched, perf_counter() - done, len(frames))
        return [Result(self._plan.task, shape, speed, *answer) for shape, answer in found]

    def _place(self, slot: int, frame: Pixels) -> Sequence[npt.NDArray[Any]]:
        """Tell the GPU of a frame; returns what must live until it has been read."""
        with stage("place"):
            planes = (frame.y, frame.uv) if isinstance(frame, Nv12) else (frame,)
            here = [self._reachable(plane) for plane in planes]
            there = here if self._session.mapped else self._near(slot, here)
            (plane, pixels), (_, near_pixels) = here[0], there[0]
            chroma, pitch = (here[1][1], here[1][0].strides[0]) if len(here) == 2 else (0, 0)
            near_chroma = there[1][1] if len(there) == 2 else 0
            start = slot * layout.FRAME.itemsize
            addresses = (pixels, chroma, near_pixels, near_chroma, plane.strides[0], pitch)
            _ADDRESSES.pack_into(self._frames, start, *addresses)
            self._frames[start + _FIXED : start + layout.FRAME.itemsize] = self._record(frame.shape[:2])
            return [array for array, _ in here]

    def _reachable(self, plane: npt.NDArray[np.uint8]) -> _Reachable:
        """The plane and where the GPU reads it: itself where that can be, else a copy."""
        address = self.frame_buffers.address_of(plane)
        if address is not None and _lies_in_rows(plane):
            return plane, address
        copy = self.frame_buffers.take(plane.shape)
        np.copyto(copy, plane)
        return copy, self.frame_buffers.address_of(copy) or 0

    def _near(self, slot: int, here: Sequence[_Reachable]) -> list[_Reachable]:
        """Places in the GPU's own memory, each within its word of 16 bytes as on the host."""
        sizes = [-(-(plane.strides[0] * plane.shape[0]) // _AROUND) * _AROUND + _AROUND for plane, _ in here]
        place = self._workspace.near.room(slot, sum(sizes))
        places = []
        for (plane, address), size in zip(here, sizes, strict=True):
            places.append((plane, place + address % layout.MASK_UNIT))
            place += size
        return places

    def _new_record(self, frame_hw: tuple[int, int]) -> bytes:
        return frame_record(frame_hw, self._plan.input_hw, self._plan.task, self._plan.proto_hw).tobytes()[_FIXED:]

    def _give_room(self, slot: int, frame: Pixels) -> npt.NDArray[np.uint8] | None:
        """Where the kernels may write what hangs on the frame: masks, or the weights of a filter."""
        if self._plan.task is Task.SEGMENT:
            return self._give_mask_room(slot)
        if self._plan.task is Task.CLASSIFY:
            taps = filter_taps(frame.shape[:2], self._plan.input_hw)
            room = self._workspace.filters.room(slot, 4 * taps * sum(self._plan.input_hw))
            _ROOM.pack_into(self._frames, slot * layout.FRAME.itemsize + _ADDRESSES.size, room, taps)
        return None

    def _give_mask_room(self, slot: int) -> npt.NDArray[np.uint8]:
        units = self._mask_units[slot]
        masks = self.frame_buffers.take((units * layout.MASK_UNIT,))
        start = slot * layout.FRAME.itemsize + _ADDRESSES.size
        _ROOM.pack_into(self._frames, start, self.frame_buffers.address_of(masks) or 0, units)
        return masks

    def _grow_masks(self, masks: list[npt.NDArray[np.uint8] | None]) -> None:
        """Where a frame's masks found too little room, they are made once more."""
        if self._plan.task is not Task.SEGMENT:
            return
        short = [slot for slot in range(len(masks)) if self._units_needed(slot) > self._mask_units[slot]]
        if not short:
            return
        for slot in short:
            self._mask_units[slot] = self._units_needed(slot) * 5 // 4
            masks[slot] = self._give_mask_room(slot)
        self._path.masks_again()
        self._session.synchronize()

    def _units_needed(self, slot: int) -> int:
        return int(self._records(slot)[0, 1])

    def _records(self, slot: int) -> npt.NDArray[np.int32]:
        words, rows = self._plan.record_words, self._workspace.limit + 1
        start = slot * words * rows
        return self._workspace.records[start : start + words * rows].reshape(rows, words)

    def _result(self, slot: int, frame: Pixels, masks: npt.NDArray[np.uint8] | None) -> Any:
        shape = (frame.shape[0], frame.shape[1])
        if self._plan.task is Task.CLASSIFY:
            classes = self._plan.layout.classes
            probs = self._workspace.records[slot * classes : (slot + 1) * classes].view(np.float32).copy()
            return shape, (None, probs)
        return shape, (detections_of(self._records(slot), self._plan, masks), None)


def _lies_in_rows(plane: npt.NDArray[np.uint8]) -> bool:
    """Whether its bytes follow each other within each row, and the rows one another."""
    inner = plane.shape[2:]
    within = (*inner, 1) if inner else (1,)
    return plane.strides[1:] == within and plane.strides[0] >= plane.shape[1] * plane.strides[1]


def _speed(stages: tuple[float, float, float], place_s: float, gpu_s: float, read_s: float, frames: int) -> Speed:
    """The stages by the GPU's own clock, with the host's work where it belongs; unmeasured, all counts as inference."""
    before, network, after = stages
    network = network if any(stages) else gpu_s * 1e3
    return Speed((place_s * 1e3 + before) / frames, network / frames, (after + read_s * 1e3) / frames)
