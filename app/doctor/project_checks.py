"""Settings, room to work in, weights, and the clock."""

from datetime import datetime, timezone

from app.doctor.facts import Facts, Finding, State, Weights

BAD, GOOD, WARNING = State.BAD, State.GOOD, State.WARNING
GIB = 2**30
# Converting demo-detect at 320×320 on ONNX Runtime was measured at 0.93 GB; larger models and TensorRT take more.
MEMORY_NEEDED, MEMORY_ADVISED = 1 * GIB, 3 * GIB
DISK_NEEDED, DISK_ADVISED = GIB // 2, 2 * GIB  # weights, graph and engine of a large model are each some 100 MB
RELEASED = datetime(2026, 1, 1, tzinfo=timezone.utc)  # no clock that is right shows less
_NOT_CHECKED = "not checked: the settings are wrong"


def settings(facts: Facts) -> Finding:
    if facts.settings_problem:
        problem = " ".join(facts.settings_problem.split())  # several mistakes come on several lines
        return Finding("settings", BAD, problem, facts.settings_hint or "Correct them.")
    return Finding("settings", GOOD, "valid")


def memory(facts: Facts) -> Finding:
    if facts.memory_bytes is None:
        return Finding("memory", WARNING, "how much is free is unknown: /proc/meminfo does not tell", "See `free -h`.")
    shown = f"{facts.memory_bytes / GIB:.1f} GiB free, swap included"
    fix = "Close other programs, or add swap: sudo fallocate -l 4G /swapfile && sudo chmod 600 /swapfile && "
    fix += "sudo mkswap /swapfile && sudo swapon /swapfile"
    if facts.memory_bytes < MEMORY_NEEDED:
        return Finding(
            "memory", _for_a_build(facts), f"{shown}: a build needs {MEMORY_NEEDED / GIB:g} GiB and more", fix
        )
    if facts.memory_bytes < MEMORY_ADVISED:
        return Finding("memory", WARNING, f"{shown}: enough for small models only", fix)
    return Finding("memory", GOOD, shown)


def _for_a_build(facts: Facts) -> State:
    return WARNING if facts.role == "infer" else BAD


def store(facts: Facts) -> Finding:
    if facts.store is None:
        return Finding("store", WARNING, _NOT_CHECKED, "Correct the settings first.")
    if facts.store.problem:
        fix = (
            "Make the folder writable for this user (sudo chown -R $(id -u):$(id -g) FOLDER); in a container, mount it "
            "without `:ro`. infer alone only reads it."
        )
        return Finding("store", _for_a_build(facts), f"cannot write: {facts.store.problem}", fix)
    return Finding("store", GOOD, f"{facts.store.path} can be written")


def disk(facts: Facts) -> Finding:
    if facts.store is None:
        return Finding("disk", WARNING, _NOT_CHECKED, "Correct the settings first.")
    free = facts.store.free_bytes
    if free is None:
        return Finding("disk", WARNING, "how much is free is unknown", f"See `df -h {facts.store.path}`.")
    shown = f"{free / GIB:.1f} GiB free for {facts.store.path}"
    fix = "Make room: `jetsmith engines prune` removes engines that nothing points to; or set models_dir elsewhere."
    if free < DISK_NEEDED:
        return Finding("disk", _for_a_build(facts), shown, fix)
    return Finding("disk", WARNING, shown, fix) if free < DISK_ADVISED else Finding("disk", GOOD, shown)


def weights(facts: Facts) -> Finding:
    found = facts.weights
    if facts.role == "infer":
        return Finding("weights", GOOD, "not looked for: infer needs an engine only")
    if found is None:
        return Finding("weights", WARNING, _NOT_CHECKED, "Correct the settings first.")
    if found.is_there:
        return Finding("weights", GOOD, f"{found.path} is there")
    if not found.file:
        fix = "Put your .pt file there, or set base_model to the name of a model to download."
        return Finding("weights", BAD, f"{found.path} is not there", fix)
    if found.status is None or found.status >= 500:
        told = found.problem or f"the server answers {found.status}"
        message = f"{found.path} is not there, and {found.address} cannot be reached ({told})"
        return Finding("weights", WARNING, message, _by_hand(found))
    if found.status in (401, 403, 404, 407, 410):
        message = f"{found.path} is not there, and {found.address} answers {found.status}"
        return Finding("weights", BAD, message, _by_hand(found))
    return Finding("weights", GOOD, f"{found.address} answers: convert will download it")


def _by_hand(found: Weights) -> str:
    return (
        f"Fetch {found.file} elsewhere and put it at {found.path}, or name a mirror in "
        "vision.yolo.model_source.weights_url."
    )


def clock(facts: Facts) -> Finding:
    shown = f"{facts.now:%Y-%m-%d %H:%M} UTC"
    if facts.now >= RELEASED:
        return Finding("clock", GOOD, shown)
    fix = "Set it: sudo timedatectl set-ntp true, or sudo date -s '2026-01-31 12:00'. Secure downloads fail until then."
    return Finding("clock", BAD, f"{shown}, which is before jetsmith was written: the clock is wrong", fix)
