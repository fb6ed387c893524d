"""Frames as sources give them to the GPU: BGR or NV12, best in page-locked memory, where the GPU reads them itself."""

import math
from collections import deque
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from app.errors import SourceError
from app.infer.frame import Nv12, Pixels
from app.runtime.cuda import CudaSession, HostMemory
from app.vision.preprocess import check_picture

_LEAST_BYTES = 1 << 16
_IDLE_BLOCKS, _IDLE_BYTES = 8, 256 << 20  # page-locked memory is taken from all programs of the board
_SLACK = 32  # the kernels read whole words of 16 bytes


def check_frame(frame: Pixels) -> None:
    """
    Raises:
        SourceError: it is neither BGR bytes nor two planes of NV12 that fit each other.
    """
    if not isinstance(frame, Nv12):
        return check_picture(frame)
    y, uv = frame.y, frame.uv
    fits = y.ndim == 2 and 0 not in y.shape and uv.shape == ((y.shape[0] + 1) // 2, (y.shape[1] + 1) // 2, 2)
    if not fits or y.dtype != np.uint8 or uv.dtype != np.uint8:
        raise SourceError(
            f"A frame of NV12 has bytes (h, w) and (h/2, w/2, 2), but this has {y.shape} of {y.dtype} and "
            f"{uv.shape} of {uv.dtype}",
            hint="Pass the luma and the interleaved chroma plane as the decoder gives them.",
        )
    return None


class _Lease:
    """A block that somebody uses: NumPy keeps it alive as long as any array shows a part of it."""

    def __init__(self, pool: "FrameBuffers", block: HostMemory, nbytes: int) -> None:
        self.pool, self.block = pool, block
        self.gpu_offset = block.address - block.start  # from the host's addresses to the GPU's
        data = (block.start, False)
        self.__array_interface__ = {"shape": (nbytes,), "typestr": "|u1", "data": data, "version": 3}

    def __del__(self) -> None:
        self.pool.returned.append(self.block)


class FrameBuffers:
    """
    Page-locked arrays for frames; what a source writes there, no one has to copy. Any thread may take one.

    An array goes back to the pool by itself, when nobody holds it or a part of it any longer.
    """

    def __init__(self, session: CudaSession) -> None:
        self._session = session
        self._lock = Lock()
        self._idle: list[HostMemory] = []
        self.returned: deque[HostMemory] = deque()  # filled by whatever thread drops the last reference

    def take(self, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
        """An array of bytes, not cleared."""
        nbytes = math.prod(shape)
        with self._lock:
            block = self._block(_rounded(nbytes + _SLACK))
        return np.asarray(_Lease(self, block, nbytes)).reshape(shape)

    def address_of(self, array: npt.NDArray[Any]) -> int | None:
        """Where the GPU finds an array of this pool, or a part of one; None for any other memory."""
        root = array
        while isinstance(root.base, np.ndarray):
            root = root.base
        lease = root.base
        if not isinstance(lease, _Lease) or lease.pool is not self:
            return None
        return int(array.__array_interface__["data"][0] + lease.gpu_offset)

    def _block(self, nbytes: int) -> HostMemory:
        while self.returned:
            self._idle.append(self.returned.popleft())
        for index, block in enumerate(self._idle):
            if block.nbytes == nbytes:
                return self._idle.pop(index)
        with self._session.current():
            self._drop_idle()
            return self._session.host_memory(nbytes)

    def _drop_idle(self) -> None:
        """Sizes that nobody asks for any longer go, the oldest first."""
        while len(self._idle) > _IDLE_BLOCKS or sum(block.nbytes for block in self._idle) > _IDLE_BYTES:
            del self._idle[0]


def _rounded(nbytes: int) -> int:
    """Up to an eighth of its own magnitude, so that frames of nearly one size share blocks."""
    step = max(_LEAST_BYTES, 1 << max(nbytes.bit_length() - 4, 0))
    return -(-nbytes // step) * step
