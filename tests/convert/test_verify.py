"""The gate: an engine that lies is not published."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from app.convert.export import ExportOptions, export_onnx
from app.convert.verify import VerifyOptions, verify_engine
from app.errors import VerificationFailed
from app.progress import SilentReporter
from app.types import Backend, Precision
from tests.command import PROJECT_ROOT, SCENES

DEMO = PROJECT_ROOT / "models" / "demo"


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("export")
    return export_onnx(DEMO / "demo-detect.pt", ExportOptions(imgsz=(320, 320)), work, SilentReporter())


def _after_output(*steps: tuple[str, dict[str, np.ndarray]]) -> Callable[[onnx.ModelProto], None]:
    """Rename what the network computes, and put operators between it and the output."""

    def change(model: onnx.ModelProto) -> None:
        graph = model.graph
        for node in graph.node:
            node.output[:] = ["honest" if name == "output0" else name for name in node.output]
        value = "honest"
        for index, (operator, constants) in enumerate(steps):
            for name, array in constants.items():
                graph.initializer.append(numpy_helper.from_array(array, f"{name}{index}"))
            result = "output0" if index == len(steps) - 1 else f"step{index}"
            inputs = [value, *(f"{name}{index}" for name in constants)]
            node = helper.make_node(operator, inputs, [result])
            if operator == "Gather":
                node.attribute.append(helper.make_attribute("axis", 2))
            graph.node.append(node)
            value = result

    return change


def _other_weights(model: onnx.ModelProto) -> None:
    random = np.random.default_rng(3)
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and len(tensor.dims) == 4 and tensor.dims[0] > 1:
            array = numpy_helper.to_array(tensor)
            tensor.CopyFrom(numpy_helper.from_array(random.permutation(array), tensor.name))


def _slightly_less_sure(model: onnx.ModelProto) -> None:
    scale = np.ones((1, 4 + len(_names(model)), 1), np.float32)
    scale[:, 4:] = 0.9
    _after_output(("Mul", {"scale": scale}))(model)


def _names(model: onnx.ModelProto) -> list[str]:
    return str(next(entry.value for entry in model.metadata_props if entry.key == "names")).split(",")


ANCHORS = 2100  # of 320×320
LIES = [
    pytest.param(_after_output(("Mul", {"zero": np.zeros(1, np.float32)})), id="zeros"),
    pytest.param(_after_output(("Mul", {"nan": np.full(1, np.nan, np.float32)})), id="nan"),
    pytest.param(_after_output(("Gather", {"order": np.arange(ANCHORS)[::-1].copy()})), id="shuffled"),
    pytest.param(_after_output(("Add", {"shift": np.full((1, 1, 1), 3, np.float32)})), id="three-pixels-off"),
    pytest.param(_other_weights, id="other-weights"),
    pytest.param(_slightly_less_sure, id="ten-percent-less-sure"),
]


def _verify(engine: Path, reference: Path, work: Path) -> dict[str, object]:
    pictures = tuple(sorted((SCENES / "detect").glob("*.jpg"))[:2])
    options = VerifyOptions(Backend.ONNXRUNTIME, Precision.FP16, pictures)
    return verify_engine(engine, reference, options, work, SilentReporter())


def test_an_honest_engine_passes_with_its_figures(reference: Path, tmp_path: Path) -> None:
    figures = _verify(reference, reference, tmp_path)
    assert figures["pictures"] == 2
    assert isinstance(figures["objects"], int)
    assert figures["objects"] > 0
    assert figures["box_px_p95"] == figures["objects_lost"] == 0


@pytest.mark.parametrize("lie", LIES)
def test_an_engine_that_lies_does_not(reference: Path, tmp_path: Path, lie: Callable[[onnx.ModelProto], None]) -> None:
    model = onnx.load(reference)
    lie(model)
    engine = tmp_path / "engine.ort.onnx"
    onnx.save(model, engine)
    with pytest.raises(VerificationFailed, match="was not published"):
        _verify(engine, reference, tmp_path)


def test_an_engine_that_does_not_load_does_not(reference: Path, tmp_path: Path) -> None:
    engine = tmp_path / "engine.ort.onnx"
    engine.write_bytes(reference.read_bytes()[:5000])
    from app.errors import EngineDamaged

    with pytest.raises(EngineDamaged):
        _verify(engine, reference, tmp_path)


def test_without_a_picture_nothing_is_proved(reference: Path, tmp_path: Path) -> None:
    with pytest.raises(VerificationFailed, match="no picture"):
        verify_engine(
            reference, reference, VerifyOptions(Backend.ONNXRUNTIME, Precision.FP32, ()), tmp_path, SilentReporter()
        )


def test_pictures_that_cannot_be_read_prove_nothing(reference: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"x")
    options = VerifyOptions(Backend.ONNXRUNTIME, Precision.FP32, (tmp_path / "bad.jpg",))
    with pytest.raises(VerificationFailed, match="None of the 1 pictures"):
        verify_engine(reference, reference, options, tmp_path, SilentReporter())
