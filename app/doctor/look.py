"""Look at this machine: everything that reads files, runs processes or asks a server."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from app.device import UNKNOWN, parse_l4t, read_text
from app.doctor.facts import Container, Docker, Library, Store

LIBRARIES = ("numpy", "onnxruntime", "cv2", "tensorrt", "tensorrt_rtx", "pycuda.driver", "torch", "ultralytics", "onnx")
IMPORT_S = 120.0
_PROJECT_ROOT = Path(__file__).resolve().parents[2]
_TOLD = 400  # characters of an error: a line, not a page
_GPU_FILES = ("dev/nvidiactl", "dev/nvidia0", "dev/nvmap", "proc/driver/nvidia/version")
_DOCKER_FILES = ("usr/bin/docker", "usr/local/bin/docker", "snap/bin/docker", "run/docker.sock")
_APT_L4T = re.compile(r"/jetson/\S+\s+(?:Suites:\s*)?r([0-9]{2}\.[0-9]{1,2})\b")  # apt's old form, or its new one


# --- libraries ---


def read_libraries(names: tuple[str, ...] = LIBRARIES) -> dict[str, Library]:
    with ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 1)) as pool:
        return dict(zip(names, pool.map(read_library, names), strict=True))


def read_library(name: str, timeout_s: float = IMPORT_S) -> Library:
    """Import it in a child process, which may die of it."""
    isolated = ["-S"] if sys.flags.no_site else []
    command = [sys.executable, *isolated, "-m", "app.doctor.library_child", name]
    # The child must find what we find: this project need not be installed.
    path = os.pathsep.join([str(_PROJECT_ROOT), *filter(None, sys.path)])
    env = {**os.environ, "PYTHONPATH": path, "ORT_DISABLE_TELEMETRY": "1"}
    try:
        done = subprocess.run(  # noqa: S603 (our own module)
            command, env=env, capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        return Library(installed=True, error=f"its import did not end within {timeout_s:.0f} s")
    return parse_library(done.returncode, done.stdout, done.stderr)


def parse_library(code: int, stdout: str, stderr: str) -> Library:
    """What the child said; a child that died without a word says so by its exit code."""
    try:
        told = json.loads(stdout.strip().rpartition("\n")[2])
    except ValueError:
        told = None
    if code or not isinstance(told, dict):
        last = stderr.strip().rpartition("\n")[2][:_TOLD]
        how = f"was ended by signal {-code}" if code < 0 else f"exited with {code}"
        return Library(installed=True, error=f"the process that imported it {how}{': ' if last else ''}{last}")
    error = str(told.get("error", ""))[:_TOLD]
    if not error and "_ARRAY_API not found" in stderr:  # NumPy says so, and the import goes on without it
        error = "it was compiled against NumPy 1.x and does not work with NumPy 2 (_ARRAY_API not found)"
    serves = told.get("serves") or ()
    return Library(
        bool(told.get("installed")), str(told.get("version", "")), error, str(told.get("hint", "")), (*serves,)
    )


# --- containers ---


def read_docker(root: Path) -> Docker:
    installed = any((root / name).exists() for name in _DOCKER_FILES)
    toolkit = (root / "usr/bin/nvidia-container-runtime").exists()
    path = root / "etc/docker/daemon.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Docker(installed, toolkit)
    except OSError as error:
        return Docker(installed, toolkit, problem=f"cannot be read: {error.strerror}")
    except (ValueError, RecursionError) as error:
        return Docker(installed, toolkit, problem=f"is no JSON: {error}", is_broken=True)
    if not isinstance(values, dict) or not isinstance(values.get("runtimes", {}), dict):
        return Docker(installed, toolkit, problem="is not of the form that Docker takes", is_broken=True)
    return Docker(installed, toolkit, tuple(sorted(values.get("runtimes", {}))))


def read_container(root: Path, l4t: str) -> Container | None:
    """`l4t` is what this process sees in /etc/nv_tegra_release: the host's only if it was mounted."""
    if not any((root / name).exists() for name in (".dockerenv", "run/.containerenv")):
        return None
    mounts = {
        line.split(" ")[4] for line in read_text(root / "proc/self/mountinfo").splitlines() if line.count(" ") > 4
    }
    return Container(l4t if "/etc/nv_tegra_release" in mounts else UNKNOWN, _image_l4t(root, l4t, mounts))


def _image_l4t(root: Path, l4t: str, mounts: set[str]) -> str:
    """By the release file that the image itself has, else by the NVIDIA packages that it was made from."""
    if l4t != UNKNOWN and "/etc/nv_tegra_release" not in mounts:
        return l4t
    kept = parse_l4t(read_text(root / "etc/jetsmith/image_release"))
    if kept != UNKNOWN:
        return kept
    sources = sorted((root / "etc/apt/sources.list.d").glob("*"))
    found = [match[1] for path in sources if (match := _APT_L4T.search(read_text(path)))]
    return found[0] if found else UNKNOWN


# --- disk, GPU ---


def has_gpu_files(root: Path) -> bool:
    return any((root / name).exists() for name in _GPU_FILES)


def read_store(path: Path) -> Store:
    """Prove by a file without a name that the store, or the folder that it will be made in, can be written."""
    place = next((folder for folder in (path, *path.parents) if os.path.lexists(folder)), Path("/"))
    try:
        free: int | None = shutil.disk_usage(place).free
    except OSError:
        free = None
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"jetsmith")
            file.flush()
    except OSError as error:
        return Store(path, free, f"{place}: {error.strerror or error}")
    return Store(path, free)
