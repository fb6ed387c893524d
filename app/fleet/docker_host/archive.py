"""
What `docker save` writes, on its way: a tar, from which layers that a device has already are left out.

Docker's classic store looks for a layer by what it is before it looks into the archive (moby's image/tarexport), so an
archive without it is as good. That is most of the bytes: both images of a device, and the next version, share them.
"""

import json
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

from app.errors import FleetError

_BLOCK = tarfile.BLOCKSIZE
_MANIFEST = "manifest.json"
_MOST_MANIFEST = 1 << 20
_OF_THE_NEXT = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_OWN_SIZE = re.compile(rb"\d+ size=(\d{1,15})\n")  # of a layer above 8 GiB, for which a header has no room


@dataclass(frozen=True)
class Layout:
    """Where an image's layers lie in its archive."""

    layers: Sequence[str]
    sizes: Mapping[str, int]
    linked: frozenset[str]  # what other members are links to

    def without(self, count: int) -> frozenset[str]:
        """The first so many layers, as far as nothing else needs them."""
        return frozenset(self.layers[:count]) - frozenset(self.layers[count:]) - self.linked

    def size(self, dropped: frozenset[str]) -> int:
        return sum(size for name, size in self.sizes.items() if name not in dropped)


class Layouts:
    """Each image's is found once, for all devices: the archive has to be read to its end for that."""

    def __init__(self) -> None:
        self._known: dict[str, Layout] = {}
        self._lock = Lock()

    def of(self, digest: str, saved: Callable[[], Iterator[bytes]]) -> Layout:
        with self._lock:
            if digest not in self._known:
                self._known[digest] = read_layout(saved())
            return self._known[digest]


@dataclass(frozen=True)
class _Member:
    head: bytes  # with all that belongs before it
    info: tarfile.TarInfo
    body: Iterator[bytes]  # to be read before the next member; padded

    @property
    def name(self) -> str:
        return self.info.name.removeprefix("./").rstrip("/")


def read_layout(chunks: Iterator[bytes]) -> Layout:
    """
    Raises:
        FleetError: it is no archive of one image.
    """
    manifest, sizes, linked = b"", dict[str, int](), set[str]()
    for member in _members(_Reader(chunks)):
        sizes[member.name] = member.info.size
        if member.info.issym() or member.info.islnk():
            linked.add(_aim(member))
        is_manifest = member.name == _MANIFEST and member.info.size <= _MOST_MANIFEST
        body = b"".join(piece for piece in member.body if is_manifest)
        manifest = body[: member.info.size] if is_manifest else manifest
    return Layout(_layers(manifest), sizes, frozenset(linked))


def thinned(chunks: Iterator[bytes], dropped: frozenset[str]) -> Iterator[bytes]:
    """The same archive, without these members."""
    for member in _members(_Reader(chunks)):
        is_kept = member.name not in dropped
        if is_kept:
            yield member.head
        for piece in member.body:
            if is_kept:
                yield piece
    yield b"\0" * (2 * _BLOCK)


def common_layers(ours: Sequence[str], theirs: Sequence[Sequence[str]]) -> int:
    """How many of our layers, from the first on, one of their images begins with: a layer counts with all below it."""
    return max((_same(ours, other) for other in theirs), default=0)


def _same(ours: Sequence[str], other: Sequence[str]) -> int:
    differs = (index for index, (a, b) in enumerate(zip(ours, other, strict=False)) if a != b)
    return next(differs, min(len(ours), len(other)))


def _aim(member: _Member) -> str:
    """Docker links a layer to its like as `../<id>/layer.tar`."""
    return member.info.linkname.removeprefix("../")


def _layers(manifest: bytes) -> Sequence[str]:
    try:
        told: Any = json.loads(manifest)
        (image,) = told
        return [str(name) for name in image["Layers"]]
    except (ValueError, TypeError, KeyError) as error:
        raise _strange("it has no manifest of one image") from error


def _members(reader: "_Reader") -> Iterator[_Member]:
    before = b""
    while (block := reader.take(_BLOCK)).strip(b"\0"):
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise _strange(str(error)) from error
        if info.type in _OF_THE_NEXT:
            before += block + reader.take(_padded(info.size))
            continue
        own_size = _OWN_SIZE.search(before)
        info.size = int(own_size[1]) if own_size else info.size
        yield _Member(before + block, info, reader.pieces(_padded(info.size)))
        before = b""


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


class _Reader:
    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._held = chunks, b""

    def take(self, size: int) -> bytes:
        return b"".join(self.pieces(size))

    def pieces(self, size: int) -> Iterator[bytes]:
        """So many bytes, as they come."""
        while size:
            if not self._held:
                self._held = next(self._chunks, b"")
                if not self._held:
                    raise _strange("it ends too early")
            piece, self._held = self._held[:size], self._held[size:]
            size -= len(piece)
            yield piece


def _strange(why: str) -> FleetError:
    return FleetError(
        f"on this machine: docker save wrote no archive: {why}", hint="Is the image whole? docker image ls"
    )
