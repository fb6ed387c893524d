"""An engine that lies is worse than none: compare it with the FP32 graph before anybody may use it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.convert.child import run_child
from app.errors import AccuracyLost, VerificationFailed
from app.progress import Reporter
from app.types import Backend, Precision


@dataclass(frozen=True)
class VerifyOptions:
    backend: Backend
    precision: Precision  # what the engine computes in: it decides the limits
    pictures: tuple[Path, ...]
    labelled: bool = False  # the user's own pictures: what labels they have are for this model


def verify_engine(
    engine: Path, reference: Path, options: VerifyOptions, work: Path, reporter: Reporter
) -> dict[str, Any]:
    """
    Run both on real pictures, in a child process, and return the figures.

    The child is also the engine's first load: a foreign engine can end the process that loads it.

    Raises:
        AccuracyLost: the engine differs by more than its precision explains.
        VerificationFailed: its process died, or there is nothing to verify it with.
    """
    if not options.pictures:
        raise VerificationFailed(
            "There is no picture to verify the engine with",
            hint="Set calibration.images to pictures of your own, or take --skip-verify.",
        )
    result = run_child(
        "app.convert.verify_child",
        {
            "engine": str(engine),
            "reference": str(reference),
            "backend": options.backend.value,
            "precision": options.precision.value,
            "pictures": [str(path.absolute()) for path in options.pictures],
            "labelled": options.labelled,
        },
        work=work,
        reporter=reporter,
        phase=f"verify on {len(options.pictures)} pictures",
        error=VerificationFailed,
    )
    figures: dict[str, Any] = result["figures"]
    if result["failures"]:
        raise AccuracyLost(
            "The engine was not published, it differs from the FP32 graph: " + "; ".join(result["failures"]),
            hint="Take a higher precision (--precision FP32), or let jetsmith do so: on_accuracy_loss: fallback. "
            "--skip-verify publishes it all the same.",
        )
    if figures.get("objects") == 0:
        reporter.warn(
            "no object was detected on any picture, so only the raw tensors were compared; "
            "set calibration.images to pictures that show what the model knows"
        )
    return figures
