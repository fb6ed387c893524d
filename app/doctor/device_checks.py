"""The board, its GPU, its speed, and whether a container fits it."""

from app.board import jetpack_major, jetpack_of, l4t_major, module_of, refusal
from app.device import UNKNOWN
from app.doctor.facts import Container, Facts, Finding, State
from app.power import Clocks

BAD, GOOD, WARNING = State.BAD, State.GOOD, State.WARNING
_REGISTER = "sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker"
_TOOLKIT = "sudo apt-get install nvidia-container-toolkit"


def board(facts: Facts) -> Finding:
    device = facts.device
    if device.kind != "jetson":
        return Finding("board", GOOD, f"{device.cpu_model}, no Jetson")
    refused = refusal(device)
    if refused is not None:
        return Finding("board", BAD, refused.reason, refused.advice)
    module = module_of(device)
    name = module.name if module else device.module
    if name == UNKNOWN:
        return Finding(
            "board",
            WARNING,
            "a Jetson, but its module is unknown (Docker hides the device tree)",
            "On the host copy /proc/device-tree/model and …/compatible, and mount the copies at /etc/jetsmith/.",
        )
    part = "" if device.part == UNKNOWN else f" ({device.part})"
    cores = "" if facts.dla_cores is None else f", {facts.dla_cores} DLA cores"
    return Finding("board", GOOD, name + part + cores)


def gpu(facts: Facts) -> Finding:
    found = facts.device.gpu
    if found is not None:
        message = (
            f"{found.name}, SM {found.compute_capability}, {found.sm_count} SMs, driver for CUDA {found.driver_cuda}"
        )
        return Finding("gpu", GOOD, message)
    if facts.device.kind != "jetson" and not facts.gpu_files:
        return Finding("gpu", GOOD, "no NVIDIA GPU: engines run on the processor, by ONNX Runtime")
    if facts.container is not None:
        fix = (
            "Start the container with the NVIDIA runtime: `runtime: nvidia` in compose, or docker run --runtime=nvidia."
        )
    elif facts.device.kind == "jetson":
        fix = "Install NVIDIA's driver packages of this JetPack (sudo apt-get install nvidia-jetpack), then restart."
    else:
        fix = "Install NVIDIA's driver, or restart after its upgrade: nvidia-smi must show the GPU."
    return Finding("gpu", BAD, "there is an NVIDIA GPU, but CUDA does not answer", fix)


def container_runtime(facts: Facts) -> Finding:
    name, docker, device = "container runtime", facts.docker, facts.device
    if facts.container is not None:
        return Finding(name, GOOD, "inside a container: Docker is judged on the host")
    if not docker.installed:
        return Finding(name, GOOD, "Docker is not installed; only jetsmith's images need it")
    if device.kind == "cpu" and not facts.gpu_files:
        return Finding(name, GOOD, "Docker is installed; there is no NVIDIA GPU to hand to a container")
    if docker.problem:
        return Finding(
            name,
            BAD if docker.is_broken else WARNING,
            f"/etc/docker/daemon.json {docker.problem}",
            "Mend the file; Docker does not start with it as it is." if docker.is_broken else "Run this with sudo.",
        )
    return _nvidia_runtime(facts)


def _nvidia_runtime(facts: Facts) -> Finding:
    name, docker = "container runtime", facts.docker
    state = BAD if facts.device.kind == "jetson" else WARNING
    if "nvidia" in docker.runtimes:
        if docker.toolkit:
            return Finding(name, GOOD, "Docker knows the NVIDIA runtime")
        return Finding(
            name, state, "Docker names the NVIDIA runtime, which is not installed", f"Install it: {_TOOLKIT}"
        )
    fix = _REGISTER if docker.toolkit else f"{_TOOLKIT} && {_REGISTER}"
    return Finding(name, state, "Docker does not know the NVIDIA runtime: containers get no GPU", fix)


def l4t(facts: Facts) -> Finding:
    if facts.device.kind != "jetson":
        return Finding("l4t", GOOD, "no Jetson")
    if facts.container is not None:
        return _image_fits(facts.container)
    release = facts.device.l4t
    if release == UNKNOWN:
        return Finding(
            "l4t",
            WARNING,
            "the L4T release is unknown: /etc/nv_tegra_release tells none",
            "Install NVIDIA's package nvidia-l4t-core, or flash the module with JetPack 6 or 7.",
        )
    return Finding("l4t", GOOD, f"L4T {release} (JetPack {jetpack_of(release)})")


def _image_fits(container: Container) -> Finding:
    host, image = container.host_l4t, container.image_l4t
    if host == UNKNOWN:
        fix = "Mount the host's file read-only: -v /etc/nv_tegra_release:/etc/nv_tegra_release:ro"
        return Finding("l4t", WARNING, "the L4T of the host is unknown in this container", fix)
    if image == UNKNOWN:
        fix = f"See that the image was made for JetPack {jetpack_of(host)}."
        return Finding("l4t", WARNING, f"the host has L4T {host}; the image does not say what it was made for", fix)
    both = f"the host has L4T {host}, the image was made for L4T {image}"
    fix = f"Take the image that was made for JetPack {jetpack_major(host) or jetpack_of(host)}."
    if (jetpack_major(host) or l4t_major(host)) != (jetpack_major(image) or l4t_major(image)):
        return Finding("l4t", BAD, both, fix)
    if _is_before_36_4(host) != _is_before_36_4(image):
        return Finding("l4t", WARNING, f"{both}: libraries changed with 36.4", fix)
    return Finding("l4t", GOOD, both)


def _is_before_36_4(release: str) -> bool:
    major, _, rest = release.partition(".")
    minor = rest.partition(".")[0]
    return major == "36" and minor.isdigit() and int(minor) < 4


def power(facts: Facts) -> Finding:
    if facts.device.kind != "jetson":
        return Finding("power", GOOD, "no Jetson: nothing limits it that jetsmith knows of")
    mode, clocks = facts.power, facts.clocks
    shown = f"power mode {mode.name if mode.name != UNKNOWN else mode.number}"
    if mode.is_below_fastest and mode.fastest is not None:
        fix = f"sudo nvpmodel -m {mode.fastest.number} (it may ask to restart), then sudo jetson_clocks."
        return Finding("power", WARNING, f"{shown}; the fastest is {mode.fastest.name}{_limit(clocks)}", fix)
    if clocks.gpu_limit_hz and clocks.gpu_top_hz and clocks.gpu_limit_hz < clocks.gpu_top_hz:
        fix = "If the cooling allows it, choose a faster mode: nvpmodel -p --verbose lists them."
        return Finding("power", WARNING, f"{shown}{_limit(clocks)}", fix)
    if mode.number == UNKNOWN and clocks.gpu_limit_hz is None:
        fix = "Mount /var/lib/nvpmodel/status and /etc/nvpmodel.conf read-only, or ask on the host: nvpmodel -q"
        return Finding("power", WARNING, "the power mode is unknown here", fix)
    return Finding("power", GOOD, shown + _limit(clocks))


def _limit(clocks: Clocks) -> str:
    if clocks.gpu_limit_hz is None:
        return ""
    top = f" of {clocks.gpu_top_hz / 1e6:.0f}" if clocks.gpu_top_hz else ""
    return f", GPU limited to {clocks.gpu_limit_hz / 1e6:.0f}{top} MHz"
