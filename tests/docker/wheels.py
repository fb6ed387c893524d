"""
CPU builds of PyTorch for an image's build, where PyTorch's own index cannot be reached.

The wheel is found through pip's own settings (find-links); what it needs beside it comes from pip's index. All of it is
then served on this machine as a small package index (PEP 503), as PyTorch's own does.
"""

import ast
import re
import subprocess
import sys
import urllib.error
import urllib.request
from http import HTTPStatus
from pathlib import Path
from urllib.parse import unquote

from tests.docker.web import Files

PYTORCH_INDEX = "https://download.pytorch.org/whl/cpu"


def pip_settings() -> dict[str, str]:
    """What pip was told by its files and its environment, by the option's name."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    found = (re.fullmatch(r"(?:global|install|download|:env:)\.([a-z-]+)=(.*)", line) for line in lines)
    return {match[1]: str(ast.literal_eval(match[2])) for match in found if match}


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/torch/", timeout=10):
            return True
    except (urllib.error.URLError, OSError):
        return False


def local_torch(python: str) -> Path | None:
    """The newest CPU wheel of PyTorch for `python` ("311") among pip's find-links."""
    folders = [Path(folder.removeprefix("file://")) for folder in pip_settings().get("find-links", "").split()]
    wheels = [path for folder in folders for path in folder.glob(f"torch-*+cpu-cp{python}-*_x86_64.whl")]
    return max(wheels, key=lambda path: [int(part) for part in re.findall(r"\d+", path.name)[:3]], default=None)


def gather(wheel: Path, folder: Path) -> Path:
    """PyTorch's wheel with torchvision and all that both need, downloaded once."""
    if not folder.exists():
        part = folder.with_name(folder.name + ".part")
        version = wheel.name.split("-")[1]
        python, abi = wheel.name.split("-")[2:4]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(part), "--only-binary", ":all:"]
        command += ["--python-version", python.removeprefix("cp"), "--abi", abi, "--implementation", "cp"]
        subprocess.run([*command, f"torch=={version}", "torchvision"], check=True, timeout=600)
        part.rename(folder)
    return folder


class Index(Files):
    """`/<project>/` lists the project's wheels; `/files/<wheel>` is one of them."""

    def do_GET(self) -> None:
        project = unquote(self.path).strip("/")
        if project.startswith("files/"):
            self.path = "/" + project.removeprefix("files/")
            super().do_GET()
            return
        wheels = [
            path.name for path in Path(self.directory).glob("*.whl") if _normal(path.name.split("-")[0]) == project
        ]
        page = "".join(f'<a href="/files/{name}">{name}</a><br>' for name in sorted(wheels)).encode()
        self.send_response(HTTPStatus.OK if wheels else HTTPStatus.NOT_FOUND)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
