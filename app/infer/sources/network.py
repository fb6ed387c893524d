"""RTSP, and whatever else FFmpeg can read from an address."""

import math
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from app.infer.sources.base import Desk
from app.infer.sources.decoding import Trust, of_stream
from app.infer.sources.ffmpeg import opened, packets_of, pictures_in
from app.infer.sources.live import Feed

_STREAMS = "rtsp,mpegts,hls,flv,mpjpeg,mjpeg,mov,matroska,avi,mpeg,ogg,asf,h264,hevc"
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"  # FFmpeg itself trusts every server
_RTSP = {
    "protocol_whitelist": "rtsp,rtsps,rtp,srtp,tcp,udp,tls",
    "format_whitelist": "rtsp,sdp,rtp",
    "rtsp_transport": "tcp",  # with UDP, frames are torn where a packet is lost
    "fflags": "nobuffer",
    "analyzeduration": "2000000",
    "probesize": "1000000",
}
_HTTP = {
    "protocol_whitelist": "http,https,tcp,tls,httpproxy,crypto",
    "format_whitelist": _STREAMS,
    "analyzeduration": "2000000",
}


@contextmanager
def rtsp(address: str, stall_s: float, desk: Desk, trust: Trust) -> Iterator[Feed]:
    """
    Raises:
        Refused: the server knows no such stream, or not this user.
        SourceError: it cannot be reached, or answers nonsense.
    """
    with (
        opened(address, _RTSP | tls_of(address), stall_s) as container,
        closing(of_stream(container, stall_s, desk, trust)) as pictures,
    ):
        yield Feed((picture.pixels for picture in pictures), rate_of(container))


@contextmanager
def over_http(address: str, stall_s: float) -> Iterator[Any]:
    """A container of FFmpeg's: of a file or of a stream."""
    with opened(address, _http_of(address) | tls_of(address), stall_s) as container:
        yield container


def _http_of(address: str) -> dict[str, str]:
    """What was asked for in secret is not answered in the open, by way of a redirect."""
    if not address.lower().startswith("https:"):
        return _HTTP
    return _HTTP | {"protocol_whitelist": _HTTP["protocol_whitelist"].removeprefix("http,")}


def feed_of(container: Any, stall_s: float) -> Feed:
    return Feed((picture.pixels for picture in pictures_in(packets_of(container), stall_s)), rate_of(container))


def rate_of(container: Any) -> float | None:
    rate = float(container.streams.video[0].average_rate or 0)
    return rate if 0 < rate <= 240 and math.isfinite(rate) else None  # else it is a guess of FFmpeg's


def tls_of(address: str) -> dict[str, str]:
    """For http too: a redirect may lead to https."""
    if not address.lower().startswith(("http:", "https:", "rtsps:")):
        return {}
    known = {"ca_file": _CERTIFICATES} if Path(_CERTIFICATES).is_file() else {}
    return {"tls_verify": "1"} | known
