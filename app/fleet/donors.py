"""Who has an engine that others may take a copy of, in one run."""

import threading
from dataclasses import dataclass

from app.fleet.base import LABEL_WORK, BoardFacts, Observed, Slot, Target

_Kind = tuple[str, str, str]


@dataclass(frozen=True)
class Donor:
    name: str
    address: str


class Donors:
    """Which devices of this run have an engine that was built and tried; asked and told from every device's thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[_Kind, Donor] = {}

    def tell(self, target: Target, seen: Observed) -> None:
        """That this device has been looked at."""
        if seen.board is None or seen.engine is None or not _has_tried(target, seen, seen.engine.sha256):
            return
        with self._lock:
            self._known.setdefault(_kind(target, seen.board), Donor(target.device.name, target.device.address))

    def find(self, target: Target, board: BoardFacts) -> Donor | None:
        with self._lock:
            donor = self._known.get(_kind(target, board))
        return None if donor is None or donor.address == target.device.address else donor


def _kind(target: Target, board: BoardFacts) -> _Kind:
    return target.work, board.l4t, board.module


def _has_tried(target: Target, seen: Observed, engine: str) -> bool:
    converted, tried = seen.containers.get(Slot.CONVERTER), seen.containers.get(Slot.VERIFIER)
    return (
        converted is not None
        and tried is not None
        and converted.is_success
        and tried.is_success
        and converted.label(LABEL_WORK) == target.work
        and tried.label(LABEL_WORK) == target.proof(engine)
    )
