"""The protocol that a device's Docker speaks, and its double in the tests."""

from typing import Protocol

from app.fleet.base import BoardFacts, File, Holder, Image, Observed, Slot, Target


class Watch(Protocol):
    """One step under way, seen from above."""

    def update(self, message: str, percent: float | None = None) -> None: ...

    def remaining_s(self) -> float:
        """
        Above zero. To be called before each request and at least every ten seconds: it keeps the lock, too.

        Raises:
            FleetError: the step's or the device's time is over, the run was stopped, or the lock was lost.
        """


class Host(Protocol):
    """
    One device. Every method may be called again after it, or the whole program, was ended at any point.

    Raises:
        FleetError: from every method but `observe` and `close`; no foreign error passes.
    """

    def observe(self, watch: Watch) -> Observed:
        """Look; nothing is changed. A device that cannot be reached is told in `error`."""

    def lock(self, holder: Holder, watch: Watch) -> None:
        """Take or prolong the device, or say who holds it."""

    def unlock(self, holder: Holder) -> None: ...

    def load_image(self, image: Image, watch: Watch) -> None: ...

    def probe(self, target: Target, watch: Watch) -> BoardFacts: ...

    def put_file(self, file: File, watch: Watch) -> None: ...

    def convert(self, target: Target, watch: Watch) -> None:
        """Begin it, or follow the one that is under way for the same `target.work`."""

    def verify(self, target: Target, watch: Watch) -> None:
        """Load and try the engine with the new image, in a container of its own."""

    def stop_infer(self, watch: Watch) -> None: ...

    def start_next(self, target: Target, watch: Watch) -> None:
        """Have `Slot.NEXT` running as `target` says; one that is otherwise is removed. The current one goes on."""

    def start_previous(self, watch: Watch) -> None:
        """Have the infer that ran before running as `Slot.NEXT`, under that name. The current one goes on."""

    def switch(self, watch: Watch) -> None:
        """
        Stop the current infer; once the next one is healthy, give it the name.

        If it fails, the caller has `restore` done.

        Where there is no next one, wait until the current one is healthy.
        """

    def restore(self, watch: Watch) -> None:
        """
        Have the current infer running and no next one, in this order.

        Where there is a next one alone, it takes the name. One that is older than the current one came from
        `start_previous`, and becomes the previous one again: it is the way back.
        """

    def logs(self, slot: Slot, lines: int) -> str: ...

    def close(self) -> None: ...
