"""Keep a process that runs other people's libraries off the network and from starting programs."""

import errno
import sys
from typing import Any

_FORBIDDEN = {
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "pty.spawn",
    "socket.bind",
    "socket.connect",
    "socket.getaddrinfo",
    "socket.gethostbyaddr",
    "socket.gethostbyname",
    "socket.sendmsg",
    "socket.sendto",
    "subprocess.Popen",
}


def forbid_network_and_programs() -> None:
    """
    From here to its end, this process opens no connection and starts no program; there is no way back.

    The libraries are told to stay offline and to install nothing; this makes sure of it, whatever their next
    release does. It is a guard against surprises, not a jail: native code can pass it by.
    """
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _FORBIDDEN:
        raise PermissionError(errno.EPERM, f"{event} is not allowed in this process")
