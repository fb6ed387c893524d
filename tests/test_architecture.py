"""The house's rules that no linter knows."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "ultralytics", "onnx", "onnxruntime", "cv2", "tensorrt", "pycuda", "supervision", "rich", "numpy")


@pytest.mark.parametrize("module", ["app.cli", "app.cli.parser"])
def test_importing_the_command_line_loads_no_heavy_library(module: str) -> None:
    code = f"import sys, {module}; loaded = set({HEAVY!r}) & set(sys.modules); sys.exit(', '.join(loaded) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_infer_needs_neither_torch_nor_ultralytics() -> None:
    """Every module that `infer` reaches is imported with both of them out of reach."""
    code = (
        "import sys\n"
        "for name in ('torch', 'torchvision', 'ultralytics', 'onnx', 'httpx', 'supervision'):\n"
        "    sys.modules[name] = None\n"
        "import app.cli.infer, app.infer.pipeline, app.infer.annotated, app.vision.model, app.engines.open\n"
        "import app.runtime.onnxruntime\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
