"""The addresses of Docker daemons: what may be written, and which two of them are the same."""

import ipaddress
import re
from typing import Any
from urllib.parse import SplitResult, urlsplit

ALLOWED = "ssh://user@host[:port], unix:///path or tcp://host:port"
_PORTS = {"ssh": 22, "tcp": 2376}
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")


def canonical_address(value: Any) -> tuple[str, str]:
    """
    An address as it was written, and a key that is the same for all ways of writing it.

    Raises:
        ValueError: it is none; the message says what is allowed, and never repeats the address.
    """
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError(ALLOWED)
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError as error:  # a port above 65535, half an IPv6 address
        raise ValueError(ALLOWED) from error
    if parts.query or parts.fragment or "?" in value or "#" in value:
        raise ValueError(f"{ALLOWED}, with nothing after it")
    if parts.scheme == "unix":
        return value, f"unix:{_socket(parts)}"
    if parts.scheme not in _PORTS:
        raise ValueError(ALLOWED)
    return value, f"{_user(parts)}{_host(parts)}:{_port(parts, port)}"


def _socket(parts: SplitResult) -> str:
    if parts.netloc or not parts.path.startswith("/") or parts.path.endswith("/"):
        raise ValueError("unix:///path, with three slashes")
    return re.sub(r"/+", "/", parts.path)


def _user(parts: SplitResult) -> str:
    """Not part of the key: two users of one host meet at one daemon."""
    if parts.password is not None or (parts.scheme == "tcp" and parts.username is not None):
        raise ValueError("an address without a password: use an SSH key (ssh-agent, ~/.ssh/config)")
    if parts.username is not None and not _USER.fullmatch(parts.username):
        raise ValueError(f"{ALLOWED}: the user is no user's name")
    if parts.path:
        raise ValueError(f"{ALLOWED}, without a path")
    return ""


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        labels = host.rstrip(".").split(".")
        if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
            raise ValueError(f"{ALLOWED}: the host is no name or number of a machine") from None
        if all(label.isdigit() for label in labels):
            raise ValueError(f"{ALLOWED}: the host is no IP address, though it looks like one") from None
    return ".".join(labels)


def _port(parts: SplitResult, port: int | None) -> int:
    if port is None and parts.scheme == "tcp":
        raise ValueError("tcp://host:port: the port is missing (2376 is usual, with TLS)")
    if port == 0 or parts.netloc.endswith(":"):
        raise ValueError(f"{ALLOWED}: the port is 1 to 65535")
    return port or _PORTS[parts.scheme]
