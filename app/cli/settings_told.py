"""
Tells in a status file that the settings cannot be used: a container's log is not what a fleet watches.

No job has a name then, so the file is named for that of the settings (`config.yaml`), and goes once they are mended.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from app.errors import JetsmithError
from app.progress import Reporter
from app.status import status_path
from app.status_reporter import StatusReporter
from config.settings import CONFIG_VARIABLE, PROJECT_ROOT


@contextmanager
def settings_told(config: Path | None, reporter: Reporter) -> Iterator[None]:
    """An error on the way is the settings' own, and is written down."""
    path = status_path(models_folder(), _name(config))
    try:
        yield
    except JetsmithError:
        with StatusReporter(reporter, path):
            raise
    if path.exists():
        with suppress(OSError):  # a volume that is read-only now: whether that matters, the conversion finds out
            path.unlink()


def _name(config: Path | None) -> str:
    return Path(config or os.environ.get(CONFIG_VARIABLE) or "config.yaml").name or "settings"


def models_folder() -> Path:
    """As `models_dir` is without its file, which cannot be read."""
    return PROJECT_ROOT / (os.environ.get("JETSMITH_MODELS_DIR") or "models")


def told_name() -> str:
    """
    The service that this container is for, where its variable says so; else empty.

    On a host's own network every container has the host's name, so that alone does not tell them apart.
    """
    return os.environ.get("JETSMITH_INFER__NAME", "")
