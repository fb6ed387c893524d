"""
Every error that a user can mend. Anything else is a bug and keeps its traceback.

JetsmithError
├── SettingsError
├── UnknownModel
├── WeightsError
│   ├── DownloadFailed
│   ├── DigestMismatch
│   ├── UnsafeWeights
│   └── WeightsMismatch
├── ConvertError
│   ├── ExportFailed
│   ├── PrecisionFailed
│   ├── BuildFailed
│   │   └── OutOfMemory
│   └── VerificationFailed
│       └── AccuracyLost
├── BackendUnavailable
├── EngineError
│   ├── EngineNotFound
│   ├── EngineStale
│   ├── EngineDamaged
│   └── StoreError
├── ModelError
├── BenchmarkFailed
├── FleetError
│   └── DeviceLost
├── SourceError
└── OutputError
"""


class JetsmithError(Exception):
    """What went wrong and where; in `hint`, what to do next."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class SettingsError(JetsmithError):
    """A setting is unknown, of a wrong type, or has a value outside its range."""


class UnknownModel(JetsmithError):
    """A model name that cannot be read, or for which no official weights exist."""


class WeightsError(JetsmithError):
    """The weights file could not be found, fetched or trusted."""


class DownloadFailed(WeightsError):
    """The weights could not be fetched."""


class DigestMismatch(WeightsError):
    """The file is not the one that was pinned or seen before."""


class UnsafeWeights(WeightsError):
    """The file holds code that a safe load refuses to run."""


class WeightsMismatch(WeightsError):
    """The file's own metadata contradicts the model that was asked for."""


class ConvertError(JetsmithError):
    """A model could not be converted."""


class ExportFailed(ConvertError):
    """The weights could not be exported to ONNX."""


class PrecisionFailed(ConvertError):
    """The ONNX graph could not be written in the wanted precision."""


class BuildFailed(ConvertError):
    """The backend could not build an engine from the ONNX graph."""


class OutOfMemory(BuildFailed):
    """The build took more memory than there is; trying less may do."""


class VerificationFailed(ConvertError):
    """The engine does not compute what the FP32 ONNX graph computes."""


class AccuracyLost(VerificationFailed):
    """The engine's answers lie further from the FP32 graph's than its precision explains."""


class BackendUnavailable(JetsmithError):
    """This machine lacks the library or the hardware that a backend needs."""


class EngineError(JetsmithError):
    """An engine cannot be used."""


class EngineNotFound(EngineError):
    """No engine was built for this model and backend."""


class EngineStale(EngineError):
    """The engine was built for another device, library, model or setting."""


class EngineDamaged(EngineError):
    """The engine or its manifest is truncated, altered or unreadable."""


class StoreError(EngineError):
    """The engine store cannot be read or written."""


class ModelError(JetsmithError):
    """A model's metadata or outputs are of no layout that jetsmith knows."""


class BenchmarkFailed(JetsmithError):
    """A program could not be measured."""


class FleetError(JetsmithError):
    """A device of a fleet could not be reached, or not be brought to what was asked."""


class DeviceLost(FleetError):
    """A device, or its Docker, does not answer: asking again later may help."""


class SourceError(JetsmithError):
    """An input could not be opened or decoded."""


class OutputError(JetsmithError):
    """A result could not be written."""
