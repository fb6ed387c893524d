"""How much memory is free: what the machine says, and what a container's limit leaves of it."""

from pathlib import Path

import pytest

from app.memory import FreeMemory, read_free_memory

GIB = 2**30
MEMINFO = "MemTotal:        7802716 kB\nMemFree:  100 kB\nMemAvailable:    3145728 kB\nSwapFree:        1048576 kB\n"


def _root(tmp_path: Path, **files: str) -> Path:
    for name, text in {"proc/meminfo": MEMINFO, **files}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_the_machine_alone(tmp_path: Path) -> None:
    assert read_free_memory(_root(tmp_path)) == FreeMemory(3 * GIB, GIB, None)
    assert read_free_memory(tmp_path).total == 4 * GIB


def test_nothing_to_read_is_unknown(tmp_path: Path) -> None:
    assert read_free_memory(tmp_path) == FreeMemory(None, None, None)
    assert read_free_memory(tmp_path).total is None


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        pytest.param(
            {
                "proc/self/cgroup": "0::/\n",
                "sys/fs/cgroup/memory.max": f"{2 * GIB}\n",
                "sys/fs/cgroup/memory.current": f"{GIB}\n",
            },
            GIB,
            id="container",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "0::/\n",
                "sys/fs/cgroup/memory.max": f"{2 * GIB}\n",
                "sys/fs/cgroup/memory.current": f"{GIB}\n",
                "sys/fs/cgroup/memory.stat": f"anon 12\ninactive_file {GIB // 2}\nactive_file 7\n",
            },
            GIB + GIB // 2,
            id="cached-files-can-go",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "0::/user.slice/job.scope\n",
                "sys/fs/cgroup/user.slice/job.scope/memory.max": "max\n",
                "sys/fs/cgroup/user.slice/job.scope/memory.current": "5\n",
                "sys/fs/cgroup/user.slice/memory.max": f"{GIB}\n",
                "sys/fs/cgroup/user.slice/memory.current": f"{2 * GIB}\n",
            },
            0,
            id="a-group-above-is-full",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "9:cpu,cpuacct:/x\n4:memory:/docker/abc\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{3 * GIB}\n",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{GIB}\n",
            },
            2 * GIB,
            id="version-1",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "4:memory:/\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": "7\n",
            },
            None,
            id="version-1-no-limit",
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/../../outside\n", "outside/memory.max": "1\n", "outside/memory.current": "1\n"},
            None,
            id="a-path-that-leads-out",
        ),
    ],
)
def test_a_container_is_held_to_its_limit(files: dict[str, str], limit: int | None, tmp_path: Path) -> None:
    free = read_free_memory(_root(tmp_path, **files))
    assert free.limit == limit
    assert free.total == (3 * GIB if limit is None else min(limit, 3 * GIB)) + GIB
