"""The scripts' own environment: which Python it may be made of."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import PROJECT_ROOT


def ensure_venv(folder: Path, version: tuple[int, int], named: bool) -> str:
    """What `ensure_venv` says where python3 is of this version; it goes no further than to make the environment."""
    python = folder / "python3"
    python.write_text(
        f"""#!/bin/bash
[ "$1" = --version ] && echo "Python {version[0]}.{version[1]}.0" && exit
[ "$1" = -m ] && echo "making it" && exit 1
exec {sys.executable} -c "${{2//sys.version_info/{version}}}"
"""
    )
    python.chmod(0o755)
    (folder / "scripts").mkdir()
    (folder / "scripts" / "_venv.sh").write_text((PROJECT_ROOT / "scripts" / "_venv.sh").read_text())
    env = {"PATH": f"{folder}:{os.environ['PATH']}", **({"JETSMITH_PYTHON": str(python)} if named else {})}
    line = "source scripts/_venv.sh; ensure_venv dev"
    done = subprocess.run(["bash", "-c", line], cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("version", "named", "says"),
    [
        ((3, 9), False, "is too old"),
        ((3, 10), False, "making it"),
        ((3, 12), False, "making it"),
        ((3, 13), False, "Python 3.13.0 is newer than"),
        ((3, 13), True, "making it"),
        ((3, 9), True, "is too old"),
    ],
)
def test_only_a_python_that_has_the_libraries_is_taken_unasked(
    version: tuple[int, int], named: bool, says: str, tmp_path: Path
) -> None:
    said = ensure_venv(tmp_path, version, named)
    assert says in said
    assert ("making it" in said) == (says == "making it")
