"""What only a container on the device can see, asked of one, and none of its answer believed unchecked."""

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.board import board_name
from app.device import Device, read_device
from app.engines.manifest import Manifest
from app.errors import EngineError, FleetError
from app.fleet.base import BoardFacts, EngineFacts
from app.fleet.docker_host import once
from app.fleet.docker_host.connection import Connection
from app.fleet.docker_host.on_device import MOST_TEXT
from app.fleet.host import Watch
from app.fleet.service import MODELS_FOLDER
from app.memory import read_free_memory
from app.types import Backend

BOARD_FILES = ("/etc/nv_tegra_release", "/etc/jetsmith/model", "/etc/jetsmith/compatible")
_TEXTS = {"release": "etc/nv_tegra_release", "model": "etc/jetsmith/model", "compatible": "etc/jetsmith/compatible"}
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MOST_LINE = 3 << 20
_MOST_BYTES = 1 << 60  # beyond it no disk is believed


@dataclass(frozen=True)
class Asked:
    """
    Args:
        image: to run it.
        arguments: of the container: its user, and the board's files as mounts.
        files: in the models volume, whose digests are wanted.
        alias: the stable name of the engine, as the converter was given it; empty: none.
    """

    image: str
    arguments: Mapping[str, Any]
    files: Sequence[str] = ()
    alias: str = ""


@dataclass(frozen=True)
class Answer:
    board: BoardFacts
    files: Mapping[str, str]
    engine: EngineFacts | None


def probe(connection: Connection, asked: Asked, fleet: str, watch: Watch) -> Answer:
    """
    Raises:
        FleetError: the container cannot be run, or says what no device can.
    """
    question = {"root": "/", "models": MODELS_FOLDER, "files": list(asked.files), "aliases": _aliases(asked.alias)}
    command = once.program("look", question)
    with once.created(connection, asked.image, command, watch, fleet=fleet, **asked.arguments) as container:
        ended = once.run(connection, container, watch)
    if ended.exit_code:
        raise FleetError(
            f"its image cannot look at it: {ended.complained or f'exit {ended.exit_code}'}"[:400],
            hint="Is the image made for this device? The preset and the tag in the fleet file choose it.",
        )
    return read_answer(ended.said, asked.files)


def _aliases(alias: str) -> list[str]:
    """As one of the backends has it."""
    path = alias.removeprefix(f"{MODELS_FOLDER}/")
    if not alias.startswith(f"{MODELS_FOLDER}/") or ".." in Path(path).parts:
        return []
    stem = path.removesuffix(".engine")
    return [f"{stem}{backend.suffix}" for backend in Backend]


def read_answer(said: bytes, wanted: Sequence[str]) -> Answer:
    """
    Raises:
        FleetError: it is not what `on_device.look` says.
    """
    try:
        told = json.loads(said.decode()) if len(said) <= _MOST_LINE else None
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise _strange("its answer cannot be read")
    texts = {name: _text(told, name, MOST_TEXT) for name in (*_TEXTS, "meminfo")}
    files = told.get("files")
    if not isinstance(files, dict):
        raise _strange("it tells of no files")
    digests = {path: digest for path in wanted if _DIGEST.fullmatch(digest := str(files.get(path, "")))}
    return Answer(_board(texts, _disk(told.get("disk"))), digests, _engine(_text(told, "manifest", _MOST_LINE)))


def _text(told: Mapping[str, Any], name: str, most: int) -> str:
    value = told.get(name)
    if not isinstance(value, str) or len(value) > most:
        raise _strange(f"its {name} is no text")
    return value


def _disk(value: Any) -> int:
    if type(value) is not int or not 0 <= value < _MOST_BYTES:
        raise _strange("its free disk is no number")
    return value


def _board(texts: Mapping[str, str], disk: int) -> BoardFacts:
    """The rooms that know boards read files, so they are given some."""
    with tempfile.TemporaryDirectory(prefix="jetsmith-") as folder:
        root = Path(folder)
        for name, place in {**_TEXTS, "meminfo": "proc/meminfo"}.items():
            (root / place).parent.mkdir(parents=True, exist_ok=True)
            (root / place).write_text(texts[name], encoding="utf-8", errors="replace")
        device, memory = read_device(root, gpu_probe=lambda: None), read_free_memory(root).ram
    return BoardFacts(device.l4t, _module(device), disk, memory or 0)


def _module(device: Device) -> str:
    """Empty where it is no Jetson."""
    return board_name(device) if device.kind == "jetson" else ""


def _engine(text: str) -> EngineFacts | None:
    """None, too, for a manifest that is none: then there is no engine that could be used."""
    if not text:
        return None
    try:
        manifest = Manifest.from_json(text.encode("utf-8", errors="replace"), "the manifest there")
    except EngineError:
        return None
    figures = manifest.verification
    pictures = figures.get("pictures")
    verified = f"verified on {pictures} pictures" if type(pictures) is int and not figures.get("skipped") else ""
    return EngineFacts(
        identity=manifest.identity.key,
        sha256=manifest.sha256,
        precision=manifest.actual.value,
        built=manifest.created,
        agreement=verified or "not verified",
    )


def _strange(what: str) -> FleetError:
    return FleetError(
        f"what looked at it answers strangely: {what}", hint="Is the image of its tag made by this version of jetsmith?"
    )
