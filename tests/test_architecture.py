"""The house's rules that no linter knows."""

import ast
import subprocess
import sys

import pytest

from tests.command import PROJECT_ROOT

HEAVY = ("torch", "ultralytics", "onnx", "onnxruntime", "cv2", "tensorrt", "pycuda", "supervision", "rich", "numpy")


@pytest.mark.parametrize("module", ["app.cli", "app.cli.parser"])
def test_importing_the_command_line_loads_no_heavy_library(module: str) -> None:
    code = f"import sys, {module}; loaded = set({HEAVY!r}) & set(sys.modules); sys.exit(', '.join(loaded) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_old_python_is_told_so_before_it_meets_syntax_that_it_cannot_read() -> None:
    code = "import sys; sys.version_info = (3, 8, 10, 'final', 0); import app"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "needs Python 3.10 or newer, and this is 3.8\n" in done.stderr
    assert "Traceback" not in done.stderr
    for name in ("__init__.py", "__main__.py"):
        ast.parse((PROJECT_ROOT / "app" / name).read_text(), feature_version=(3, 6))


def test_infer_needs_neither_torch_nor_ultralytics() -> None:
    """Every module that `infer` reaches is imported with both of them out of reach."""
    code = (
        "import sys\n"
        "for name in ('torch', 'torchvision', 'ultralytics', 'onnx', 'httpx', 'supervision'):\n"
        "    sys.modules[name] = None\n"
        "import app.cli.infer, app.infer.pipeline, app.infer.sinks.open, app.infer.sinks.annotated\n"
        "import app.infer.sinks.crops, app.vision.model, app.engines.open\n"
        "import app.runtime.onnxruntime\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
