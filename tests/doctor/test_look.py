"""What the doctor sees: in files, in child processes, and at servers."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from app.device import UNKNOWN
from app.doctor.facts import ABSENT, Container, Docker, Library
from app.doctor.look import (
    has_gpu_files,
    parse_library,
    read_container,
    read_docker,
    read_library,
    read_store,
)
from app.doctor.reach import ask

BOARDS = Path(__file__).parents[1] / "data" / "boards"


def write(root: Path, name: str, text: str = "") -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


# --- libraries, each in a child process ---


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages that Python finds."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_a_library_that_imports_tells_its_version(package: Path) -> None:
    write(package, "fits/__init__.py", "__version__ = '1.2'\nprint('a banner')")
    write(package, "fits/driver.py")
    assert read_library("fits") == Library(True, "1.2")
    assert read_library("fits.driver") == Library(True, "1.2")


def test_a_library_that_is_not_there_is_absent() -> None:
    assert read_library("no_such_library_at_all") == ABSENT


@pytest.mark.parametrize(
    ("source", "error"),
    [
        pytest.param("raise ImportError('libGL.so.1: cannot open')", "libGL.so.1: cannot open", id="a library missing"),
        pytest.param("raise OSError('invalid ELF header')", "invalid ELF header", id="of another processor"),
        pytest.param("raise AttributeError", "AttributeError", id="no words"),
        pytest.param("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ended by signal 11", id="a crash"),
        pytest.param("import sys; sys.exit(7)", "exited with 7", id="it ends the process"),
        pytest.param("raise KeyError('odd')", "KeyError: 'odd'", id="an error that nobody expects"),
        pytest.param("import time; time.sleep(60)", "did not end within 2 s", id="it hangs"),
        pytest.param("import sys; sys.stderr.write('_ARRAY_API not found')", "against NumPy 1.x", id="another NumPy"),
    ],
)
def test_a_library_that_fails_says_why_and_takes_nothing_with_it(package: Path, source: str, error: str) -> None:
    write(package, "breaks.py", source)
    found = read_library("breaks", timeout_s=2)
    assert found.installed
    assert not found.works
    assert error in found.error


def test_tensorrt_without_the_dla_compiler_names_the_package_to_install(package: Path) -> None:
    write(package, "tensorrt.py", "raise ImportError('libnvdla_compiler.so: cannot open shared object file')")
    found = read_library("tensorrt")
    assert "libnvdla_compiler.so" in found.error
    assert "nvidia-l4t-dla-compiler" in found.hint


def test_tensorrt_for_rtx_lists_the_gpus_that_it_serves() -> None:
    pytest.importorskip("tensorrt_rtx")
    found = read_library("tensorrt_rtx")
    assert found.works
    assert "SM89" in found.serves


def test_ultralytics_is_not_imported_it_writes_into_the_home_directory(package: Path) -> None:
    write(package, "ultralytics/__init__.py", "raise RuntimeError('imported')")
    assert read_library("ultralytics").works


@pytest.mark.parametrize("stdout", ["", "no JSON", "[1]", '{"installed": true'])
def test_a_child_that_says_nothing_sensible_has_failed(stdout: str) -> None:
    assert "exited with 0" in parse_library(0, stdout, "").error


# --- containers ---


@pytest.mark.parametrize(
    ("daemon", "runtimes", "problem", "is_broken"),
    [
        pytest.param('{"runtimes": {"nvidia": {"path": "nvidia-container-runtime"}}}', ("nvidia",), "", False, id="ok"),
        pytest.param("{}", (), "", False, id="empty"),
        pytest.param('{"runtimes": ', (), "is no JSON", True, id="truncated"),
        pytest.param("[]", (), "not of the form", True, id="a list"),
        pytest.param('{"runtimes": 3}', (), "not of the form", True, id="a number for the runtimes"),
    ],
)
def test_docker_is_read_from_its_file(
    tmp_path: Path, daemon: str, runtimes: tuple[str, ...], problem: str, is_broken: bool
) -> None:
    write(tmp_path, "etc/docker/daemon.json", daemon)
    write(tmp_path, "usr/bin/docker")
    write(tmp_path, "usr/bin/nvidia-container-runtime")
    found = read_docker(tmp_path)
    assert (found.installed, found.toolkit, found.runtimes, found.is_broken) == (True, True, runtimes, is_broken)
    assert problem in found.problem
    assert bool(found.problem) is bool(problem)


def test_no_docker_is_no_problem(tmp_path: Path) -> None:
    assert read_docker(tmp_path) == Docker(False, False)


def test_a_daemon_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "etc/docker/daemon.json").mkdir(parents=True)
    assert "cannot be read" in read_docker(tmp_path).problem


MOUNTED = "500 490 179:1 /etc/nv_tegra_release /etc/nv_tegra_release ro,relatime - ext4 /dev/mmcblk0p1 rw\n"
OLD_LIST = "deb https://repo.example/jetson/common r36.4 main\n"
NEW_LIST = "Types: deb\nURIs: https://repo.example/jetson/common\nSuites: r39.2\nComponents: main\n"


@pytest.mark.parametrize(
    ("files", "container"),
    [
        pytest.param({}, Container(UNKNOWN, "36.4.3"), id="the image's own release file"),
        pytest.param({"proc/self/mountinfo": MOUNTED}, Container("36.4.3", UNKNOWN), id="the host's, mounted"),
        pytest.param(
            {"proc/self/mountinfo": MOUNTED, "etc/apt/sources.list.d/nvidia-l4t-apt-source.list": OLD_LIST},
            Container("36.4.3", "36.4"),
            id="the image by its packages",
        ),
        pytest.param(
            {"proc/self/mountinfo": MOUNTED, "etc/apt/sources.list.d/jetson.sources": NEW_LIST},
            Container("36.4.3", "39.2"),
            id="in apt's new form",
        ),
        pytest.param(
            {"proc/self/mountinfo": MOUNTED, "etc/jetsmith/image_release": "# R38 (release), REVISION: 4.0, GCID: 1"},
            Container("36.4.3", "38.4.0"),
            id="the image by a copy that it kept",
        ),
        pytest.param({"proc/self/mountinfo": "odd\n"}, Container(UNKNOWN, "36.4.3"), id="mounts that cannot be read"),
    ],
)
def test_host_and_image_are_told_apart(tmp_path: Path, files: dict[str, str], container: Container) -> None:
    write(tmp_path, ".dockerenv")
    for name, text in files.items():
        write(tmp_path, name, text)
    assert read_container(tmp_path, "36.4.3") == container


def test_a_host_is_no_container(tmp_path: Path) -> None:
    assert read_container(tmp_path, "36.4.3") is None


# --- disk, GPU ---


def test_gpu_files_are_looked_for() -> None:
    assert has_gpu_files(BOARDS / "agx-thor-container")
    assert not has_gpu_files(BOARDS / "x86-xeon")


def test_a_store_that_is_to_be_made_is_judged_by_its_parent(tmp_path: Path) -> None:
    found = read_store(tmp_path / "models" / "engines")
    assert found.problem == ""
    assert found.free_bytes is not None
    assert list(tmp_path.iterdir()) == []


def test_a_store_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    write(tmp_path, "models", "no folder")
    assert "Not a directory" in read_store(tmp_path / "models" / "engines").problem


# --- servers ---


class Handler(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        asked: list[tuple[str, str | None]] = self.server.asked  # type: ignore[attr-defined]
        asked.append((self.path, self.headers.get("Authorization")))
        self.send_response(int(self.path.rpartition("/")[2]))
        self.send_header("Location", "/somewhere/else")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HTTPServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with HTTPServer(("127.0.0.1", 0), Handler) as running:
        running.asked = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("status", [200, 302, 401, 404, 503])
def test_the_first_answer_counts_and_nothing_is_followed(server: HTTPServer, status: int) -> None:
    answer = ask(f"http://127.0.0.1:{server.server_port}/{status}", ("me", "s3cret"))
    assert (answer.status, answer.problem) == (status, "")
    assert server.asked == [(f"/{status}", "Basic bWU6czNjcmV0")]  # type: ignore[attr-defined]


def test_a_server_that_is_not_there_is_a_problem_in_words() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        answer = ask(f"http://127.0.0.1:{taken.getsockname()[1]}/x")
    assert answer.status is None
    assert "refused" in answer.problem


def test_a_server_that_says_nothing_is_left_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        answer = ask(f"http://127.0.0.1:{silent.getsockname()[1]}/x", timeout_s=0.3)
    assert answer.status is None
    assert answer.problem


def test_a_server_that_speaks_something_else_is_a_problem() -> None:
    with socket.create_server(("127.0.0.1", 0)) as odd:

        def answer_oddly() -> None:
            connection, _ = odd.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"hello\r\n\r\n")

        thread = threading.Thread(target=answer_oddly)
        thread.start()
        answer = ask(f"http://127.0.0.1:{odd.getsockname()[1]}/x")
        thread.join()
    assert answer.status is None
    assert answer.problem


def test_the_child_speaks_json_on_its_last_line(package: Path) -> None:
    write(package, "fits.py", "__version__ = '3'")
    assert parse_library(0, "noise\n" + json.dumps({"installed": True, "version": "3"}), "") == read_library("fits")
