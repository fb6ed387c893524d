"""NV12 from source to sinks: the GPU path takes it as it is, and who asks for a picture gets the same one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from app.engines.engine import Engine
from app.infer.ahead import Reading
from app.infer.frame import Failure, Frame, Kind, Nv12, bgr_of
from app.infer.gpu.model import GpuModel
from app.infer.pipeline import Predictor, run
from app.infer.service.plan import ModelPlan
from app.infer.service.switch import Loaded, Switch
from app.infer.sinks.annotated import Annotated
from app.infer.sources.base import Desk
from app.infer.sources.gstreamer import Rows
from app.progress import SilentReporter
from app.types import Image, Result, Task
from app.vision.decode import Thresholds
from app.vision.model import Model
from tests.infer.gpu.heads import head_of
from tests.infer.gpu.taped import TapedRunner

_COUNT = 6
_SIZE = Rows(66, 48)


class Decoded:
    """Pictures as a decoder or a camera gives them: in rows with padding, in the engine's memory."""

    name = "decoded"

    def __init__(self, kind: Kind) -> None:
        self.live = kind is Kind.LIVE
        self._kind = kind

    def read(self, desk: Desk) -> Iterator[Frame | Failure]:
        random = np.random.default_rng(3)
        for index in range(_COUNT):
            rows = desk.take(_SIZE.shape)
            np.copyto(rows, random.integers(0, 256, rows.shape, np.uint8))
            yield Frame(self.name, index, _SIZE.planes(rows), seconds=index / 25, rate=25.0, kind=self._kind)


class Kept:
    """A sink that looks at results alone."""

    def __init__(self) -> None:
        self.given: list[tuple[Frame, Result]] = []

    def write(self, frame: Frame, result: Result) -> None:
        self.given.append((frame, result))

    def fail(self, failure: Failure) -> None:
        raise AssertionError(failure)

    def close(self) -> None:
        return None


def _run(predictor: Predictor, kind: Kind = Kind.VIDEO, *sinks: Any) -> list[tuple[Frame, Result]]:
    kept = Kept()
    run(Reading([Decoded(kind)], SilentReporter()), lambda: predictor, [kept, *sinks], SilentReporter())
    return kept.given


def _was_converted(frame: Frame) -> bool:
    assert isinstance(frame.pixels, Nv12)
    return bool(frame.pixels._bgr)


def _switched(model: Predictor) -> Predictor:
    @contextmanager
    def opened(engine: Engine) -> Iterator[Predictor]:
        yield model

    engine = cast(Engine, SimpleNamespace(path=Path("a")))
    return Switch(Loaded(engine, ModelPlan(("a",), Path(), lambda: engine, opened)))


@contextmanager
def _models(store: Path) -> Iterator[tuple[TapedRunner, GpuModel, Model]]:
    metadata, tape = head_of(Task.DETECT, batch=1)
    with TapedRunner(metadata, tape) as runner:
        yield runner, GpuModel(runner, Thresholds(), store, SilentReporter()), Model(runner)


Wrap = Callable[[Predictor], Predictor]
WRAPS = [pytest.param(lambda model: model, id="alone"), pytest.param(_switched, id="in a service")]


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("kind", [Kind.VIDEO, Kind.LIVE])
def test_the_gpu_path_takes_it_as_it_is(gpu: str, kind: Kind, wrap: Wrap, tmp_path: Path) -> None:
    with _models(tmp_path) as (runner, on_gpu, on_cpu):
        ours = _run(wrap(on_gpu), kind)
        frame, _ = ours[-1]
        assert not any(_was_converted(frame) for frame, _ in ours)
        assert isinstance(frame.pixels, Nv12)
        assert all(on_gpu.frame_buffers.address_of(plane) is not None for plane in (frame.pixels.y, frame.pixels.uv))

        on_cpu.predict(bgr_of(frame.pixels))
        np.testing.assert_array_equal(runner.input_on_gpu(), runner.fed)


@pytest.mark.parametrize("wrap", WRAPS)
def test_the_cpu_path_is_given_pictures(gpu: str, wrap: Wrap, tmp_path: Path) -> None:
    with _models(tmp_path) as (_, on_gpu, on_cpu):
        ours, theirs = _run(wrap(on_cpu)), _run(on_gpu)

    assert len(ours) == len(theirs) == _COUNT
    for (frame, result), (_, expected) in zip(ours, theirs, strict=True):
        assert _was_converted(frame)
        assert result.detections is not None
        assert expected.detections is not None
        np.testing.assert_allclose(result.detections.xyxy, expected.detections.xyxy, atol=1e-3)


def test_what_draws_gets_the_picture_converted_once(gpu: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    av = pytest.importorskip("av")
    pytest.importorskip("supervision")

    from app.infer import frame as module

    conversions: list[Image] = []
    real = module._to_bgr

    def counted(y: Image, uv: Image) -> Image:
        conversions.append(real(y, uv))
        return conversions[-1]

    monkeypatch.setattr(module, "_to_bgr", counted)
    sinks = [Annotated(tmp_path / name, {0: "person"}) for name in ("a", "b")]
    with _models(tmp_path) as (_, on_gpu, _):
        _run(on_gpu, Kind.VIDEO, *sinks)

    assert len(conversions) == _COUNT
    for name in ("a", "b"):
        with av.open(str(tmp_path / name / "decoded.mp4")) as video:
            assert [(frame.width, frame.height) for frame in video.decode(video=0)] == [(66, 48)] * _COUNT
