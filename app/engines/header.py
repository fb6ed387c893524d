"""
The header that Ultralytics puts before a TensorRT plan: 4-byte little-endian signed length, then that much JSON.

Source: ultralytics 8.4.190, `utils/export/engine.py` (writer) and `nn/backends/base.py` (reader).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MAX_HEADER_BYTES = 4 * 2**20  # a thousand class names take some 30 KB
_PREFIX_BYTES = 4


def write_header(header: Mapping[str, Any]) -> bytes:
    """The bytes to put before the plan. JSON turns the keys of `names` into text, as Ultralytics expects."""
    body = json.dumps(dict(header)).encode("ascii")
    if len(body) > MAX_HEADER_BYTES:
        raise ValueError(f"An engine header of {len(body)} bytes: at most {MAX_HEADER_BYTES} can be read back")
    return len(body).to_bytes(_PREFIX_BYTES, "little", signed=True) + body


def read_header(source: Path | bytes) -> tuple[dict[str, Any], int]:
    """
    The header and the offset at which the plan begins.

    A file without one is a bare plan, as trtexec writes them: {} and 0.
    """
    if isinstance(source, bytes):
        return _parse(source[:_PREFIX_BYTES], source[_PREFIX_BYTES : _PREFIX_BYTES + MAX_HEADER_BYTES], len(source))
    with source.open("rb") as file:
        size = source.stat().st_size
        prefix = file.read(_PREFIX_BYTES)
        length = int.from_bytes(prefix, "little", signed=True)
        return _parse(prefix, file.read(length) if _is_length(length, size) else b"", size)


def _is_length(length: int, size: int) -> bool:
    return 0 < length <= min(size - _PREFIX_BYTES, MAX_HEADER_BYTES)


def _parse(prefix: bytes, body: bytes, size: int) -> tuple[dict[str, Any], int]:
    length = int.from_bytes(prefix, "little", signed=True)
    if not _is_length(length, size):
        return {}, 0
    try:
        header = json.loads(body[:length].decode("utf-8"))
    except (ValueError, RecursionError):  # a plan whose first bytes happen to look like a length
        return {}, 0
    return (header, _PREFIX_BYTES + length) if isinstance(header, dict) else ({}, 0)
