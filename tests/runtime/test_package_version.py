"""The version of a package that is not imported is the one that it tells once it is."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from app.runtime import tensorrt_compat as compat
from app.runtime.package_version import version_in_source
from app.types import Backend
from tests.command import PROJECT_ROOT
from tests.doubles.pycuda_double import CudaDouble
from tests.doubles.tensorrt_double import tensorrt_double


class Site:
    """A folder of packages that Python finds first."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(self, package: str, source: str) -> None:
        folder = self.root / package
        folder.mkdir()
        (folder / "__init__.py").write_text(source)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.syspath_prepend(tmp_path)
    return Site(tmp_path)


@pytest.mark.parametrize(
    "packages",
    [
        pytest.param({"one_t": "from os import *\n\n__version__ = '10.3.0'\n"}, id="debian-of-jetpack"),
        pytest.param(
            {
                "one_t": "from two_t import *\nfrom two_t import __version__\n",
                "two_t": "import os\n__version__ = '10.13.3.9'\n\ndef f():\n    pass\n",
            },
            id="wheels",
        ),
    ],
)
def test_it_is_the_one_that_an_import_would_tell(packages: dict[str, str], site: Site) -> None:
    for name, source in packages.items():
        site.add(name, source)
    read = version_in_source("one_t")
    assert not packages.keys() & sys.modules.keys()
    try:
        assert read == importlib.import_module("one_t").__version__
    finally:
        for name in packages:
            sys.modules.pop(name, None)


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("", id="a-stub"),
        pytest.param("__version__ = '1' + '0'", id="computed"),
        pytest.param("__version__ = 10", id="no-text"),
        pytest.param("__version__ = '1'\nif", id="no-python"),
        pytest.param("__version__ = '1'\n\0", id="nul"),
        pytest.param("__version__ = '1'\n__version__ = '2'", id="twice"),
        pytest.param("__version__ = '1'\nif True:\n    __version__ = '2'", id="changed-in-a-branch"),
        pytest.param("if True:\n    __version__ = '2'", id="only-in-a-branch"),
        pytest.param("__version__ = '1'\n__version__ += '2'", id="added-to"),
        pytest.param("__version__, b = '1', 2", id="unpacked"),
        pytest.param("from .inner import __version__", id="relative"),
        pytest.param("from odd_t.inner import __version__", id="of-a-submodule"),
        pytest.param("from absent_t import __version__", id="from-nowhere"),
        pytest.param("from odd_t import __version__", id="in-a-circle"),
        pytest.param("from absent_t import version as __version__", id="renamed"),
    ],
)
def test_what_is_not_plain_is_not_guessed_at(source: str, site: Site) -> None:
    site.add("odd_t", source)
    assert version_in_source("odd_t") is None
    assert "odd_t" not in sys.modules


def test_a_package_that_is_loaded_already_is_asked(cuda: CudaDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", tensorrt_double(cuda, version="8.6.2.3"))
    assert version_in_source("tensorrt") == compat.version(Backend.TENSORRT) == "8.6.2.3"


def test_where_the_source_does_not_tell_the_library_is_imported(site: Site) -> None:
    site.add("tensorrt", "__version__ = '.'.join(['10', '3'])\n")
    try:
        assert version_in_source("tensorrt") is None
        assert compat.version(Backend.TENSORRT) == "10.3"
    finally:
        sys.modules.pop("tensorrt", None)


def test_the_real_rtx_tells_the_same_before_and_after_its_import() -> None:
    pytest.importorskip("tensorrt_rtx", reason="pip install tensorrt-rtx")
    code = (
        "import sys; from app.runtime import tensorrt_compat as c; from app.types import Backend; "
        "read = c.version(Backend.TENSORRT_RTX); assert not [m for m in sys.modules if 'tensorrt_rtx' in m]; "
        "assert read == c.load(Backend.TENSORRT_RTX).__version__, read; print(read)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip().count(".") >= 2
