"""
The frame path on the GPU. Nothing here loads CUDA before a model is made for a runner that has it.

`model_for` chooses: a model on the GPU where the runner's engine is there, else the one whose frames the CPU prepares.
"""

from pathlib import Path

from app.errors import BackendUnavailable, EngineError
from app.infer.pipeline import Predictor
from app.progress import Reporter
from app.runtime.base import Runner
from app.vision.decode import Thresholds


def model_for(runner: Runner, thresholds: Thresholds, store: Path, reporter: Reporter) -> Predictor:
    """
    Args:
        runner: entered by the caller, who also leaves it.
        store: the folder of engines, whose cache keeps compiled kernels.

    Raises:
        ModelError: the engine's tensors are of no layout that jetsmith knows.
    """
    from app.runtime.tensorrt import TensorRTRunner

    if isinstance(runner, TensorRTRunner):
        from app.infer.gpu.model import GpuModel

        try:
            return GpuModel(runner, thresholds, store, reporter)
        except (BackendUnavailable, EngineError) as error:
            reporter.warn(f"The CPU prepares and reads the frames, which is slower: {error.message}. {error.hint}")
    return cpu_model(runner, thresholds)


def cpu_model(runner: Runner, thresholds: Thresholds) -> Predictor:
    """The model whose frames the CPU prepares and whose answers it reads."""
    from app.vision.model import Model

    return Model(runner, thresholds)
