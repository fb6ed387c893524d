"""The doubles have no member that the real libraries lack."""

import importlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.doubles import tensorrt_builder_double as builder
from tests.doubles import tensorrt_double as double
from tests.doubles.pycuda_double import CudaDouble, DeviceAllocation, Stream

VERSIONS = ("8.6", "10.3", "10.7", "10.13", "10.16", "11.0", "11.1", "11.2", "11.3", "11.4", "rtx-1.7.1")


def _members(thing: Any) -> set[str]:
    return {name for name in vars(thing) if not name.startswith("_")}


@pytest.fixture(scope="module")
def api(shared_data: Callable[[str], Path]) -> dict[str, dict[str, list[str]]]:
    names: dict[str, dict[str, list[str]]] = json.loads(shared_data("facts/tensorrt_api.json").read_text())
    return names


@pytest.mark.parametrize("version", VERSIONS)
def test_tensorrts_double_shows_only_real_names(
    version: str, api: dict[str, dict[str, list[str]]], cuda: CudaDouble
) -> None:
    real = api[version]
    module = double.tensorrt_double(cuda)
    assert _members(module) <= set(real["<module>"])
    assert _members(double.ICudaEngine) <= set(real["ICudaEngine"])
    assert _members(double.IExecutionContext) <= set(real["IExecutionContext"])
    assert _members(vars(module)["Runtime"]) <= set(real["Runtime"])
    assert _members(double.EngineInspector) <= set(real["EngineInspector"])
    assert {member.name for member in double.LayerInformationFormat} <= set(real["LayerInformationFormat"])
    assert _members(double.ILogger) <= set(real["ILogger"])
    assert {member.name for member in double.Severity} <= set(real["ILogger.Severity"])
    assert {member.name for member in double.TensorIOMode} <= set(real["TensorIOMode"])
    later = {"BF16", "INT64"} if version == "8.6" else set()
    assert {member.name for member in double.DataType} - later <= set(real["DataType"])


def test_tensorrts_double_takes_the_arguments_of_the_real_classes() -> None:
    rtx = pytest.importorskip("tensorrt_rtx")
    calls = {
        "IExecutionContext": ("set_tensor_address", "set_input_shape", "execute_async_v3"),
        "ICudaEngine": ("get_tensor_name", "get_tensor_mode", "get_tensor_shape", "get_tensor_dtype"),
        "EngineInspector": ("get_engine_information",),
    }
    for owner, methods in calls.items():
        for method in methods:
            signature = re.search(rf"{method}\(self: [^,)]+(.*)\) ->", getattr(getattr(rtx, owner), method).__doc__)
            assert signature is not None
            ours = getattr(getattr(double, owner), method).__code__
            names = list(ours.co_varnames[1 : ours.co_argcount])
            assert re.findall(r", (\w+): ", signature[1]) == names, method


@pytest.mark.parametrize("version", ["10.3", "10.7", "10.13"])
def test_the_builders_double_shows_only_real_names(version: str, api: dict[str, dict[str, list[str]]]) -> None:
    """Of TensorRT 10, which it stands for: 11 has no flag for a precision, 8 no strong types."""
    real = api[version]
    for cls in builder.builder_classes("10.3.0", "8.7"):
        assert cls.__name__ in real["<module>"]
        assert _members(cls) <= set(real[cls.__name__]), cls
    config = builder.IBuilderConfig("10.3.0 on 8.7", double.ILogger())
    assert {name for name in vars(config) if not name.startswith("_")} <= set(real["IBuilderConfig"])


def test_the_builders_double_takes_the_arguments_of_the_real_classes() -> None:
    rtx = pytest.importorskip("tensorrt_rtx")
    compared = 0
    for cls in builder.builder_classes("10.3.0", "8.7"):
        real = getattr(rtx, cls.__name__, None)
        methods = {name: value for name, value in vars(cls).items() if callable(value) and not name.startswith("_")}
        for name, method in methods.items():
            # An enum's members and what only TensorRT itself has are held to the list of names.
            signature = re.search(rf"^{name}\(self: [^,)]+(.*)\) ->", str(getattr(getattr(real, name), "__doc__", "")))
            if signature is None:
                continue
            code = method.__code__
            ours = list(code.co_varnames[1 : code.co_argcount])
            assert re.findall(r", (\w+): ", signature[1]) == ours, f"{cls.__name__}.{name}"
            compared += 1
    assert compared >= 18


def test_pycudas_double_shows_only_real_names(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = pytest.importorskip("pycuda.driver", reason="pycuda is installed only where a GPU is")
    shown = vars(CudaDouble().modules["pycuda.driver"])
    ours = {name: value for name, value in shown.items() if not name.startswith("__")}
    assert set(ours) <= set(dir(driver))
    for name in ("Context", "Device"):
        assert _members(ours[name]) <= set(dir(getattr(driver, name)))
    assert {"handle", "synchronize"} | _members(Stream) - {"queue"} <= set(dir(driver.Stream))
    assert _members(DeviceAllocation) <= set(dir(driver.DeviceAllocation))
    assert importlib.import_module("pycuda").__name__ == "pycuda"
