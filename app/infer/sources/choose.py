"""Which source each name of the user's stands for."""

import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import BinaryIO
from urllib.parse import urlsplit

from app.errors import SourceError
from app.infer.frame import Failure, Frame
from app.infer.sources.base import Selection, Source
from app.infer.sources.camera import camera
from app.infer.sources.csi import CsiCamera, csi
from app.infer.sources.decoding import Trust
from app.infer.sources.files import Files, Listed, has_video
from app.infer.sources.listing import find
from app.infer.sources.live import Connect, Feed, Live, Patience
from app.infer.sources.network import feed_of, over_http, rtsp
from app.infer.sources.video import frames_of
from app.text import masked

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_CAMERA = re.compile(r"(?:camera:|/dev/video)([0-9]{1,3})", re.ASCII)
_SECRET = re.compile(r"\b(user\w*|pass\w*|pwd|pw|token|key|secret)=[^&/\s]*", re.IGNORECASE)
_PICTURE_STALLS = 6  # a picture may take so many times as long as a server may be silent
_KNOWN = "Known are files, folders, patterns, camera:0, rtsp://…, http(s)://…, csi://0, and - for paths on stdin."


def open_sources(
    names: Sequence[str],
    selection: Selection | None = None,
    patience: Patience | None = None,
    stdin: BinaryIO | None = None,
) -> list[Source]:
    """
    A source for each name, none of them opened yet; pictures named one after another are one source, to stay in order.

    What no source can be made of is a `Failure` in the place of its frames.
    """
    chooser = _Chooser(selection or Selection(), patience or Patience(), stdin or sys.stdin.buffer)
    for name in names:
        chooser.add(name)
    return chooser.sources


def _shown(address: str) -> str:
    """Some cameras take user and password in the path: rtsp://host/user=admin&password=…&channel=1."""
    return _SECRET.sub(r"\1=…", masked(address))


class _Chooser:
    def __init__(self, selection: Selection, patience: Patience, stdin: BinaryIO) -> None:
        self.sources: list[Source] = []
        self._selection, self._patience, self._stdin = selection, patience, stdin
        self._shown: Counter[str] = Counter()
        self._pictures: list[Path | Failure] | None = None  # of the source that more may be added to

    def add(self, name: str) -> None:
        address, at_this_machine = _ADDRESS.match(name), _CAMERA.fullmatch(name)
        if name == "-":
            self._append(Listed(self._stdin, self._selection))
        elif at_this_machine:
            number = int(at_this_machine[1])
            self._append(self._live(name, lambda desk: camera(number)))
        elif address:
            self._append(self._stream(name, address[1].lower()))
        else:
            self._add_files(name, find(name))

    def _add_files(self, name: str, found: list[Path | Failure]) -> None:
        is_video = has_video(found)
        if is_video or self._pictures is None:
            source = Files(self._unlike_others(name), found, self._selection)
            self._append(source)
            self._pictures = None if is_video else source.found
        else:
            self._pictures += found

    def _append(self, source: Source) -> None:
        self.sources.append(source)
        self._pictures = None

    def _stream(self, name: str, scheme: str) -> Source:
        try:
            urlsplit(name)
            if scheme in ("rtsp", "rtsps"):
                trust = Trust(self._selection.hardware)
                return self._live(name, lambda desk: rtsp(name, self._patience.stall_s, desk, trust))
            if scheme in ("http", "https"):
                return self._live(name, lambda desk: self._over_http(name, desk.stop))
            if scheme == "csi":
                wanted = CsiCamera.parse(name)
                return self._live(name, lambda desk: csi(wanted, self._patience.stall_s, desk))
            error = SourceError(f"{scheme}:// is no source", hint=_KNOWN)
        except SourceError as refused:
            error = refused
        except ValueError as reason:  # urllib's, for [ and ] at wrong places
            error = SourceError(f"no address: {reason}", hint=_KNOWN)
        shown = self._unlike_others(_shown(name))
        return Files(shown, [Failure(shown, error)], self._selection)

    def _live(self, name: str, connect: Connect) -> Live:
        return Live(self._unlike_others(_shown(name)), connect, self._selection, self._patience)

    def _unlike_others(self, shown: str) -> str:
        """Two channels of one recorder may differ only in what is masked."""
        self._shown[shown] += 1
        return shown if self._shown[shown] == 1 else f"{shown} #{self._shown[shown]}"

    @contextmanager
    def _over_http(self, address: str, stop: Event) -> Iterator[Feed]:
        from app.infer.sources import web  # urllib takes 30 ms: too long for who has a picture

        shown, stall_s = _shown(address), self._patience.stall_s
        with web.answered(address, stall_s) as answer:
            if web.is_mjpeg(answer):
                yield Feed(web.mjpeg_shots(answer, stall_s))
                return
            if web.is_picture(answer):
                image = web.picture_of(answer, _PICTURE_STALLS * stall_s, stop)
                yield Feed(whole=lambda desk: iter([Frame(shown, 0, image)]))
                return
        with over_http(address, stall_s) as container:
            if container.duration:
                yield Feed(whole=lambda desk: frames_of(container, shown, self._selection, desk))
            else:
                yield feed_of(container, stall_s)
