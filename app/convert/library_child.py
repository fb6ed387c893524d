"""The child that loads TensorRT to see whether it can."""

from typing import Any

from app.convert.child import Channel, child_main
from app.convert.dla import require_cores
from app.device import read_device
from app.errors import BackendUnavailable
from app.runtime import tensorrt_compat as compat
from app.types import Backend, Precision


def try_to_load(job: dict[str, Any], channel: Channel) -> dict[str, Any]:
    trt = compat.load(Backend(job["backend"]))
    if str(trt.__version__) != job["version"]:
        raise BackendUnavailable(
            f"{trt.__name__} calls itself {trt.__version__} once it is loaded, and {job['version']} in its source",
            hint="Two releases are mixed: remove both and install one.",
        )
    gpu = read_device().gpu
    reason = None if gpu is None else compat.unsupported_gpu(trt, gpu)
    if reason is not None:
        raise BackendUnavailable(reason, hint="Take another backend: --backend tensorrt or onnxruntime.")
    if job["dla_core"] is not None:
        require_cores(trt, trt.Builder(compat.logger(trt)), job["dla_core"], Precision(job["precision"]))
    return {}


if __name__ == "__main__":
    child_main(try_to_load)
