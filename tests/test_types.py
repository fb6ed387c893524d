"""The calls to TensorRT are held to NVIDIA's signatures: mypy finds each argument that is broken on purpose."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import PROJECT_ROOT

BUILD, COMPAT, RUNNER = "app/convert/build_tensorrt.py", "app/runtime/tensorrt_compat.py", "app/runtime/tensorrt.py"
TIMINGS, DLA = "app/convert/timing_cache.py", "app/convert/dla.py"
BROKEN = [
    (BUILD, "builder.build_serialized_network(network, config)", "builder.build_serialized_network(network)"),
    (BUILD, "builder.create_network(_network_flags(trt, strong=strong))", 'builder.create_network("strong")'),
    (BUILD, "parser.parse_from_file(str(graph))", "parser.parse_from_file(graph)"),
    (BUILD, "parser.get_error(index)", "parser.get_error(str(index))"),
    (BUILD, "config.set_memory_pool_limit(trt", "config.set_memory_limit(trt"),
    (BUILD, "config.builder_optimization_level = effort.level", "config.builder_optimization_level = 'high'"),
    (
        TIMINGS,
        "config.set_timing_cache(cache, ignore_mismatch=False)",
        "config.set_timing_cache(cache, mismatch=False)",
    ),
    (DLA, "network.get_layer(index)", "network.get_layer(str(index))"),
    (DLA, "config.DLA_core = core", "config.DLA_core = str(core)"),
    (COMPAT, "return _loggers[trt.__name__]", "return _loggers"),
    (RUNNER, "runtime.deserialize_cuda_engine(plan)", "runtime.deserialize_cuda_engine(plan, 3)"),
]
STUBS = next((PROJECT_ROOT / ".cache").glob("tensorrt-stubs-*"), None)


@pytest.mark.skipif(STUBS is None, reason="scripts/check fetches the stubs")
@pytest.mark.parametrize(("path", "right", "wrong"), [pytest.param(*row, id=row[2]) for row in BROKEN])
def test_mypy_finds_a_broken_call(path: str, right: str, wrong: str, tmp_path: Path) -> None:
    source = (PROJECT_ROOT / path).read_text()
    assert source.count(right) == 1, right
    shadow = tmp_path / "shadow.py"
    shadow.write_text(source.replace(right, wrong))
    os.utime(
        shadow, (BROKEN.index((path, right, wrong)),) * 2
    )  # mypy's cache takes one of the same time and size for it
    line = source[: source.index(right)].count("\n") + 1
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path.parent), "--shadow-file", path, str(shadow), path],
        cwd=PROJECT_ROOT,
        env={**os.environ, "MYPYPATH": str(STUBS)},
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 1, checked.stdout + checked.stderr
    assert f"{path}:{line}: error" in checked.stdout
