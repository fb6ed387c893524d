"""What keeps a device from being served, told before anything on it is changed: pure."""

from collections.abc import Iterator
from typing import NamedTuple

from app.board import jetpack_major, jetpack_of
from app.fleet.base import LABEL, Observed, Role, Target

MAX_CLOCK_OFF_S = 300.0  # beyond it, TLS and the ages of engines go wrong
MIN_DISK_BYTES = 4 << 30  # an engine, its workspace, and room for logs
PRUNE = (  # without --all it would leave them, as they have tags
    "docker image prune --all --filter label=org.opencontainers.image.title=jetsmith-infer (and the same with "
    "jetsmith-converter) removes versions that no container needs"
)
_GIB = 1 << 30


class Problem(NamedTuple):
    what: str
    remedy: str


def unfit(target: Target, seen: Observed) -> Problem | None:
    """The first thing that has to be mended by hand."""
    if not seen.is_reachable:
        return Problem(seen.error, seen.hint)
    return next(_problems(target, seen), None)


def _problems(target: Target, seen: Observed) -> Iterator[Problem]:
    ours = target.specs[Role.INFER].arguments.get("labels", {}).get(LABEL, "")
    theirs = {one.label(LABEL) for one in seen.containers.values()} - {ours, ""}
    if ours and theirs:
        other = min(theirs)
        yield Problem(
            f"it belongs to the fleet {other}, not to {ours}",
            f"Write fleet: {other} into the fleet file, or first remove from the device what that fleet made (README).",
        )
    if target.runtime and target.runtime not in seen.runtimes:
        yield Problem(
            f"Docker there knows no runtime {target.runtime} (it knows {', '.join(seen.runtimes) or 'none'})",
            "On the device: sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker",
        )
    if abs(seen.clock_off_s) > MAX_CLOCK_OFF_S:
        way = "behind" if seen.clock_off_s < 0 else "ahead"
        yield Problem(
            f"its clock is {abs(seen.clock_off_s):.0f} s {way} of this machine's",
            "On the device: sudo timedatectl set-ntp true, or set the time by hand.",
        )
    yield from _of_the_board(target, seen)


def _of_the_board(target: Target, seen: Observed) -> Iterator[Problem]:
    if seen.board is None:
        return
    jetpack = jetpack_major(seen.board.l4t)
    if target.jetpack is not None and jetpack is not None and jetpack != target.jetpack:
        yield Problem(
            f"it has JetPack {jetpack_of(seen.board.l4t)}, and {target.device.preset} is for JetPack {target.jetpack}",
            f"Give it the preset jetpack{jetpack} in the fleet file (line {target.device.line}).",
        )
    missing = any(target.images[role].digest not in seen.images for role in Role)
    if missing and seen.board.free_disk_bytes < MIN_DISK_BYTES:
        yield Problem(
            f"{seen.board.free_disk_bytes / _GIB:.1f} GiB of disk are free, {MIN_DISK_BYTES // _GIB} are needed",
            f"On the device: {PRUNE}.",
        )
