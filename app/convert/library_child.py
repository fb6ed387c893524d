"""The child that loads TensorRT to see whether it can do what is wanted of it."""

from typing import TYPE_CHECKING, Any

from app.convert.child import Channel, child_main
from app.convert.dla import require_cores
from app.device import read_device
from app.errors import BackendUnavailable, BuildFailed
from app.runtime import tensorrt_compat as compat
from app.types import Backend, Head, Precision

if TYPE_CHECKING:
    import tensorrt as stubs


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
    if Head(job["head"]) is Head.NMS:
        _require_suppression(trt)
    return {}


def _require_suppression(trt: Any) -> None:
    """
    Graphs with suppression need NonZero. TensorRT for RTX 1.7 has no plugin for it, though its parser says of itself
    that it supports it; so a graph of that one node is read.
    """
    logger = compat.logger(trt)
    builder: stubs.Builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser: stubs.OnnxParser = trt.OnnxParser(network, logger)
    if not parser.parse(_nonzero()):
        said = "; ".join(parser.get_error(index).desc().strip() for index in range(parser.num_errors))
        raise BuildFailed(
            f"{trt.__name__} {trt.__version__} cannot read graphs with suppression in them (head: nms): {said}",
            hint="Set vision.yolo.model_source.head to raw: jetsmith then suppresses after the engine.",
        )


def _nonzero() -> bytes:
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("NonZero", ["scores"], ["found"], "NonZero")],
        "suppression",
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [3, 4])],
        [helper.make_tensor_value_info("found", TensorProto.INT64, [2, "count"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    serialized: bytes = model.SerializeToString()
    return serialized


if __name__ == "__main__":
    child_main(try_to_load)
