"""
The way of a frame through the GPU: records and pixels up, prepare, network, find, suppress, masks, answers down.

All of it is one CUDA graph; where that is refused, the same work is queued piece by piece.
"""

from collections.abc import Callable

from app.infer.gpu.workspace import Plan, Workspace
from app.progress import Reporter
from app.runtime.base import DeviceRunner
from app.runtime.cuda import Kernels
from app.runtime.graph import CaptureRefused, Graph, Marks, capture
from app.runtime.ranges import stage
from app.types import Task

_UPLOAD_THREADS = 384
_LETTERBOX_THREADS, _LETTERBOX_PIXELS = 160, 640  # a block's; as in preprocess.cuh
_THREADS = 128
_ANCHORS, _DECODE_THREADS = 32, 256
_RANK_THREADS = 256
_SUPPRESS_THREADS = 1024
_MASK_THREADS = 256
_MASK_BLOCKS_PER_PROCESSOR = 4
_MOMENTS = 4


class FramePath:
    """Call everything here inside `session.current()`."""

    def __init__(
        self, runner: DeviceRunner, kernels: Kernels, plan: Plan, workspace: Workspace, reporter: Reporter
    ) -> None:
        self._runner, self._kernels, self._plan, self._workspace = runner, kernels, plan, workspace
        self._session = runner.session
        self._marks: Marks | None = None
        self._graph: Graph | None = None
        self._enqueue(None)  # once without: libraries make what they need at their first run
        self._session.synchronize()
        try:
            self._marks = self._tried_marks()
            self._capture(self._marks)
        except CaptureRefused as error:
            reporter.warn(f"Frames run without a CUDA graph, a little slower: {error.message}. {error.hint}".rstrip())

    @property
    def captured(self) -> bool:
        return self._graph is not None

    def launch(self) -> None:
        """Queue the work on the frames that the workspace names."""
        with stage("launch"):
            if self._graph is None:
                self._enqueue(self._mark)
            else:
                self._graph.launch()

    def masks_again(self) -> None:
        """Queue the masks alone, after they were given more room."""
        self._workspace.send_frames()
        self._masks()

    def stages_ms(self) -> tuple[float, float, float]:
        """What the last frames took on the GPU: upload and preparation, network, the rest; zeros where unknown."""
        if self._marks is None:
            return 0.0, 0.0, 0.0
        before, network, after = self._marks.elapsed_ms()
        return before, network, after

    def _tried_marks(self) -> Marks:
        marks = Marks(self._session, _MOMENTS)
        for index in range(_MOMENTS):
            marks.mark(index, captured=False)
        self._session.synchronize()
        marks.elapsed_ms()  # a driver that lacks what this needs says so now, and not at the first frame
        return marks

    def _capture(self, marks: Marks) -> None:
        if not self._runner.capturable:
            raise CaptureRefused("the DLA's work cannot be captured")
        self._graph = capture(self._session, lambda: self._enqueue(lambda index: marks.mark(index, captured=True)))

    def _mark(self, index: int) -> None:
        if self._marks is not None:
            self._marks.mark(index, captured=False)

    def _enqueue(self, mark: Callable[[int], None] | None) -> None:
        steps = (self._prepare, self._runner.enqueue, self._find)
        for index, (name, step) in enumerate(zip(("prepare", "network", "find"), steps, strict=True)):
            if mark is not None:
                mark(index)
            with stage(name):
                step()
        if mark is not None:
            mark(_MOMENTS - 1)

    def _prepare(self) -> None:
        height, width = self._plan.input_hw
        self._workspace.send_frames()
        if not self._session.mapped:
            self._launch("upload", height, _UPLOAD_THREADS)
        if self._plan.task is Task.CLASSIFY:
            self._launch("crop_weights", _blocks(height + width, _THREADS), _THREADS)
            self._launch("crop", _blocks(height * width, _THREADS), _THREADS)
        else:
            self._launch("letterbox", _blocks(width, _LETTERBOX_PIXELS), _LETTERBOX_THREADS, rows=height)

    def _find(self) -> None:
        plan = self._plan
        if plan.task is Task.CLASSIFY:
            self._launch("scores", _blocks(plan.layout.classes, _THREADS), _THREADS)
            return
        if plan.raw:
            self._launch("decode_raw", _blocks(plan.rows, _ANCHORS), _DECODE_THREADS)
        else:
            self._launch("decode_rows", _blocks(plan.rows, _THREADS), _THREADS)
        self._launch("rank", _blocks(plan.rows, _RANK_THREADS), _RANK_THREADS)
        if plan.raw and plan.task is Task.OBB:
            self._launch("rotated_overlaps", _blocks(plan.rows, _THREADS), _THREADS)
        self._launch("suppress", 1, _SUPPRESS_THREADS)
        if plan.task is Task.SEGMENT:
            self._launch("mask_logits", self._mask_blocks, _MASK_THREADS)
            self._masks()

    def _masks(self) -> None:
        self._launch("masks", self._mask_blocks, _MASK_THREADS)

    @property
    def _mask_blocks(self) -> int:
        return _MASK_BLOCKS_PER_PROCESSOR * self._session.multiprocessors

    def _launch(self, name: str, blocks: int, threads: int, *, rows: int = 1) -> None:
        self._kernels.launch(name, (blocks, rows, self._plan.batch), threads, self._workspace.job)


def _blocks(items: int, each: int) -> int:
    return -(-items // each)
