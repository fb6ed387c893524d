#!/usr/bin/env python3
"""
Fetch type stubs of TensorRT for mypy, unpack them beside the caches and print where they are.

They are not installed: pip would want all of TensorRT with them, and `import tensorrt` would then succeed as an empty
package. Five of their lines are no Python (a parameter called `in`, a default before a parameter without): mended here.
"""

import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "tensorrt-stubs==10.13.0.35.1"
FOLDER = Path(__file__).resolve().parents[1] / ".cache" / PACKAGE.replace("==", "-")
MENDS = (
    (r"\bin: list\[", "in_: list["),
    (r"channel_axis: int\) -> IScaleLayer", "channel_axis: int = ...) -> IScaleLayer"),
)


def fetch(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", temporary, PACKAGE]
        subprocess.run(command, check=True, stdout=sys.stderr)
        (wheel,) = Path(temporary).glob("*.whl")
        partial = folder.with_name(folder.name + ".part")
        zipfile.ZipFile(wheel).extractall(partial)
    stub = partial / "tensorrt_bindings" / "tensorrt.pyi"
    text = stub.read_text()
    for wrong, right in MENDS:
        text = re.sub(wrong, right, text)
    stub.write_text(text)
    partial.rename(folder)


if __name__ == "__main__":
    if not FOLDER.exists():
        FOLDER.parent.mkdir(exist_ok=True)
        fetch(FOLDER)
    print(FOLDER)
