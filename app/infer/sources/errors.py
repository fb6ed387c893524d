"""What the operating system and FFmpeg say, as errors that a user understands; addresses stay out of it."""

import errno

from app.errors import SourceError

_HINTS = {
    errno.ENOENT: "Check the spelling and the folder you are in.",
    errno.EACCES: "Check its permissions.",
    errno.ECONNREFUSED: "Is the camera or server on, and is the port right?",
    errno.EHOSTUNREACH: "Is the camera or server on, and in the same network?",
    errno.ETIMEDOUT: "Is the camera or server on, and in the same network?",
}
_CHECK = "Check the address, and whether another player shows it."


class Refused(SourceError):
    """A wrong path or password, or a missing program: it will not become right by itself."""


def from_os(error: OSError, doing: str) -> SourceError:
    """Without the file name or address that the error holds: it may have a password in it."""
    if isinstance(error, TimeoutError):
        return SourceError(f"{doing}: nothing came in time", hint=_HINTS[errno.ETIMEDOUT])
    reason = error.strerror or type(error).__name__
    return SourceError(f"{doing}: {reason}", hint=_HINTS.get(error.errno or 0, _CHECK))


def refused(reason: str) -> Refused:
    return Refused(f"the server refused: {reason}", hint="Check the path, the user name and the password.")
