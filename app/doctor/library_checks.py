"""Python and the libraries: do they import, do they fit each other and the GPU?"""

import re

from app.board import jetpack_of, tensorrt_python
from app.doctor.facts import Facts, Finding, Library, State

BAD, GOOD, WARNING = State.BAD, State.GOOD, State.WARNING
OLDEST_PYTHON, NEWEST_PYTHON = (3, 10), (3, 12)
_NAMES = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT for RTX"}
_APT = "sudo apt-get install python3-libnvinfer python3-libnvinfer-dev"
_ABI = re.compile(r"NumPy 1\.x|numpy\.core\.multiarray failed|_ARRAY_API not found|numpy\.dtype size changed", re.I)


def python(facts: Facts) -> Finding:
    have, built_for = ".".join(map(str, facts.python)), tensorrt_python(facts.device.l4t)
    if facts.python < OLDEST_PYTHON:
        return Finding("python", BAD, f"Python {have} is too old", "Use Python 3.10, 3.11 or 3.12.")
    is_jetson = facts.device.kind == "jetson"
    if is_jetson and built_for and have != built_for and not facts.library("tensorrt").works:
        return Finding(
            "python",
            BAD,
            f"Python {have}, but the TensorRT of JetPack {jetpack_of(facts.device.l4t)} is bound to Python {built_for}",
            f"Make the environment with python{built_for} -m venv --system-site-packages .venv",
        )
    if facts.python > NEWEST_PYTHON:
        return Finding("python", WARNING, f"Python {have}: not tested", "If something fails, use Python 3.12.")
    return Finding("python", GOOD, f"Python {have}")


def numpy(facts: Facts) -> Finding:
    library = facts.library("numpy")
    if not library.works:
        return _needed("numpy", "NumPy", library, "pip install numpy")
    misfits = [name for name, other in facts.libraries.items() if _ABI.search(other.error)]
    if misfits:
        return Finding(
            "numpy",
            BAD,
            f"NumPy {library.version} is not the one that {', '.join(misfits)} was compiled against",
            "pip install 'numpy<2', or install a newer build of that package.",
        )
    return Finding("numpy", GOOD, f"NumPy {library.version}")


def tensorrt(facts: Facts) -> Finding:
    """One of the two TensorRTs must import where there is a GPU; on a Jetson that is TensorRT itself."""
    is_jetson = facts.device.kind == "jetson"
    if facts.device.gpu is None and not is_jetson:
        return Finding("tensorrt", GOOD, "not needed: there is no NVIDIA GPU")
    names = ("tensorrt",) if is_jetson else ("tensorrt", "tensorrt_rtx")
    found = {name: facts.library(name) for name in names}
    working = [f"{_NAMES[name]} {library.version}" for name, library in found.items() if library.works]
    if working:
        return Finding("tensorrt", GOOD, ", ".join(working))
    broken = next((library for library in found.values() if library.installed), None)
    if broken is not None:
        return Finding("tensorrt", BAD, broken.error, broken.hint or "Install it again.")
    if is_jetson:
        fix = f"{_APT}; an environment sees it if made with --system-site-packages, a container if its image has it."
        return Finding("tensorrt", BAD, "TensorRT is not installed (or hidden from this environment)", fix)
    fix = "pip install -e '.[rtx,tensorrt]', if the GPU is an RTX one."
    return Finding("tensorrt", WARNING, "not installed: engines run on the processor, by ONNX Runtime", fix)


def gpu_support(facts: Facts) -> Finding:
    """Does an installed TensorRT know this GPU?"""
    name, gpu = "gpu support", facts.device.gpu
    working = [(key, facts.library(key)) for key in _NAMES if facts.library(key).works]
    if gpu is None or not working:
        return Finding(
            name, GOOD, "nothing to compare: " + ("no GPU answers" if gpu is None else "no TensorRT imports")
        )
    answers = {f"{_NAMES[key]} {library.version}": _serves(library, gpu.compute_capability) for key, library in working}
    good = [text for text, serves in answers.items() if serves]
    unsure = [text for text, serves in answers.items() if serves is None]
    shown = f"SM {gpu.compute_capability} ({gpu.name})"
    if good:
        return Finding(name, GOOD, f"{good[0]} serves {shown}")
    if unsure:
        return Finding(name, GOOD, f"nothing is known against {shown} with {unsure[0]}")
    fix = "Use ONNX Runtime (--backend onnxruntime), or a TensorRT that serves this GPU"
    if gpu.compute_capability == "8.7":
        fix = "Take TensorRT 10.3 (JetPack 6.1, 6.2) or 10.16 (JetPack 7.2); those of JetPack 7.0 and 7.1 are for Thor"
    return Finding(name, BAD, f"{', '.join(answers)} does not serve {shown}", f"{fix}.")


def _serves(library: Library, capability: str) -> bool | None:
    """
    None where nothing is known. A library that lists its GPUs is believed. TensorRT itself lists none, so what is on
    record decides: 10.13 to 10.15 came with no kernels for Orin (JetPack 7.0 and 7.1 are for Thor), those before 10.13
    do not know Thor's 11.0, and 10.5 dropped what is older than Turing (7.5).
    """
    if library.serves:
        return "SM" + capability.replace(".", "") in library.serves
    version, wanted = _numbers(library.version), _numbers(capability)
    if len(version) < 2 or len(wanted) < 2:
        return None
    if wanted == (8, 7):
        return not (10, 13) <= version[:2] < (10, 16)
    if wanted == (11, 0):
        return version[:2] >= (10, 13)
    if wanted < (7, 5):
        return version[:2] < (10, 5)
    return None


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"[0-9]{1,9}", text)[:4])


def pycuda(facts: Facts) -> Finding:
    library = facts.library("pycuda.driver")
    if library.works:
        return Finding("pycuda", GOOD, f"pycuda {library.version}".rstrip())
    if facts.device.gpu is None or not any(facts.library(name).works for name in _NAMES):
        return Finding("pycuda", GOOD, "not needed: no TensorRT runs here")
    fix = "Where CUDA's headers are (on a Jetson: sudo apt-get install cuda-toolkit): pip install -e '.[tensorrt]'"
    state = BAD if facts.device.kind == "jetson" else WARNING
    problem = f"cannot be imported: {library.error}" if library.installed else "is not installed"
    return Finding("pycuda", state, f"pycuda, which moves data to the GPU, {problem}", fix)


def onnxruntime(facts: Facts) -> Finding:
    return _needed("onnxruntime", "ONNX Runtime", facts.library("onnxruntime"), "pip install onnxruntime")


def opencv(facts: Facts) -> Finding:
    library = facts.library("cv2")
    missing = re.search(r"lib(?:GL|gthread|SM|Xext|Xrender)[\w.-]*\.so[\w.]*", library.error)
    fix = "pip install opencv-python-headless"
    if missing:
        fix = (
            f"{missing[0]} is for windows, which jetsmith opens none of: pip uninstall -y opencv-python "
            "opencv-contrib-python && pip install --force-reinstall opencv-python-headless"
        )
    return _needed("opencv", "OpenCV", library, fix)


def _needed(check: str, name: str, library: Library, fix: str) -> Finding:
    if library.works:
        return Finding(check, GOOD, f"{name} {library.version}".rstrip())
    problem = f"cannot be imported: {library.error}" if library.installed else "is not installed"
    return Finding(check, BAD, f"{name} {problem}", library.hint or fix)


def converter(facts: Facts) -> Finding:
    """PyTorch and its company: convert needs them, an image that only infers must not have them."""
    names = {"torch": "PyTorch", "ultralytics": "Ultralytics", "onnx": "ONNX"}
    if facts.role == "infer":
        present = [label for name, label in names.items() if facts.library(name).installed]
        if present:
            fix = "Build the image anew from its infer stage, or install jetsmith without the extra `convert`."
            return Finding("converter", BAD, f"{', '.join(present)} installed, which infer never uses", fix)
        return Finding("converter", GOOD, "absent, as it should be where only infer runs")
    broken = {label: facts.library(name).error for name, label in names.items() if facts.library(name).error}
    missing = [label for name, label in names.items() if not facts.library(name).installed]
    if broken:
        told = "; ".join(f"{label} cannot be imported: {error}" for label, error in broken.items())
        return Finding("converter", BAD, told, "Install it again: pip install --force-reinstall -e '.[convert]'")
    if missing:
        state = BAD if facts.role == "convert" else WARNING
        message = f"{', '.join(missing)} not installed: infer works, convert does not"
        return Finding("converter", state, message, "pip install -e '.[convert]'")
    shown = ", ".join(f"{label} {facts.library(name).version}" for name, label in names.items())
    return Finding("converter", GOOD, shown)
