import importlib.metadata

import pytest

from app.errors import BackendUnavailable
from app.runtime import choose
from app.types import Backend


def _installed(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    def version(name: str) -> str:
        if name not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(importlib.metadata, "version", version)


def test_the_version_is_told_without_importing(monkeypatch: pytest.MonkeyPatch) -> None:
    _installed(monkeypatch, onnxruntime="1.32.0")
    assert choose.backend_versions(Backend.ONNXRUNTIME) == {"onnxruntime": "1.32.0"}


def test_another_build_of_it_is_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    _installed(monkeypatch, **{"onnxruntime-gpu": "1.23.0"})
    assert choose.backend_versions(Backend.ONNXRUNTIME) == {"onnxruntime": "1.23.0 (onnxruntime-gpu)"}


def test_one_built_from_source_tells_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    _installed(monkeypatch)
    assert choose.backend_versions(Backend.ONNXRUNTIME)["onnxruntime"].endswith(" (from source)")


def test_auto_takes_the_first_that_works_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    reasons = {Backend.TENSORRT: "is not installed", Backend.TENSORRT_RTX: "no NVIDIA GPU answers"}
    monkeypatch.setattr(choose, "_unavailable", lambda backend, loading: reasons.get(backend))
    backend, why = choose.choose_backend(None)
    assert backend is Backend.ONNXRUNTIME
    assert why == "backend: onnxruntime (tensorrt: is not installed; tensorrt_rtx: no NVIDIA GPU answers)"


def test_the_wanted_one_is_taken_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    reasons = {Backend.TENSORRT: "is not installed"}
    monkeypatch.setattr(choose, "_unavailable", lambda backend, loading: reasons.get(backend))
    assert choose.choose_backend(Backend.ONNXRUNTIME) == (Backend.ONNXRUNTIME, "backend: onnxruntime (as asked)")
    with pytest.raises(BackendUnavailable, match="is not installed"):
        choose.choose_backend(Backend.TENSORRT)


def test_what_was_found_out_otherwise_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "_unavailable", lambda backend, loading: None)
    found = {Backend.TENSORRT: "cannot be imported", Backend.TENSORRT_RTX: "does not serve this GPU"}
    backend, why = choose.choose_backend(None, unusable=found)
    assert backend is Backend.ONNXRUNTIME
    assert why == "backend: onnxruntime (tensorrt: cannot be imported; tensorrt_rtx: does not serve this GPU)"
