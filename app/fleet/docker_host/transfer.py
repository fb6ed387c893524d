"""An image on its way to a device, on a connection and in a thread of its own; how far it is, is told meanwhile."""

import re
from collections.abc import Callable, Iterator
from threading import Event
from typing import Any, TypeVar

from app.errors import FleetError
from app.fleet.docker_host.archive import Layouts, thinned
from app.fleet.docker_host.connection import Connection
from app.fleet.docker_host.errors import refused
from app.fleet.docker_host.waiting import Within, meanwhile
from app.fleet.host import Watch

T = TypeVar("T")
_LONGEST_S = 24 * 3600.0  # for the thread; the step's own deadline comes first, and cancels it
_SILENT_S = 900.0  # that a Docker may be busy with a layer, or with writing out an image, without a word
_CHUNK = 1 << 20
_MIB = 1 << 20
_LAYOUTS = Layouts()
_LOADED = re.compile(r"Loaded image(?: ID)?: (\S+)")
_MOST_SHOWN = 120
_MOST_OF_A_PART = 1 << 60  # Python's whole numbers have no end, its shares of a hundred have


class Transfer:
    """
    Args:
        there: for this transfer alone; it is closed at the end.
        name: of the image, to be shown.
    """

    def __init__(self, there: Connection, name: str) -> None:
        self._there, self._name = there, name
        self._message, self._percent = f"{name}: it begins", 0.0
        self._loaded = ""
        self._cancelled = Event()

    def pull(self, repository: str, digest: str, watch: Watch) -> None:
        parts: dict[str, tuple[int, int]] = {}

        def work() -> None:
            with self._there.request(Within(_LONGEST_S), at_most_s=_SILENT_S) as client:
                events: Any = client.api.pull(repository, tag=digest, stream=True, decode=True)
                for event in self._unless_stopped(events):
                    self._pulling(_checked(event), parts)

        self._run(work, watch)

    def send(self, here: Connection, digest: str, size: int, shared: int, watch: Watch) -> str:
        """
        What the device calls it.

        Args:
            size: about as many bytes as it has.
            shared: so many of its layers, from the first on, are there already.
        """

        def work() -> None:
            chunks, total = _saved(here, digest), size
            if shared:
                self._message = f"{self._name}: which layers it lacks is looked up"
                layout = _LAYOUTS.of(digest, lambda: self._unless_stopped(_saved(here, digest)))
                dropped = layout.without(shared)
                chunks, total = thinned(chunks, dropped), layout.size(dropped)
            with self._there.request(Within(_LONGEST_S), at_most_s=_SILENT_S) as client:
                api: Any = client.api
                events = api.load_image(self._counted(chunks, total))
                for event in self._unless_stopped(events):
                    self._loading(_checked(event))

        self._run(work, watch)
        return self._loaded

    def _run(self, work: Callable[[], None], watch: Watch) -> None:
        def cancel() -> None:
            self._cancelled.set()
            self._there.close()

        try:
            meanwhile(work, watch, tick=lambda: watch.update(self._message, self._percent), cancel=cancel)
        finally:
            self._there.close()

    def _counted(self, chunks: Iterator[bytes], size: int) -> Iterator[bytes]:
        sent = 0
        for chunk in self._unless_stopped(chunks):
            yield chunk
            sent += len(chunk)
            self._percent = min(99.0, 100 * sent / size) if size else 0.0
            self._message = f"{self._name}: {sent // _MIB} of {max(size, sent) // _MIB} MiB are sent"
        self._message = f"{self._name}: it is unpacked there"

    def _unless_stopped(self, pieces: Iterator[T]) -> Iterator[T]:
        """A device may go on telling for ever, and the step's own deadline reaches this thread in no other way."""
        for piece in pieces:
            if self._cancelled.is_set():
                raise FleetError("it was stopped", hint="Run it again.")
            yield piece

    def _loading(self, event: dict[str, Any]) -> None:
        found = _LOADED.search(str(event.get("stream", "")))
        if found:
            self._loaded = found[1]

    def _pulling(self, event: dict[str, Any], parts: dict[str, tuple[int, int]]) -> None:
        progress, part = event.get("progressDetail"), str(event.get("id", ""))
        if isinstance(progress, dict) and event.get("status") == "Downloading" and len(parts) < 1000:
            current, total = progress.get("current"), progress.get("total")
            if isinstance(current, int) and isinstance(total, int) and 0 <= current <= total <= _MOST_OF_A_PART:
                parts[part] = current, total
        done, whole = (sum(amounts) for amounts in zip(*parts.values(), strict=True)) if parts else (0, 0)
        self._percent = min(99.0, 100 * done / whole) if whole else 0.0
        self._message = f"{self._name}: {str(event.get('status', ''))[:_MOST_SHOWN]}"


def _checked(event: Any) -> dict[str, Any]:
    """
    Raises:
        FleetError: it tells of a failure, or is none.
    """
    if not isinstance(event, dict):
        raise refused(f"it says {str(event)[:_MOST_SHOWN]}")
    if event.get("error"):
        raise refused(str(event["error"]))
    return event


def _saved(here: Connection, digest: str) -> Iterator[bytes]:
    """
    The image as `docker save` writes it.

    Raises:
        FleetError: this machine's own Docker fails, which is no fault of the device.
    """
    try:
        with here.request(Within(_LONGEST_S), at_most_s=_SILENT_S) as client:
            yield from client.api.get_image(digest, chunk_size=_CHUNK)
    except FleetError as error:
        raise FleetError(f"on this machine: {error.message}", hint=error.hint) from error
