"""Text fit to be shown: what could steer a terminal is spelled out, what must stay secret is left out."""

import re


def printable(text: str, *, keep: str = "") -> str:
    """Names and messages come from others' files; the characters in `keep` ("\\n") may stay as they are."""
    return "".join(
        char if char.isprintable() or char in keep else char.encode("unicode_escape").decode() for char in text
    )


def masked(text: str) -> str:
    """`text` with the user, password and query of every address in it left out."""
    # To the last @, slashes or not: in a password that was not escaped, any character may stand.
    return re.sub(r"((?:https?|rtsps?)://[^\s?]*)\?\S+", r"\1?…", re.sub(r"//\S*@", "//", text))


def masked_value(text: str) -> str:
    """One value that a user set: it may be an address that is mistyped, with spaces in it or no `http` before it."""
    secret, at, rest = text.rpartition("@")
    scheme = re.match(r"\W*\w+:/+", secret)
    shown = f"{scheme.group() if scheme else ''}…@{rest}" if at else text
    head, mark, query = shown.partition("?")
    return f"{head}?…" if mark and ("://" in head or "=" in query) else shown
