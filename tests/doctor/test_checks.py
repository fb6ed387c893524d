"""Every check, in each of its states."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest

from app.device import UNKNOWN, Gpu
from app.doctor import device_checks, library_checks, project_checks
from app.doctor.checks import CHECKS, diagnose, is_well
from app.doctor.facts import ABSENT, Container, Docker, Facts, Finding, Library, State, Store, Weights
from app.doctor.project_checks import DISK_ADVISED, DISK_NEEDED, MEMORY_ADVISED, MEMORY_NEEDED
from app.power import Clocks, Power
from tests.doctor.machines import (
    CORE,
    GPU_SIDE,
    H100,
    IN_CONTAINER,
    ORIN,
    machine,
    server,
    with_libraries,
    workstation,
)

BAD, GOOD, WARNING = State.BAD, State.GOOD, State.WARNING
Check = Callable[[Facts], Finding]
HIDDEN = Container(UNKNOWN, UNKNOWN)
NO_CLOCKS = Clocks(None, None, None, None, None)
THOR = Gpu("NVIDIA Thor", "11.0", 20, True, "13.0", 2**37)
WEIGHTS = Weights(Path("/models/yolo11n.pt"), False, "yolo11n.pt", "https://mirror.example/yolo11n.pt")


def case(check: Check, facts: Facts, state: State, message: str, fix: str = "", *, id: str) -> object:
    return pytest.param(check, facts, state, message, fix, id=f"{check.__name__}: {id}")


DEVICE_CASES = [
    case(device_checks.board, machine(), GOOD, "Jetson AGX Orin 64GB (p3701-0005), 2 DLA cores", id="known"),
    case(device_checks.board, server(), GOOD, "no Jetson", id="a server"),
    case(
        device_checks.board, machine("agx-thor-container"), WARNING, "module is unknown", "/etc/jetsmith/", id="hidden"
    ),
    case(device_checks.board, machine("xavier-nx-jp5"), BAD, "Python 3.8", "last for this module", id="Xavier NX"),
    case(device_checks.board, machine("nano-jp4"), BAD, "Python 3.6", "last for this module", id="Nano"),
    case(device_checks.gpu, machine(), GOOD, "Orin, SM 8.7, 16 SMs, driver for CUDA 13.2", id="answers"),
    case(device_checks.gpu, server(), GOOD, "no NVIDIA GPU", id="none"),
    case(device_checks.gpu, machine(gpu=None), BAD, "CUDA does not answer", "nvidia-jetpack", id="Jetson"),
    case(
        device_checks.gpu,
        machine(gpu=None, container=HIDDEN),
        BAD,
        "does not answer",
        "runtime: nvidia",
        id="container",
    ),
    case(device_checks.gpu, server(gpu_files=True), BAD, "does not answer", "nvidia-smi", id="driver of a PC"),
    case(device_checks.l4t, machine(), GOOD, "L4T 39.2.0 (JetPack 7.2)", id="host"),
    case(device_checks.l4t, server(), GOOD, "no Jetson", id="a server"),
    case(device_checks.l4t, machine("agx-thor-container"), WARNING, "unknown", "nvidia-l4t-core", id="no file"),
    case(device_checks.l4t, machine(container=IN_CONTAINER), GOOD, "host has L4T 39.2.0, the image", id="fits"),
    case(
        device_checks.l4t,
        machine(container=Container("39.2.0", "38.4")),
        GOOD,
        "38.4",
        id="one JetPack, two L4T majors",
    ),
    case(
        device_checks.l4t,
        machine(container=Container("39.2.0", "36.4.0")),
        BAD,
        "host has L4T 39.2.0, the image was made for L4T 36.4.0",
        "image that was made for JetPack 7",
        id="another major",
    ),
    case(
        device_checks.l4t,
        machine(container=Container("36.4.3", "36.3.0")),
        WARNING,
        "changed with 36.4",
        id="36.3 and 36.4",
    ),
    case(
        device_checks.l4t, machine(container=HIDDEN), WARNING, "L4T of the host is unknown", "-v /etc/nv", id="hidden"
    ),
    case(
        device_checks.l4t,
        machine(container=Container("39.2.0", UNKNOWN)),
        WARNING,
        "does not say",
        "JetPack 7.2",
        id="an image of others",
    ),
    case(device_checks.power, machine(), GOOD, "power mode MAXN, GPU limited to 1300 of 1300 MHz", id="fastest"),
    case(
        device_checks.power,
        machine("orin-nano-jp62"),
        WARNING,
        "power mode 15W; the fastest is MAXN_SUPER, GPU limited to 612 of 1020 MHz",
        "sudo nvpmodel -m 2",
        id="below the fastest",
    ),
    case(
        device_checks.power,
        machine(power=Power("0", UNKNOWN, None), clocks=Clocks(1, 600, 900, None, None)),
        WARNING,
        "power mode 0, GPU limited",
        "nvpmodel -p",
        id="a limited clock",
    ),
    case(
        device_checks.power,
        machine(power=Power(UNKNOWN, UNKNOWN, None), clocks=NO_CLOCKS),
        WARNING,
        "unknown here",
        "Mount /var/lib/nvpmodel/status",
        id="hidden",
    ),
    case(device_checks.power, server(), GOOD, "no Jetson", id="a server"),
    case(device_checks.container_runtime, machine(), GOOD, "knows the NVIDIA runtime", id="registered"),
    case(device_checks.container_runtime, machine(container=HIDDEN), GOOD, "judged on the host", id="in a container"),
    case(device_checks.container_runtime, machine(docker=Docker(False, False)), GOOD, "not installed", id="no Docker"),
    case(device_checks.container_runtime, server(docker=Docker(True, False)), GOOD, "no NVIDIA GPU", id="no GPU"),
    case(
        device_checks.container_runtime,
        machine(docker=Docker(True, True)),
        BAD,
        "does not know the NVIDIA runtime",
        "sudo nvidia-ctk runtime configure",
        id="not registered",
    ),
    case(
        device_checks.container_runtime,
        workstation(docker=Docker(True, False)),
        WARNING,
        "does not know",
        "apt-get install nvidia-container-toolkit && sudo nvidia-ctk",
        id="not installed on a PC",
    ),
    case(
        device_checks.container_runtime,
        machine(docker=Docker(True, False, ("nvidia",))),
        BAD,
        "which is not installed",
        "apt-get install nvidia-container-toolkit",
        id="registered, not installed",
    ),
    case(
        device_checks.container_runtime,
        machine(docker=Docker(True, True, problem="is no JSON: x", is_broken=True)),
        BAD,
        "daemon.json is no JSON",
        "Mend",
        id="a broken file",
    ),
    case(
        device_checks.container_runtime,
        machine(docker=Docker(True, True, problem="cannot be read: Permission denied")),
        WARNING,
        "Permission denied",
        "sudo",
        id="a file of root's",
    ),
]

BROKEN = Library(True, "1.0", "libfoo.so.1: cannot open shared object file")
OLD_ABI = Library(True, "4.5", "A module that was compiled using NumPy 1.x cannot be run in NumPy 2.2.6")
NO_DLA = Library(
    True, "", "tensorrt cannot be imported: it needs libnvdla_compiler.so", "sudo apt install nvidia-l4t-dla-compiler"
)
NO_GL = Library(True, "4.12", "libGL.so.1: cannot open shared object file: No such file or directory")
RTX_LIBRARY = Library(True, "1.7.1", serves=("SM75", "SM86", "SM89", "SM120"))
NO_TENSORRT = {"tensorrt": ABSENT, "tensorrt_rtx": ABSENT}


def jetpack6(**changed: Library) -> Facts:
    return with_libraries(machine("orin-nano-jp62", python=(3, 10)), **{"tensorrt": Library(True, "10.3.0"), **changed})


LIBRARY_CASES = [
    case(library_checks.python, machine(), GOOD, "Python 3.12", id="fits"),
    case(library_checks.python, server(python=(3, 9)), BAD, "too old", "3.10", id="too old"),
    case(library_checks.python, server(python=(3, 14)), WARNING, "not tested", "3.12", id="too new"),
    case(
        library_checks.python,
        replace(jetpack6(tensorrt=ABSENT), python=(3, 12)),
        BAD,
        "TensorRT of JetPack 6.2 is bound to Python 3.10",
        "python3.10 -m venv --system-site-packages",
        id="not the one of TensorRT",
    ),
    case(library_checks.python, replace(jetpack6(), python=(3, 11)), GOOD, "3.11", id="TensorRT imports all the same"),
    case(library_checks.numpy, machine(), GOOD, "NumPy 1.26.4", id="works"),
    case(library_checks.numpy, with_libraries(server(), numpy=ABSENT), BAD, "not installed", "pip", id="absent"),
    case(library_checks.numpy, with_libraries(server(), numpy=BROKEN), BAD, "libfoo", "pip", id="broken"),
    case(
        library_checks.numpy,
        with_libraries(server(), cv2=OLD_ABI),
        BAD,
        "not the one that cv2",
        "numpy<2",
        id="old ABI",
    ),
    case(library_checks.tensorrt, machine(), GOOD, "TensorRT 10.16.2.10", id="works"),
    case(library_checks.tensorrt, server(), GOOD, "not needed", id="no GPU"),
    case(
        library_checks.tensorrt,
        jetpack6(tensorrt=NO_DLA),
        BAD,
        "libnvdla_compiler.so",
        "nvidia-l4t-dla-compiler",
        id="without the DLA compiler",
    ),
    case(
        library_checks.tensorrt,
        jetpack6(tensorrt=ABSENT),
        BAD,
        "not installed",
        "python3-libnvinfer",
        id="absent, Jetson",
    ),
    case(
        library_checks.tensorrt,
        with_libraries(workstation(), **NO_TENSORRT),
        WARNING,
        "on the processor",
        "[rtx,tensorrt]",
        id="absent, PC",
    ),
    case(
        library_checks.tensorrt, with_libraries(workstation(), tensorrt=BROKEN), BAD, "libfoo", "again", id="broken, PC"
    ),
    case(
        library_checks.tensorrt,
        with_libraries(workstation(), tensorrt=BROKEN, tensorrt_rtx=RTX_LIBRARY),
        GOOD,
        "TensorRT for RTX 1.7.1",
        id="one of two works",
    ),
    case(library_checks.gpu_support, machine(), GOOD, "TensorRT 10.16.2.10 serves SM 8.7", id="Orin, 10.16"),
    case(library_checks.gpu_support, jetpack6(), GOOD, "TensorRT 10.3.0 serves SM 8.7", id="Orin, 10.3"),
    case(
        library_checks.gpu_support,
        with_libraries(machine(), tensorrt=Library(True, "10.13.3.9")),
        BAD,
        "TensorRT 10.13.3.9 does not serve SM 8.7",
        "10.16 (JetPack 7.2)",
        id="Orin, 10.13",
    ),
    case(
        library_checks.gpu_support,
        with_libraries(machine("agx-thor-jp70", THOR), tensorrt=Library(True, "10.13.2.6")),
        GOOD,
        "serves SM 11.0",
        id="Thor, 10.13",
    ),
    case(
        library_checks.gpu_support,
        with_libraries(machine("agx-thor-jp70", THOR), tensorrt=Library(True, "10.3.0")),
        BAD,
        "does not serve SM 11.0",
        "onnxruntime",
        id="Thor, 10.3",
    ),
    case(
        library_checks.gpu_support,
        with_libraries(
            workstation(Gpu("Tesla V100", "7.0", 80, False, "12.8", 2**34)), tensorrt=Library(True, "10.8.0")
        ),
        BAD,
        "does not serve SM 7.0",
        "onnxruntime",
        id="Volta, 10.8",
    ),
    case(
        library_checks.gpu_support,
        with_libraries(workstation(H100), tensorrt=ABSENT, tensorrt_rtx=RTX_LIBRARY),
        BAD,
        "TensorRT for RTX 1.7.1 does not serve SM 9.0",
        "onnxruntime",
        id="a list without it",
    ),
    case(
        library_checks.gpu_support,
        with_libraries(workstation(), tensorrt=ABSENT, tensorrt_rtx=RTX_LIBRARY),
        GOOD,
        "serves SM 8.9",
        id="a list with it",
    ),
    case(
        library_checks.gpu_support,
        with_libraries(workstation(), tensorrt=Library(True, "a build of one's own")),
        GOOD,
        "nothing is known against",
        id="no record",
    ),
    case(library_checks.gpu_support, workstation(H100), GOOD, "nothing is known against", id="a GPU without a record"),
    case(library_checks.gpu_support, server(), GOOD, "no GPU answers", id="no GPU"),
    case(library_checks.gpu_support, jetpack6(tensorrt=NO_DLA), GOOD, "no TensorRT imports", id="no TensorRT"),
    case(library_checks.pycuda, machine(), GOOD, "pycuda 2025.1", id="works"),
    case(library_checks.pycuda, server(), GOOD, "not needed", id="no GPU"),
    case(library_checks.pycuda, jetpack6(tensorrt=ABSENT, pycuda=ABSENT), GOOD, "not needed", id="no TensorRT"),
    case(library_checks.pycuda, jetpack6(pycuda=ABSENT), BAD, "not installed", "[tensorrt]", id="absent, Jetson"),
    case(library_checks.pycuda, jetpack6(pycuda=BROKEN), BAD, "libfoo", "[tensorrt]", id="broken, Jetson"),
    case(library_checks.pycuda, with_libraries(workstation(), pycuda=ABSENT), WARNING, "not installed", "pip", id="PC"),
    case(library_checks.onnxruntime, server(), GOOD, "ONNX Runtime 1.23.2", id="works"),
    case(library_checks.onnxruntime, with_libraries(server(), onnxruntime=ABSENT), BAD, "not inst", "pip", id="absent"),
    case(library_checks.onnxruntime, with_libraries(server(), onnxruntime=BROKEN), BAD, "libfoo", "pip", id="broken"),
    case(library_checks.opencv, server(), GOOD, "OpenCV 4.12.0", id="works"),
    case(library_checks.opencv, with_libraries(server(), cv2=ABSENT), BAD, "not installed", "headless", id="absent"),
    case(
        library_checks.opencv,
        with_libraries(server(), cv2=NO_GL),
        BAD,
        "libGL.so.1",
        "pip uninstall -y opencv-python",
        id="libGL is missing",
    ),
    case(library_checks.converter, server(), GOOD, "PyTorch 2.8.0, Ultralytics 8.4.190", id="all there"),
    case(library_checks.converter, server(libraries=CORE), WARNING, "convert does not", "[convert]", id="absent"),
    case(
        library_checks.converter,
        server(libraries=CORE, role="convert"),
        BAD,
        "not installed",
        "[convert]",
        id="must be",
    ),
    case(library_checks.converter, server(role="infer"), BAD, "infer never uses", "infer stage", id="must not be"),
    case(library_checks.converter, server(libraries=CORE, role="infer"), GOOD, "absent, as it should", id="thin"),
    case(library_checks.converter, with_libraries(server(), torch=BROKEN), BAD, "libfoo", "again", id="broken"),
]

MIB = 2**20


def on_disk(free: int | None, problem: str = "") -> Store:
    return Store(Path("/models/engines"), free, problem)


PROJECT_CASES = [
    case(project_checks.settings, server(), GOOD, "valid", id="valid"),
    case(
        project_checks.settings,
        server(settings_problem="config.yaml, line 3: x", settings_hint="Correct it there"),
        BAD,
        "line 3",
        "Correct it there",
        id="wrong",
    ),
    case(project_checks.memory, server(), GOOD, "16.0 GiB", id="enough"),
    case(
        project_checks.memory, server(memory_bytes=MEMORY_ADVISED - MIB), WARNING, "small models", "swap", id="little"
    ),
    case(
        project_checks.memory, server(memory_bytes=MEMORY_NEEDED - MIB), BAD, "needs 1 GiB", "mkswap", id="too little"
    ),
    case(
        project_checks.memory,
        server(memory_bytes=MEMORY_NEEDED - MIB, role="infer"),
        WARNING,
        "needs 1 GiB",
        "swap",
        id="too little to build, and nothing is to be built",
    ),
    case(project_checks.memory, server(memory_bytes=None), WARNING, "unknown", "free -h", id="unknown"),
    case(project_checks.store, server(), GOOD, "can be written", id="writable"),
    case(
        project_checks.store,
        server(store=on_disk(1, "/models: Read-only file system")),
        BAD,
        "Read-only",
        "chown",
        id="ro",
    ),
    case(
        project_checks.store,
        server(store=on_disk(1, "/models: Read-only file system"), role="infer"),
        WARNING,
        "Read-only",
        "infer alone",
        id="ro, and nothing is to be built",
    ),
    case(project_checks.store, server(store=None), WARNING, "not checked", "settings", id="no settings"),
    case(project_checks.disk, server(), GOOD, "50.0 GiB", id="enough"),
    case(project_checks.disk, server(store=on_disk(DISK_ADVISED - MIB)), WARNING, "GiB", "prune", id="little"),
    case(project_checks.disk, server(store=on_disk(DISK_NEEDED - MIB)), BAD, "GiB", "prune", id="too little"),
    case(project_checks.disk, server(store=on_disk(None)), WARNING, "unknown", "df -h", id="unknown"),
    case(project_checks.disk, server(store=None), WARNING, "not checked", "settings", id="no settings"),
    case(project_checks.weights, server(), GOOD, "is there", id="there"),
    case(
        project_checks.weights, server(weights=replace(WEIGHTS, status=200)), GOOD, "will download it", id="reachable"
    ),
    case(
        project_checks.weights, server(weights=replace(WEIGHTS, status=302)), GOOD, "will download it", id="redirected"
    ),
    case(
        project_checks.weights,
        server(weights=replace(WEIGHTS, problem="no answer within 5 s")),
        WARNING,
        "no answer within 5 s",
        "put it at /models/yolo11n.pt",
        id="offline",
    ),
    case(
        project_checks.weights,
        server(weights=replace(WEIGHTS, status=503)),
        WARNING,
        "answers 503",
        "mirror",
        id="server ill",
    ),
    case(
        project_checks.weights,
        server(weights=replace(WEIGHTS, status=404)),
        BAD,
        "answers 404",
        "mirror",
        id="not there",
    ),
    case(
        project_checks.weights,
        server(weights=Weights(Path("/models/own.pt"), False)),
        BAD,
        "own.pt is not there",
        "Put your .pt",
        id="nothing to download",
    ),
    case(project_checks.weights, server(weights=None, role="infer"), GOOD, "infer needs an engine", id="only infer"),
    case(project_checks.weights, server(weights=None), WARNING, "not checked", "settings", id="no settings"),
    case(project_checks.clock, server(), GOOD, "2026-06-01", id="sane"),
    case(
        project_checks.clock,
        server(now=datetime(1970, 1, 1, tzinfo=timezone.utc)),
        BAD,
        "1970-01-01",
        "timedatectl",
        id="a board without a battery",
    ),
]


@pytest.mark.parametrize(("check", "facts", "state", "message", "fix"), DEVICE_CASES + LIBRARY_CASES + PROJECT_CASES)
def test_a_check_judges(check: Check, facts: Facts, state: State, message: str, fix: str) -> None:
    finding = check(facts)
    assert finding.state is state, finding
    assert message in finding.message
    assert fix in finding.fix
    assert "\n" not in finding.message + finding.fix  # one line a check
    assert bool(finding.fix) is (state is not GOOD), finding  # what is not good says what to do


def test_every_check_is_tried_good_and_otherwise() -> None:
    tried = {(param.values[0], param.values[2]) for param in DEVICE_CASES + LIBRARY_CASES + PROJECT_CASES}  # type: ignore[attr-defined]
    for check in CHECKS:
        assert (check, GOOD) in tried
        assert (check, WARNING) in tried or (check, BAD) in tried


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param(machine(), id="AGX Orin"),
        pytest.param(machine(container=IN_CONTAINER), id="AGX Orin, in its container"),
        pytest.param(server(), id="server"),
        pytest.param(with_libraries(workstation(), **GPU_SIDE, tensorrt_rtx=RTX_LIBRARY), id="workstation"),
    ],
)
def test_a_healthy_machine_is_well(facts: Facts) -> None:
    findings = diagnose(facts)
    assert [finding for finding in findings if finding.state is not GOOD] == []
    assert is_well(findings)
    assert len({finding.check for finding in findings}) == len(CHECKS)


def test_an_orin_nano_at_15_watts_is_well_but_warned() -> None:
    facts = with_libraries(machine("orin-nano-jp62", ORIN, python=(3, 10)), tensorrt=Library(True, "10.3.0"))
    assert [found.check for found in diagnose(facts) if found.state is WARNING] == ["power"]
    assert is_well(diagnose(facts))
