"""Judge what a server answers, and write what is good of it to the part."""

import re
import time
from collections.abc import Iterator
from shutil import disk_usage
from typing import TYPE_CHECKING

from app.convert.checkpoint import starts_like_a_checkpoint
from app.convert.connection import Address, Broken, Patience
from app.convert.partial import PartialFile, disk_errors_as_ours
from app.errors import DownloadFailed, WeightsError
from app.progress import Phase

if TYPE_CHECKING:
    import httpx

_SMALLEST_BYTES = 100_000  # no official weights are smaller: it is an error page, or a pointer of Git LFS
_HEAD_BYTES = 4
_RETRIED_STATUS = {408, 425, 429}


def require_good_answer(response: "httpx.Response", address: Address, part: PartialFile) -> None:
    status = response.status_code
    if status == 416:  # what is here is longer than the file is now
        part.discard()
        raise Broken("the file on the server has changed")
    if status >= 500 or status in _RETRIED_STATUS:
        asked = response.headers.get("Retry-After", "")
        raise Broken(f"the server answered {status}", wait_s=float(asked) if asked.isdecimal() else 0.0)
    if status in {404, 410}:
        raise DownloadFailed(
            f"{address.shown} does not exist (HTTP {status})",
            hint="No such weights are there: check base_model and vision.yolo.model_source.weights_url, "
            f"or bring your own file: put it at {part.target}.",
        )
    if status not in {200, 206}:
        raise DownloadFailed(f"{address.shown} was refused (HTTP {status})")
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind in {"text/html", "application/xhtml+xml"}:
        raise _not_weights(address, "a web page")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise DownloadFailed(f"{address.shown} is sent compressed, though that was declined")


def _not_weights(address: Address, what: str) -> DownloadFailed:
    return DownloadFailed(
        f"{address.shown} sent {what} instead of a weights file",
        hint="A log-in page of a network or a proxy often answers so. Open the address in a browser to see it.",
    )


def receive(response: "httpx.Response", address: Address, part: PartialFile, step: Phase, patience: Patience) -> None:
    going_on = response.status_code == 206
    length = _length_going_on(response, part) if going_on else _content_length(response)
    if length is not None and length < _SMALLEST_BYTES:
        raise _not_weights(address, f"only {length} bytes")
    offset = part.size if going_on else 0
    _require_space(part, length, offset)
    chunks = response.iter_raw()  # of no given size: that would hold back what came before a break
    first = _head(chunks)
    if not going_on and not starts_like_a_checkpoint(first):
        raise _not_weights(address, "other data" if first else "nothing")
    with part.go_on() if going_on else part.begin(_validator(response), length) as file:
        step.update(offset, length)
        pace = _Pace(patience, offset)
        while first:
            offset += file.write(first)
            step.update(offset, length)
            pace.require(offset)
            first = next(chunks, b"")
    if length is not None and offset != length:
        raise Broken(f"the connection broke off at {offset} of {length} bytes")


class _Pace:
    """Looks at every window of time whether enough has come in it: httpx's timeout starts anew with each byte."""

    def __init__(self, patience: Patience, offset: int) -> None:
        self._patience, self._offset, self._since = patience, offset, time.monotonic()

    def require(self, offset: int) -> None:
        if time.monotonic() - self._since < self._patience.window_s:
            return
        came = offset - self._offset
        if came < self._patience.least_bytes:
            raise Broken(f"only {came} bytes came in {self._patience.window_s:g} s")
        self._offset, self._since = offset, time.monotonic()


def _head(chunks: Iterator[bytes]) -> bytes:
    """The first bytes, enough to tell what they are."""
    head = b""
    while len(head) < _HEAD_BYTES and (chunk := next(chunks, b"")):
        head += chunk
    return head


def _content_length(response: "httpx.Response") -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else None


def _length_going_on(response: "httpx.Response", part: PartialFile) -> int:
    """The whole file's length, if the answer goes on exactly where the part ends and is of the same file."""
    notes = part.notes()
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
    if (
        notes is None
        or found is None
        or int(found[1]) != part.size
        or (notes.length is not None and int(found[2]) != notes.length)
        or (notes.validator and _validator(response) != notes.validator)
    ):
        part.discard()
        raise Broken("the file on the server has changed, or it cannot go on where it broke off")
    return int(found[2])


def _validator(response: "httpx.Response") -> str:
    """What names this version of the file: a strong ETag or a date; a weak ETag may not be used with ranges."""
    etag = str(response.headers.get("ETag", ""))
    return etag if etag.startswith('"') else str(response.headers.get("Last-Modified", ""))


def _require_space(part: PartialFile, length: int | None, offset: int) -> None:
    with disk_errors_as_ours(part.path):
        free = disk_usage(part.path.parent).free
    if length is not None and length - offset > free:
        raise WeightsError(
            f"{part.path.parent} has room for {free / 1e6:.0f} MB, but {part.target.name} needs "
            f"{(length - offset) / 1e6:.0f} MB more",
            hint="Free some space there and run the command again.",
        )
