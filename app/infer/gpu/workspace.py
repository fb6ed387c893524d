"""The GPU's memory that the kernels work in, made once for a model, and the structure that tells them of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.errors import ModelError
from app.infer.gpu import layout
from app.metadata import ModelMetadata
from app.runtime.base import DeviceRunner
from app.runtime.cuda import CudaSession
from app.types import Head, Task, TensorSpec
from app.vision.decode import Thresholds
from app.vision.layouts import Layout, recognise
from app.vision.model import input_buffer


@dataclass(frozen=True)
class Plan:
    """What a model is to the kernels: its tensors by their part, and how its answers are laid out."""

    metadata: ModelMetadata
    input: TensorSpec
    predictions: TensorSpec
    prototypes: TensorSpec | None
    layout: Layout

    @property
    def task(self) -> Task:
        return self.metadata.task

    @property
    def batch(self) -> int:
        return self.input.shape[0]

    @property
    def input_hw(self) -> tuple[int, int]:
        return self.input.shape[2], self.input.shape[3]

    @property
    def proto_hw(self) -> tuple[int, int] | None:
        return None if self.prototypes is None else (self.prototypes.shape[2], self.prototypes.shape[3])

    @property
    def raw(self) -> bool:
        return self.layout.head is Head.RAW

    @property
    def rows(self) -> int:
        """Anchors of a raw head, objects of one that suppresses."""
        if self.task is Task.CLASSIFY:
            return 1
        return self.predictions.shape[2 if self.raw else 1]

    @property
    def record_words(self) -> int:
        """Of 4 bytes, that one object takes when it comes back."""
        if self.task is Task.CLASSIFY:
            return self.layout.classes
        keypoints = self.layout.keypoints
        more = {Task.SEGMENT: layout.MASK_WORDS, Task.OBB: layout.ROTATED_WORDS, Task.DETECT: 0}
        return layout.FIXED_WORDS + (more[self.task] if keypoints is None else 3 * keypoints[0])


def plan_of(runner: DeviceRunner) -> Plan:
    """
    Raises:
        ModelError: the model's tensors are of no layout that jetsmith knows, or of a type that the kernels do not read.
    """
    input_buffer(runner)
    (entry,) = runner.inputs
    stand_ins = {spec.name: np.broadcast_to(np.zeros((), spec.dtype), spec.shape) for spec in runner.outputs}
    known = recognise(stand_ins, runner.metadata)
    by_rank = {len(spec.shape): spec for spec in runner.outputs}
    predictions = by_rank[known.predictions.ndim]
    prototypes = None if known.prototypes is None else by_rank[known.prototypes.ndim]
    for spec in (predictions, prototypes):
        if spec is None:
            continue
        if spec.dtype not in (np.float32, np.float16) or spec.shape[0] < entry.shape[0]:
            raise ModelError(
                f"The output {spec.name!r} is {spec.shape} of {spec.dtype}; the GPU's kernels read float32 and "
                f"float16, for a batch of {entry.shape[0]}"
            )
    return Plan(runner.metadata, entry, predictions, prototypes, known.layout)


class Workspace:
    """Call everything here inside `session.current()`."""

    def __init__(self, session: CudaSession, plan: Plan, thresholds: Thresholds, addresses: Mapping[str, int]) -> None:
        self._session = session
        self.limit = min(thresholds.max_detections, plan.rows)
        batch = plan.batch
        self._frames = session.host_memory(batch * layout.FRAME.itemsize)
        self._records = session.host_memory(4 * batch * (self.limit + 1) * plan.record_words)
        self.records = self._records.bytes.view(np.int32)
        """What came back, as words; the kernels write here."""
        self.frames = self._frames.bytes.view(layout.FRAME)
        self.frames.view(np.uint8).fill(0)
        self.frames_on_gpu = session.allocate(self.frames.nbytes)
        self.near = _Rooms(session, batch)
        """Each slot's frame in the GPU's own memory."""
        self.filters = _Rooms(session, batch)
        """Each slot's weights of rows and columns, where pictures are classified."""
        self.job = self._job(plan, thresholds, addresses)

    def send_frames(self) -> None:
        """Queue the copy of the frames' records to the GPU."""
        self._session.copy_to(self.frames_on_gpu, self.frames)

    def _job(self, plan: Plan, thresholds: Thresholds, addresses: Mapping[str, int]) -> bytes:
        job: Any = np.zeros(1, layout.JOB)[0]
        self._fill_shapes(job, plan)
        job["confidence"], job["iou"] = thresholds.confidence, thresholds.iou
        job["reach"] = rotated_reach(thresholds.iou)
        job["frames"], job["records"] = self.frames_on_gpu, self._records.address
        job["input"], job["predictions"] = addresses[plan.input.name], addresses[plan.predictions.name]
        if plan.prototypes is not None:
            job["prototypes"] = addresses[plan.prototypes.name]
        if thresholds.classes is not None:
            job["wanted"] = self._wanted(plan.layout.classes, thresholds.classes)
        for name, nbytes in self._rooms(plan).items():
            job[name] = self._session.allocate(plan.batch * nbytes)
        return bytes(job.tobytes())

    def _fill_shapes(self, job: Any, plan: Plan) -> None:
        job["batch"], (job["input_height"], job["input_width"]) = plan.batch, plan.input_hw
        job["input_is_half"] = plan.input.dtype == np.float16
        job["predictions_are_half"] = plan.predictions.dtype == np.float16
        job["task"], job["head"] = layout.TASKS[plan.task], layout.RAW if plan.raw else layout.SUPPRESSED
        job["rows"], job["classes"], job["extra"] = plan.rows, plan.layout.classes, plan.layout.extra
        job["keypoint_values"] = 0 if plan.layout.keypoints is None else plan.layout.keypoints[1]
        job["limit"], job["record_words"] = self.limit, plan.record_words
        if plan.prototypes is not None:
            job["prototypes_are_half"] = plan.prototypes.dtype == np.float16
            job["channels"], job["proto_height"], job["proto_width"] = plan.prototypes.shape[1:]

    def _rooms(self, plan: Plan) -> dict[str, int]:
        """Bytes a frame of each array that only the kernels use."""
        rooms = {"states": layout.STATE.itemsize}
        if plan.task is Task.CLASSIFY:
            return rooms
        rooms |= {"keys": 8 * plan.rows, "kept": 4 * self.limit, "kept_boxes": layout.BOX.itemsize * self.limit}
        rooms |= {"found": layout.CANDIDATE.itemsize * plan.rows, "sorted": layout.CANDIDATE.itemsize * plan.rows}
        if plan.task is Task.OBB:
            rooms |= {"gaussians": layout.GAUSSIAN.itemsize * plan.rows, "dead": 4 * plan.rows}
        if plan.proto_hw is not None:
            samples = plan.proto_hw[0] * plan.proto_hw[1]
            rooms |= {"objects": layout.OBJECT.itemsize * self.limit, "logits": 4 * samples * self.limit}
        return rooms

    def _wanted(self, classes: int, wanted: tuple[int, ...]) -> int:
        flags = self._session.host_memory(classes)
        shown = flags.bytes
        shown[:] = 0
        shown[[class_id for class_id in wanted if 0 <= class_id < classes]] = 1
        address = self._session.allocate(classes)
        self._session.copy_to(address, shown)
        self._session.synchronize()
        return address


class _Rooms:
    """Memory of the GPU for each slot, which grows with the frames."""

    def __init__(self, session: CudaSession, batch: int) -> None:
        self._session = session
        self._rooms: list[tuple[int, int]] = [(0, 0)] * batch  # address, bytes

    def room(self, slot: int, nbytes: int) -> int:
        address, there = self._rooms[slot]
        if there < nbytes:
            if address:
                self._session.free(address)
                self._rooms[slot] = 0, 0  # what follows may fail
            address = self._session.allocate(nbytes)
            self._rooms[slot] = address, nbytes
        return address


def rotated_reach(iou: float) -> float:
    """How far two rotated boxes may be apart and still overlap by more than `iou`: see app/vision/nms.py."""
    return float(np.float32(2 * max(-np.log(1 - (1 - iou) ** 2 + 1e-7), 1e-5) / 3))
